"""Hugging Face: ``load_dataset(FOLDER, "stems")`` and ``"songs"``, with the audio in the rows.

``parquet`` has audio as ``datasets.Audio`` stores it (a struct of ``bytes`` and ``path``; datasets,
src/datasets/features/audio.py, `Audio.pa_type`). ``webdataset`` has tar files, whose samples are
``KEY.flac``, ``KEY.json`` and ``KEY.mid``. Beside them lie the card, ``README.md``, with what
``datasets`` has to know of them, and ``croissant.json``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from stemsmith.manifests import shards
from stemsmith.manifests.corpus import Corpus
from stemsmith.manifests.errors import InvalidCorpus
from stemsmith.manifests.places import place
from stemsmith.manifests.splits import SPLITS
from stemsmith.render.certificate import JSON, MARKDOWN, check_certificate
from stemsmith.render.corpus.card import (
    CARD,
    TITLES,
    CardConfig,
    card_title,
    corpus_facts,
    dataset_card,
)
from stemsmith.share.exports.base import ExportedSong, ExportFormat, PlannedFile
from stemsmith.share.exports.corpus_songs import RecordedFile, only_corpus, read_checked
from stemsmith.share.exports.croissant import CROISSANT, CroissantTable, croissant
from stemsmith.share.exports.hub_tables import (
    HubTable,
    hub_features,
    hub_tables,
    recorded_files,
    write_parquet,
    write_tars,
)
from stemsmith.share.exports.options import ExportConfig
from stemsmith.share.exports.recorded import n_recorded_bytes
from stemsmith.share.exports.sources import ExportSource, SourceKind

__all__ = ["FORMAT", "HubFormat", "HubSong"]

_PARQUET: Final = "parquet"
_WEBDATASET: Final = "webdataset"
_ENDINGS: Final = {_PARQUET: "parquet", _WEBDATASET: "tar"}
_MANIFEST: Final = "corpus-manifest.json"


@dataclass(frozen=True, slots=True)
class HubSong:
    """A song, or the score of some renditions, whose rows are exported.

    Attributes
    ----------
    name : str
        Label of the song, ``Track00001``.
    split : str
        Split it belongs to: ``train``, ``validation`` or ``test``.
    root : str
        Absolute path of the corpus.
    files : tuple of RecordedFile
        All its files.
    """

    name: str
    split: str
    root: str
    files: tuple[RecordedFile, ...]


class HubFormat(ExportFormat[HubSong]):
    """A data set as `datasets` loads it."""

    summary = "Hugging Face datasets: audio and records in Parquet or WebDataset, card, Croissant"
    takes = frozenset({SourceKind.SONGS, SourceKind.RENDITIONS})
    variants = (_PARQUET, _WEBDATASET)

    def songs(self, sources: Sequence[ExportSource], config: ExportConfig) -> Sequence[HubSong]:
        """Return the songs of a corpus: what can be left out is a song with all its rows."""
        corpus = only_corpus(sources, "hf")
        counts: Counter[str] = Counter()
        songs = []
        for (split, track), files in recorded_files(corpus).items():
            counts[split] += 1
            if split in config.splits and (config.limit is None or counts[split] <= config.limit):
                songs.append(HubSong(track, split, str(sources[0].root), tuple(files)))
        return songs

    def files(self, song: HubSong, config: ExportConfig) -> Sequence[PlannedFile]:
        """Return the rows of a song as one file: those of several songs share theirs."""
        n_bytes = sum(n_recorded_bytes(place(song.root) / file.path) for file in song.files)
        ending = _ENDINGS[self.variant(config)]
        return [PlannedFile(f"*/{song.split}-*.{ending}: rows of {song.name}", n_bytes)]

    def write(self, song: HubSong, config: ExportConfig, folder: Path) -> Mapping[str, Any]:
        """Check all files of a song; the rows of several songs are written together, at the end."""
        for file in song.files:
            read_checked(place(song.root), file)
        return {}

    def finish(
        self,
        songs: Sequence[ExportedSong[HubSong]],
        sources: Sequence[ExportSource],
        config: ExportConfig,
        folder: Path,
    ) -> None:
        """Write the tables of the songs, the card and the metadata."""
        corpus, tracks = Corpus(sources[0].root), frozenset(one.song.name for one in songs)
        is_parquet = self.variant(config) == _PARQUET
        write, ending = write_parquet if is_parquet else write_tars, _ENDINGS[self.variant(config)]
        tables, configs = [], []
        for table in hub_tables(corpus):
            n_rows = {split: write(corpus, table, split, tracks, folder) for split in SPLITS}
            files = {split: f"{table.name}/{split}-*.{ending}" for split in SPLITS if n_rows[split]}
            if files:
                title, n_all = TITLES[table.name], sum(n_rows.values())
                configs.append(CardConfig(table.name, files, n_all, title))
                tables.append(table)
        facts = corpus_facts(corpus.root, corpus.header, tracks)
        (folder / _MANIFEST).write_bytes((corpus.root / shards.MANIFEST).read_bytes())
        certificate = "\n".join(_certificate(corpus.root, folder))
        info = [] if is_parquet else [hub_features(table) for table in tables]
        card = dataset_card(
            facts,
            configs,
            _how_to_load(configs, is_parquet),
            certificate,
            info,
            manifest=f"`{_MANIFEST}`",
        )
        described = [_described(table) for table in tables] if is_parquet else []
        metadata = croissant(facts, card_title(facts), described)
        for name, text in ((CARD, card), (CROISSANT, metadata)):
            (folder / name).write_bytes(text.encode("utf-8", "backslashreplace"))


def _described(table: HubTable) -> CroissantTable:
    files = f"{table.name}/*.parquet"
    return CroissantTable(table.name, files, table.record_type, table.columns, TITLES[table.name])


def _how_to_load(configs: Sequence[CardConfig], is_parquet: bool) -> str:
    split = next(iter(next(c for c in configs if c.name == "stems").files))
    lines = _LOAD_PARQUET if is_parquet else _LOAD_TARS
    return f"""\
```python
import io, soundfile
from datasets import Audio, load_dataset

# The folder, or the name of a repository on the Hub
stems = load_dataset("FOLDER", "stems", split="{split}")
{lines}

Decoding by `datasets` needs `torchcodec` and the libraries of FFmpeg; loading does not. Each split
has files of its own. Paths in the records are those in the corpus that this was exported from, and
`sha256` is the hash of the file in the same row."""


_LOAD_PARQUET: Final = """\
stems[0]["audio"].get_all_samples()  # decoded by torchcodec

plain = stems.cast_column("audio", Audio(decode=False))  # or without it
samples, sample_rate = soundfile.read(io.BytesIO(plain[0]["audio"]["bytes"]))
```

Columns are those of stemsmith's records; `audio` and `midi` hold the files themselves."""
_LOAD_TARS: Final = """\
samples, sample_rate = soundfile.read(io.BytesIO(stems[0]["flac"]))
stems.cast_column("flac", Audio())[0]["flac"].get_all_samples()  # or decoded by torchcodec
```

`json` holds stemsmith's record; `flac` and `mid` are the files themselves. The `webdataset` package
reads the tar files too."""


def _certificate(root: Path, folder: Path) -> Iterator[str]:
    """Copy the certificate of a corpus, if it has one that holds; yield what a card says of it."""
    yield from ("## Audit certificate", "")
    try:
        is_certified = check_certificate(root)
    except InvalidCorpus:
        is_certified = False
    if not is_certified:
        yield "The corpus had no certificate that holds when this was exported: `stemsmith certify`"
        yield "checks every file, compares all songs and audits the stems."
        return
    for name in (MARKDOWN, JSON):
        (folder / name).write_bytes((root / name).read_bytes())
    yield f"`{MARKDOWN}` says what was checked of the corpus, how often, and what was found; its"
    yield f"hashes are those of the corpus that this was exported from, as is `{_MANIFEST}`."


FORMAT: Final = HubFormat()
