"""WebDataset: songs in tar files, one sample a song, for training that streams.

A sample is ``KEY.mix.flac``, ``KEY.s00.flac``, ``KEY.s00.mid``, ... and ``KEY.json`` with the
records of song and stems, notes included; songs have ``KEY.all_src.mid``, their score, as well.
``webdataset.WebDataset`` calls the fields ``mix.flac`` and so on (webdataset, tariterators.py,
`group_by_keys`: a key ends at the first dot, and what follows becomes lower case).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from stemsmith.manifests import storage
from stemsmith.manifests.audio.flac import encode_flac
from stemsmith.manifests.corpus import Track
from stemsmith.manifests.records import Song
from stemsmith.manifests.shards import table_of
from stemsmith.manifests.splits import SPLITS
from stemsmith.manifests.tar_shards import writing_tar
from stemsmith.render.songs.metadata import SOURCE_MIDI
from stemsmith.share.exports.base import ExportedSong, ExportFormat, PlannedFile
from stemsmith.share.exports.corpus_cards import write_cards
from stemsmith.share.exports.corpus_songs import (
    CorpusSong,
    RecordedFile,
    find_corpus_songs,
    labels_of,
    read_checked,
)
from stemsmith.share.exports.hub_tables import SHARD_BYTES, record_json
from stemsmith.share.exports.integer_songs import read_integers
from stemsmith.share.exports.options import ExportConfig
from stemsmith.share.exports.recorded import n_recorded_bytes
from stemsmith.share.exports.sources import ExportSource, SourceKind

__all__ = ["FORMAT", "WebDatasetFormat"]

_SHARDS: Final = "shards.json"


class WebDatasetFormat(ExportFormat[CorpusSong]):
    """Tar files of whole songs."""

    summary = "WebDataset: tar files, one sample a song: mixture, stems, MIDI, records as JSON"
    takes = frozenset({SourceKind.SONGS, SourceKind.RENDITIONS})

    def songs(self, sources: Sequence[ExportSource], config: ExportConfig) -> Sequence[CorpusSong]:
        """Return the songs of corpora."""
        return find_corpus_songs(sources, config)

    def files(self, song: CorpusSong, config: ExportConfig) -> Sequence[PlannedFile]:
        """Return the sample of a song as one file: several samples share theirs."""
        track = song.track()
        n_bytes = sum(n_recorded_bytes(track.root / file.path) for _, file in _recorded(track))
        return [PlannedFile(f"{song.split}-*.tar: {song.name}.*", n_bytes)]

    def write(self, song: CorpusSong, config: ExportConfig, folder: Path) -> Mapping[str, Any]:
        """Check all files of a song, and count its bytes; samples are written at the end."""
        track = song.track()
        return {"n_bytes": sum(len(read_checked(track.root, f)) for _, f in _recorded(track))}

    def finish(
        self,
        songs: Sequence[ExportedSong[CorpusSong]],
        sources: Sequence[ExportSource],
        config: ExportConfig,
        folder: Path,
    ) -> None:
        """Write the tar files, their sizes, and what is known of the licences."""
        listing: dict[str, list[dict[str, Any]]] = {}
        for split in SPLITS:
            ours = [song for song in songs if song.song.split == split]
            for number, shard in enumerate(_sharded(ours)):
                path = folder / f"{split}-{number:05d}.tar"
                with storage.naming(path), path.open("wb") as file, writing_tar(file) as add:
                    for song in shard:
                        for name, content in _sample(song.song):
                            add(name, content)
                entry = {"file": path.name, "n_samples": len(shard)}
                listing.setdefault(split, []).append(entry)
        text = json.dumps(listing, indent=2) + "\n"
        (folder / _SHARDS).write_text(text, "utf-8")
        write_cards(folder, sources, labels_of(songs), _how_to_load(listing))


def _recorded(track: Track) -> Iterator[tuple[str, RecordedFile]]:
    """Yield the files that a song, or a rendition, is made of, by their endings in a sample."""
    if isinstance(track.record, Song):
        yield "mix.flac", RecordedFile(track.record.mix_path, track.record.mix_sha256)
        score = f"{track.record.path}/{SOURCE_MIDI}"
        yield SOURCE_MIDI, RecordedFile(score, track.record.midi_sha256)
    for name, stem in track.stems.items():
        record, key = stem.record, name.lower()
        yield f"{key}.flac", RecordedFile(record.path, record.sha256)
        yield f"{key}.mid", RecordedFile(record.midi_path, record.midi_sha256)


def _sharded(songs: Sequence[ExportedSong[CorpusSong]]) -> Iterator[list[ExportedSong[CorpusSong]]]:
    waiting: list[ExportedSong[CorpusSong]] = []
    n_bytes = 0
    for song in songs:
        if waiting and n_bytes + song.facts["n_bytes"] > SHARD_BYTES:
            yield waiting
            waiting, n_bytes = [], 0
        waiting.append(song)
        n_bytes += song.facts["n_bytes"]
    if waiting:
        yield waiting


def _sample(song: CorpusSong) -> list[tuple[str, bytes]]:
    """Return the members of a sample, by name."""
    track, key = song.track(), song.name.replace(".", "_")
    is_song, gain_db = isinstance(track.record, Song), 0.0
    files = {
        ending: read_checked(track.root, file)
        for ending, file in _recorded(track)
        if is_song or ending.endswith(".mid")
    }
    if not is_song:
        made = read_integers(track)
        gain_db = made.gain_db
        files["mix.flac"] = encode_flac(made.mixture, track.sample_rate)
        for name, audio in made.stems.items():
            files[f"{name.lower()}.flac"] = encode_flac(audio, track.sample_rate)
    files["json"] = _json(track, gain_db)
    return [(f"{key}.{ending}", files[ending]) for ending in sorted(files)]


def _json(track: Track, gain_db: float) -> bytes:
    """Return the records of a song and its stems."""
    stems = {name.lower(): _plain(stem.record) for name, stem in track.stems.items()}
    return record_json({"song": _plain(track.record), "stems": stems, "gain_db": gain_db})


def _plain(record: Any) -> dict[str, Any]:
    (row,) = table_of([record], type(record)).to_pylist()
    plain: dict[str, Any] = row
    return plain


def _how_to_load(listing: Mapping[str, Sequence[Mapping[str, Any]]]) -> str:
    split = next(iter(listing))
    last = len(listing[split]) - 1
    return f"""\
```python
import io, soundfile, webdataset
files = "{split}-{{00000..{last:05d}}}.tar"
for sample in webdataset.WebDataset(files, shardshuffle=False):
    mixture, sample_rate = soundfile.read(io.BytesIO(sample["mix.flac"]))
    first_stem, _ = soundfile.read(io.BytesIO(sample["s00.flac"]))
```

`KEY.json` has the records of the song and of its stems, `{_SHARDS}` the number of samples of every
file."""


FORMAT: Final = WebDatasetFormat()
