"""Players of songs: of a corpus, of a data set, and of recordings that were separated.

A clip is the stretch of a song in which most of its stems sound: intros, where one part plays
alone, tell little of a song.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final, TypeVar

import numpy as np
from stemsmith.evaluate.benchmark.datasets import DatasetSong, StemFile
from stemsmith.manifests import storage
from stemsmith.manifests.arrays import Float32s
from stemsmith.manifests.audio.read import audio_info, read_excerpt
from stemsmith.manifests.corpus import Corpus, Track, TrackStem
from stemsmith.manifests.errors import InvalidCorpus, StemsmithError
from stemsmith.manifests.jobs import Progress
from stemsmith.manifests.programs import DRUMS
from stemsmith.manifests.records import Note, Song
from stemsmith.manifests.seeds import unit_hash
from stemsmith.manifests.shards import Table
from stemsmith.mixing.audio.realise import MIXTURE
from stemsmith.share.report.clips import WAVEFORM_HZ, AudioClip, busiest_start_s, clock, make_clip
from stemsmith.share.report.config import ReportConfig
from stemsmith.share.report.content import (
    Block,
    Notice,
    PlayerMode,
    PlayerNote,
    PlayerTrack,
    StemPlayer,
    isolated,
)

__all__ = [
    "CLIP_S",
    "chosen",
    "corpus_players",
    "dataset_players",
    "in_threads",
    "recording_players",
    "try_each",
]

CLIP_S: Final = 30.0
_MOST_THREADS: Final = 4

A = TypeVar("A")
T = TypeVar("T")


def chosen(items: Sequence[T], key: Callable[[T], str], config: ReportConfig) -> list[T]:
    """Return as many items as are to be played, drawn by what `key` says, in their own order."""
    by_lot = sorted(
        items, key=lambda item: (unit_hash(config.seed, "report", key(item)), key(item))
    )
    wanted = {key(item) for item in by_lot[: config.n_songs]}
    return [item for item in items if key(item) in wanted]


def try_each(
    items: Sequence[T],
    name_of: Callable[[T], str],
    make: Callable[[T], Block],
    progress: Progress,
) -> list[Block]:
    """Return a block for each item; a line in place of one whose files cannot be read.

    Parameters
    ----------
    items : sequence
        What blocks are made of.
    name_of : callable
        The name of an item, for that line.
    make : callable
        Makes the block of an item.
    progress : Progress
        Is warned of what cannot be read.
    """
    blocks: list[Block] = []
    with progress.loop("players", len(items)) as ticker:
        for item in items:
            try:
                blocks.append(make(item))
            except StemsmithError as error:
                progress.warn(f"{name_of(item)} cannot be played on the page: {error}")
                blocks.append(Notice(f"{name_of(item)} cannot be played here: {error}"))
            ticker.advance()
    return blocks


def in_threads(function: Callable[[A], T], items: Sequence[A]) -> list[T]:
    """Return what a function makes of each item; decoders and encoders leave other threads free."""
    with ThreadPoolExecutor(min(_MOST_THREADS, os.cpu_count() or 1)) as pool:
        return list(pool.map(function, items))


def corpus_players(corpus: Corpus, config: ReportConfig, progress: Progress) -> list[Block]:
    """Return players of some songs, or renditions, of a corpus.

    Parameters
    ----------
    corpus : Corpus
        What is played.
    config : ReportConfig
        How many songs, which ones, and how long.
    progress : Progress
        Is told how far the work is, and warned of songs that cannot be read.
    """
    names = chosen(list(corpus), lambda name: name, config)
    clip_s = CLIP_S if config.clip_s is None else config.clip_s
    return try_each(names, str, lambda name: _song_player(corpus[name], clip_s), progress)


def _song_player(track: Track, clip_s: float) -> StemPlayer:
    stems = list(track.stems.values())
    if not stems:
        raise InvalidCorpus(f"{track.root}: no record is of a stem of {track.name}")
    powers = [_powers(stem) for stem in stems]
    start_s = busiest_start_s(powers, clip_s)
    n_start = round(start_s * track.sample_rate)
    n_clip = min(round(clip_s * track.sample_rate), track.record.n_samples - n_start)
    first, n_steps = round(start_s * WAVEFORM_HZ), -(-n_clip * WAVEFORM_HZ // track.sample_rate)

    def encode(k: int) -> AudioClip:
        wave = np.sqrt(powers[k][first : first + n_steps])
        audio = _excerpt(stems[k], n_start, n_clip)
        return make_clip(audio, track.sample_rate, [float(value) for value in wave])

    clips = in_threads(encode, range(len(stems)))
    tracks, mode = list[PlayerTrack](), PlayerMode.MIX
    if isinstance(track.record, Song) and track.record.has_own_mixture:
        path = storage.inside(track.root, track.record.mix_path)
        clip = make_clip(read_excerpt(path, n_start, n_clip), track.sample_rate)
        tracks.append(PlayerTrack(MIXTURE, clip, label="rendered as a whole"))
        mode = PlayerMode.SWITCH
    tracks += [
        PlayerTrack(
            name=_words(stem.record.inst_class, stem.name),
            clip=clip,
            label=_words(stem.record.patch, *_defects(stem)),
            notes=list(_notes(stem.notes, track.sample_rate, n_start, n_clip)),
            is_drums=stem.record.program == DRUMS,
        )
        for stem, clip in zip(stems, clips, strict=True)
    ]
    whole_s = track.record.n_samples / track.sample_rate
    of = f"{clock(start_s)} to {clock(start_s + n_clip / track.sample_rate)} of {clock(whole_s)}"
    licence = track.record.licence if isinstance(track.record, Song) else None
    caption = _words(track.record.source, of, track.record.split, licence or "")
    return StemPlayer(track.name, tracks, mode, caption, start_s)


def _powers(stem: TrackStem) -> Float32s:
    """Return the mean square of each 100 ms of a stem as it is in the mixture."""
    power = np.asarray(stem.record.power, np.float32)
    steps = round(stem.shift * WAVEFORM_HZ / stem.sample_rate)
    factor = np.float32(10 ** ((stem.record.gain_db + stem.gain_db) / 10))
    shifted: Float32s = np.roll(power, steps) * factor
    return shifted


def _excerpt(stem: TrackStem, start: int, n_samples: int) -> Float32s:
    if stem.shift:
        return stem.audio[:, start : start + n_samples]
    audio = read_excerpt(storage.inside(stem.root, stem.record.path), start, n_samples)
    return audio * np.float32(10 ** (stem.gain_db / 20)) if stem.gain_db else audio


def _notes(table: Table, sample_rate: int, start: int, n_samples: int) -> Iterator[PlayerNote]:
    """Yield the notes that are to be heard in a clip, at the pitch and as long as they sound."""
    for row in table.to_pylist():
        note = Note(**row)
        end = note.offset if note.sounding_offset is None else note.sounding_offset
        if note.is_heard is False or end <= start or note.onset >= start + n_samples:
            continue
        yield PlayerNote(
            onset_s=(max(note.onset, start) - start) / sample_rate,
            offset_s=(min(end, start + n_samples) - start) / sample_rate,
            pitch=note.pitch if note.sounding_pitch is None else note.sounding_pitch,
            velocity=note.velocity,
        )


def _defects(stem: TrackStem) -> list[str]:
    """Return words about what the audit found in a stem."""
    found = getattr(stem.record, "audit", None) or ()
    kinds = sorted({str(defect.kind) for defect in found})
    return [f"audit: {', '.join(kinds)}"] if kinds else []


def dataset_players(
    songs: Sequence[DatasetSong], config: ReportConfig, progress: Progress
) -> list[Block]:
    """Return players of some songs of a data set that others made; arguments as above."""
    clip_s = CLIP_S if config.clip_s is None else config.clip_s
    some = chosen(songs, lambda song: song.name, config)
    return try_each(
        some, lambda song: song.name, lambda song: _dataset_player(song, clip_s), progress
    )


def _dataset_player(song: DatasetSong, clip_s: float) -> StemPlayer:
    files = [(stem.location.stem, stem) for stem in song.stems]
    names = [
        stem.target if len({s.target for s in song.stems}) == len(files) else f"{stem.target}: {n}"
        for n, stem in files
    ]
    rate, length = _common([stem for _, stem in files])
    n_clip = min(length, round(clip_s * rate))
    start = (length - n_clip) // 2

    def encode(stem: StemFile) -> AudioClip:
        return make_clip(read_excerpt(stem.location, start, n_clip, stem.stream), rate)

    clips = in_threads(encode, song.stems)
    tracks = [PlayerTrack(name, clip) for name, clip in zip(names, clips, strict=True)]
    start_s = start / rate
    of = f"{clock(start_s)} to {clock(start_s + n_clip / rate)} of {clock(length / rate)}"
    return StemPlayer(song.name, tracks, caption=_words(of, song.split), start_s=start_s)


def _common(files: Sequence[StemFile]) -> tuple[int, int]:
    """Return the sample rate in Hz of the files of a song, and the samples that all have."""
    infos = [audio_info(file.location, file.stream) for file in files]
    rates = {info.sample_rate for info in infos}
    if len(rates) > 1:
        raise InvalidCorpus(f"{files[0].path}: another sample rate than other stems of the song")
    return rates.pop(), min(info.n_samples for info in infos)


def recording_players(
    recordings: Sequence[tuple[str, Sequence[Path]]], config: ReportConfig, progress: Progress
) -> list[Block]:
    """Return players with which recordings that were separated can be mixed anew.

    Parameters
    ----------
    recordings : sequence of (str, sequence of Path)
        Name of each, and the files of its targets.
    config : ReportConfig
        How many recordings, which ones, and how long; by default they are played as a whole.
    progress : Progress
        Is told how far the work is, and warned of files that cannot be read.
    """
    some = chosen(recordings, lambda recording: recording[0], config)
    return try_each(some, lambda r: r[0], lambda r: _remix(*r, config.clip_s), progress)


def _remix(name: str, files: Sequence[Path], clip_s: float | None) -> StemPlayer:
    rate, length = _common([StemFile(file.stem, str(file)) for file in files])
    n_clip = length if clip_s is None else min(length, round(clip_s * rate))
    if not n_clip:
        raise InvalidCorpus(f"{files[0]}: holds no samples")
    clips = in_threads(lambda file: make_clip(read_excerpt(file, 0, n_clip), rate), files)
    tracks = [PlayerTrack(file.stem, clip) for file, clip in zip(files, clips, strict=True)]
    part = f"the first {clock(n_clip / rate)} of {clock(length / rate)}"
    return StemPlayer(name, tracks, PlayerMode.REMIX, part if n_clip < length else "")


def _words(*parts: str) -> str:
    return " \N{MIDDLE DOT} ".join(isolated(part) for part in parts if part)
