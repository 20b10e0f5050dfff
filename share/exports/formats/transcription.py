"""MAESTRO's shape, for transcription: audio, MIDI in its time, and a table of all recordings.

``metadata.csv`` has the columns of ``maestro-v3.0.0.csv`` (magenta.tensorflow.org, MAESTRO):
composer and year, which nobody knows of a MIDI file, are empty. Beside each recording lie its MIDI
file, in which notes begin and end as they sound, ``.notes.csv``, ``.controls.csv`` with pedals and
bends, and the same as ``.jams``. ``mix`` makes a recording of each song, ``stems`` one of each
stem.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import astuple, fields
from pathlib import Path, PurePosixPath
from typing import Any, Final

from stemsmith.manifests import places, storage
from stemsmith.manifests.audio.flac import encode_flac, with_md5
from stemsmith.manifests.corpus import Track, TrackStem
from stemsmith.manifests.records import Reason, Song
from stemsmith.manifests.renditions import Rendition
from stemsmith.share.exports.base import ExportedSong, ExportFormat, NotExportable, PlannedFile
from stemsmith.share.exports.corpus_cards import write_cards
from stemsmith.share.exports.corpus_songs import (
    CorpusSong,
    RecordedFile,
    find_corpus_songs,
    labels_of,
    read_checked,
)
from stemsmith.share.exports.integer_songs import IntegerSong, read_integers
from stemsmith.share.exports.jams import jams_text
from stemsmith.share.exports.options import ExportConfig
from stemsmith.share.exports.sounding_notes import (
    Control,
    SoundingNote,
    controls_of,
    midi_of,
    notes_of,
)
from stemsmith.share.exports.sources import ExportSource, SourceKind
from stemsmith.share.exports.writing import n_wav_bytes, write_wav

__all__ = ["FORMAT", "TranscriptionFormat"]

TABLE: Final = "metadata.csv"
_COLUMNS: Final = (  # of maestro-v3.0.0.csv
    "canonical_composer",
    "canonical_title",
    "split",
    "year",
    "midi_filename",
    "audio_filename",
    "duration",
)


class TranscriptionFormat(ExportFormat[CorpusSong]):
    """Recordings with notes in sounding time."""

    summary = "transcription as in MAESTRO: mix or stems, MIDI in sounding time, note CSV and JAMS"
    takes = frozenset({SourceKind.SONGS, SourceKind.RENDITIONS})
    variants = ("mix", "mix-flac", "stems", "stems-flac")

    def songs(self, sources: Sequence[ExportSource], config: ExportConfig) -> Sequence[CorpusSong]:
        """Return the songs of corpora."""
        return find_corpus_songs(sources, config)

    def files(self, song: CorpusSong, config: ExportConfig) -> Sequence[PlannedFile]:
        """Return the audio and the MIDI of a song; tables of notes are small."""
        track, planned = song.track(), []
        ending = "flac" if self._is_flac(config) else "wav"
        n_channels = max((s.record.n_channels or 1 for s in track.stems.values()), default=1)
        n_wav = n_wav_bytes(track.record.n_samples, n_channels)
        for name, stems in self._recordings(song, track, config):
            n_notes = sum(track.stems[stem].record.n_notes for stem in stems)
            path = f"{song.split}/{name}"
            n_audio = n_wav // 2 if self._is_flac(config) else n_wav
            planned.append(PlannedFile(f"{path}.{ending}", n_audio))
            planned += [PlannedFile(f"{path}.{e}", 60 * n_notes) for e in _NOTE_ENDINGS]
        return planned

    def _is_flac(self, config: ExportConfig) -> bool:
        return self.variant(config).endswith("-flac")

    def _recordings(
        self, song: CorpusSong, track: Track, config: ExportConfig
    ) -> list[tuple[str, tuple[str, ...]]]:
        """Return the recordings that a song makes: their names, and the stems in each."""
        if self.variant(config).startswith("stems"):
            return [(f"{song.name}_{stem}", (stem,)) for stem in track.stems]
        return [(song.name, tuple(track.stems))]

    def write(self, song: CorpusSong, config: ExportConfig, folder: Path) -> Mapping[str, Any]:
        """Write the recordings of a song; return their rows of the table."""
        track = song.track()
        notes = {name: notes_of(stem) for name, stem in track.stems.items()}
        controls = {name: _controls(track, stem) for name, stem in track.stems.items()}
        made = read_integers(track)
        duration_s = track.record.n_samples / track.sample_rate
        versions = song.corpus.header.get("versions", {})
        ending = "flac" if self._is_flac(config) else "wav"
        title, rows = _title(track), []
        for name, stems in self._recordings(song, track, config):
            place = folder / song.split / name
            place.parent.mkdir(parents=True, exist_ok=True)
            stem = None if name == song.name else stems[0]
            _write_audio(_suffixed(place, ending), track, made, stem)
            played = {stem: notes[stem] for stem in stems}
            moved = {stem: controls[stem] for stem in stems}
            _suffixed(place, "midi").write_bytes(midi_of(track, played))
            _write_csv(_suffixed(place, "notes.csv"), SoundingNote, played)
            _write_csv(_suffixed(place, "controls.csv"), Control, moved)
            text = jams_text(title, duration_s, played, moved, versions)
            _suffixed(place, "jams").write_bytes(text.encode("utf-8", "backslashreplace"))
            path = f"{song.split}/{name}"
            midi, sound = f"{path}.midi", f"{path}.{ending}"
            rows.append(["", title, song.split, "", midi, sound, duration_s])
        return {"rows": rows, "gain_db": made.gain_db}

    def finish(
        self,
        songs: Sequence[ExportedSong[CorpusSong]],
        sources: Sequence[ExportSource],
        config: ExportConfig,
        folder: Path,
    ) -> None:
        """Write the table of all recordings, and what is known of licences."""
        rows = [_COLUMNS, *(row for song in songs for row in song.facts["rows"])]
        (folder / TABLE).write_bytes(_csv(rows))
        write_cards(folder, sources, labels_of(songs), _HOW_TO_LOAD)


_NOTE_ENDINGS: Final = ("midi", "notes.csv", "controls.csv", "jams")
_HOW_TO_LOAD: Final = f"""\
```python
import pandas, pretty_midi, soundfile
table = pandas.read_csv("FOLDER/{TABLE}")  # the columns of maestro-v3.0.0.csv
row = table.iloc[0]
samples, sample_rate = soundfile.read(f"FOLDER/{{row.audio_filename}}")
notes = pretty_midi.PrettyMIDI(f"FOLDER/{{row.midi_filename}}").instruments[0].notes
```

Composer and year are empty: nobody knows them of a MIDI file. Times are seconds of the audio, and
notes end where they end to sound: pedals are in the MIDI files already, and stand by themselves in
`.controls.csv` and `.jams`, as do bends."""


def _suffixed(place: Path, ending: str) -> Path:
    return place.with_name(f"{place.name}.{ending}")


def _write_audio(path: Path, track: Track, made: IntegerSong, stem: str | None) -> None:
    """Write a stem or the mixture; as FLAC it is the file of the corpus where there is one."""
    audio = made.mixture if stem is None else made.stems[stem]
    if path.suffix == ".wav":
        write_wav(path, audio, track.sample_rate)
        return
    source = _source(track, stem)
    data = encode_flac(audio, track.sample_rate) if source is None else places.read_bytes(source)
    path.write_bytes(with_md5(data, path.name))


def _source(track: Track, stem: str | None) -> Path | None:
    """Return the file of a stem, or of the mixture; None for renditions, whose audio is made."""
    if not isinstance(track.record, Song):
        return None
    path = track.record.mix_path if stem is None else track.stems[stem].record.path
    return storage.inside(track.root, path)


def _title(track: Track) -> str:
    """Return what the score is called, as far as its file says."""
    assert isinstance(track.record, Song | Rendition)
    return PurePosixPath(track.record.source).stem


def _controls(track: Track, stem: TrackStem) -> list[Control]:
    record = stem.record
    data = read_checked(track.root, RecordedFile(record.midi_path, record.midi_sha256))
    try:
        return controls_of(stem, data)
    except (OSError, ValueError, EOFError, KeyError, IndexError) as error:
        detail = f"{track.root / record.midi_path}: not readable MIDI: {error}"
        raise NotExportable(Reason.DAMAGED, detail) from error


def _write_csv(
    path: Path, row_type: type[SoundingNote] | type[Control], rows: Mapping[str, Sequence[Any]]
) -> None:
    """Write notes or controls of stems, in order of time."""
    heading = ["stem", *(field.name for field in fields(row_type))]
    lines = [(stem, *astuple(row)) for stem, ours in rows.items() for row in ours]
    path.write_bytes(_csv([heading, *sorted(lines, key=lambda line: (line[1], line[0]))]))


def _csv(rows: Iterable[Sequence[Any]]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue().encode("utf-8", "backslashreplace")


FORMAT: Final = TranscriptionFormat()
