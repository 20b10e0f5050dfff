"""Whether sources that were made to match do: their key by the audio, their beats by the scores.

    python benchmarks/coherence.py MIXTURES...

of `stemsmith mix --mode across --coherence 0 --match ...`. It shares no code with what made them:
chroma are librosa's, of the audio of source and anchor, and of the notes in their labels; beats are
mido's, of both scores. Prints one line of JSON a folder: how many sources there are, for
which share of those with a pitch the correlation of the chroma with the anchor's is the largest of
the 12 transpositions, and how far notes that are on a beat in the score of their source are from
the anchor's beat, in ms (of all sources, the 99th percentile and the largest).
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import librosa
import mido
import numpy as np
import stemsmith
from stemsmith.manifests.arrays import Float32s, Float64s
from stemsmith.mixing.audio.labels import NoteTable


def main() -> None:
    """Look at some folders of mixtures."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("mixtures", type=Path, nargs="+")
    for folder in parser.parse_args().mixtures:
        print(json.dumps({"mixtures": folder.name, **figures_of(folder)}))


def figures_of(folder: Path) -> dict[str, Any]:
    """Return the figures of one folder."""
    mixtures = stemsmith.Mixtures(folder)
    by_audio: list[bool] = []
    by_notes: list[bool] = []
    away_s: list[float] = []
    n_sources = 0
    for mixture in mixtures:
        record, labels = mixture.record, mixture.labels()
        matched = [source for source in record.sources if source.match is not None]
        if not matched:
            continue
        n_sources += len(matched)
        anchor = json.loads(str(matched[0].match))["anchor_group"]
        place = next(source for source in record.sources if source.group == anchor)
        audio = mixture.realise(is_verified=False)
        for source in matched:
            match = json.loads(str(source.match))
            songs = songs_of(Path(mixtures.roots[place.root]))
            own, other = (
                score_of(songs[name.partition(":")[2]])
                for name in (source.song_id, match["anchor_song"])
            )
            notes = labels[source.group]
            if "tempo" in mixtures.header["config"]["match"]:
                start_s = place.start / place.sample_rate
                away_s += distances_s(other, own, start_s, match, notes, record.sample_rate)
            if "drums" not in (anchor, source.group):
                pair = [audio[name] for name in (source.group, anchor)]
                by_audio.append(is_largest(*(chroma_of(one, record.sample_rate) for one in pair)))
                by_notes.append(is_largest(chroma_of_notes(notes), chroma_of_notes(labels[anchor])))
    return {
        "n_sources": n_sources,
        "n_with_pitch": len(by_audio),
        "largest_by_audio": round(float(np.mean(by_audio)), 4),
        "largest_by_notes": round(float(np.mean(by_notes)), 4),
        "n_notes_on_beats": len(away_s),
        "away_p99_ms": round(1000 * float(np.quantile(away_s, 0.99)), 3) if away_s else None,
        "away_max_ms": round(1000 * max(away_s), 3) if away_s else None,
    }


class BeatsOfScore(NamedTuple):
    """Ticks of a quarter note, tempo changes in ticks and seconds a tick, and notes with ticks."""

    resolution: int
    tempos: list[tuple[int, float]]
    notes: list[tuple[int, int, bool]]

    def seconds(self, tick: float) -> float:
        """Return the time of a tick."""
        now_s, last, pace = 0.0, 0, 0.5 / self.resolution
        for at, next_pace in self.tempos:
            if at >= tick:
                break
            now_s, last, pace = now_s + (at - last) * pace, at, next_pace
        return now_s + (tick - last) * pace

    def ticks(self, second: float) -> float:
        """Return the tick at a time."""
        now_s, last, pace = 0.0, 0, 0.5 / self.resolution
        for at, next_pace in self.tempos:
            if now_s + (at - last) * pace >= second:
                break
            now_s, last, pace = now_s + (at - last) * pace, at, next_pace
        return last + (second - now_s) / pace


@lru_cache(maxsize=256)
def score_of(folder: Path) -> BeatsOfScore:
    """Read the score of a track folder."""
    file = mido.MidiFile(folder / "all_src.mid")
    tempos, notes, now = [], [], 0
    for message in mido.merge_tracks(file.tracks):
        now += message.time
        if message.type == "set_tempo":
            tempos.append((now, message.tempo / 1e6 / file.ticks_per_beat))
        elif message.type == "note_on" and message.velocity:
            notes.append((now, message.note, message.channel == 9))
    return BeatsOfScore(file.ticks_per_beat, tempos, notes)


@lru_cache(maxsize=8)
def songs_of(root: Path) -> dict[str, Path]:
    """Return the folder of every song of a corpus."""
    return {song.song_id: root / song.path for song in stemsmith.Corpus(root).song_records()}


def chroma_of(audio: Float32s, sample_rate: int) -> Float64s:
    """Return the chroma of a source, by the power of its partials."""
    frames = librosa.feature.chroma_stft(y=audio[0], sr=sample_rate, norm=None, tuning=0.0)
    mean: Float64s = frames.mean(axis=1, dtype=np.float64)
    return mean


def chroma_of_notes(notes: NoteTable) -> Float64s:
    """Return how long the pitch classes of a source sound."""
    length = notes.offset - notes.onset
    return np.bincount(notes.pitch % 12, length, minlength=12).astype(np.float64)


def is_largest(source: Float64s, anchor: Float64s) -> bool:
    """Tell whether no other transposition of a source correlates more with the anchor."""
    centred = anchor - anchor.mean()
    turned = [np.roll(source - source.mean(), shift) @ centred for shift in range(12)]
    return int(np.argmax(turned)) == 0


def distances_s(
    anchor: BeatsOfScore,
    own: BeatsOfScore,
    start_s: float,
    match: dict[str, Any],
    notes: NoteTable,
    sample_rate: int,
) -> Iterator[float]:
    """Yield how far the labels of notes that are on beats are from the anchor's beats."""
    (first, _), *_, (last, _) = match["tempo_map"]
    begin = anchor.ticks(start_s) / anchor.resolution
    expected: dict[int, list[tuple[float, bool]]] = {}
    for tick, key, is_drum in own.notes:
        if not first - 1 <= tick / own.resolution <= last + 1:
            continue
        # Beats of the source and of the anchor are a whole number of beats apart.
        place = tick / own.resolution + round(begin - first)
        at_s = anchor.seconds(place * anchor.resolution) - start_s
        moved = key + (0 if is_drum else match["transposition"])
        expected.setdefault(moved, []).append((at_s, tick % own.resolution == 0))
    onset_s = notes.onset[notes.is_onset_inside] / sample_rate
    pitch = notes.pitch[notes.is_onset_inside].astype(int)
    for moment, key in zip(onset_s.tolist(), pitch.tolist(), strict=True):
        away, is_on_beat = min((abs(moment - at_s), on) for at_s, on in expected[key])
        if is_on_beat:
            yield away


if __name__ == "__main__":
    main()
