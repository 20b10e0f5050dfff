"""Writes ``docs/formats.md``: every column of every Parquet file, from the records themselves.

A column's type follows from the record's annotation, as in the file; what it means is read from the
record's docstring. Run it after a record has changed; a test says when::

    python docs/site/formats.py
"""

from __future__ import annotations

import inspect
import itertools
import re
import typing
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

from stemsmith.evaluate.benchmark.results import EstimateFit, SeparationTime, SongScore
from stemsmith.manifests import records
from stemsmith.manifests.matched import MatchedStem
from stemsmith.manifests.mixtures import MeasuredFile, Mixture, MixtureSource
from stemsmith.manifests.renditions import Rendition, RenditionSource, RenditionStem
from stemsmith.manifests.shards import schema_of

__all__ = ["RECORDS", "described", "page"]

PAGE: Final = Path(__file__).resolve().parents[1] / "formats.md"
# Each record, the files that hold it, and those of records that lie in one of its columns.
RECORDS: Final[dict[str, tuple[tuple[type, str], ...]]] = {
    "A corpus": (
        (records.Song, "`songs-NNNNN.parquet`"),
        (records.Stem, "`stems-NNNNN.parquet`, and `pieces-NNNNN.parquet` of drum kits"),
        (records.Defect, "the column `defects` of a stem"),
        (
            records.Rejection,
            "`rejections-NNNNN.parquet`, of mixtures too; `rejections.parquet`",
        ),
        (records.Note, "no file: the table of notes that `Track.stems[...].notes` gives"),
    ),
    "A corpus of renditions": (
        (RenditionStem, "`stems-NNNNN.parquet`"),
        (Rendition, "`renditions-NNNNN.parquet`"),
        (RenditionSource, "the column `sources` of a rendition"),
    ),
    "Mixtures": (
        (Mixture, "`mixtures-SPLIT-NNNNN.parquet`"),
        (MixtureSource, "the column `sources` of a mixture"),
        (MatchedStem, "`matched/stems-NNNNN.parquet`"),
    ),
    "Results": (
        (SongScore, "`scores.parquet`"),
        (EstimateFit, "`fits.parquet`"),
        (SeparationTime, "`times.parquet`"),
    ),
    "The user's cache": ((MeasuredFile, "`envelopes/*/*.parquet`, one for each foreign file"),),
}
_HEAD: Final = """# Formats

Every column of every Parquet file. This page is written by `docs/site/formats.py` from the records
in the code, and a test compares the two. What else lies in the folders is in
[mixing.md](mixing.md#what-it-writes), [renditions.md](renditions.md#what-it-writes),
[training.md](training.md#a-runs-folder) and [evaluation.md](evaluation.md#results); the layout of
track folders is Slakh2100's.

* A file is one shard; `manifest.json` beside it names all shards with their numbers of rows and
  SHA-256. A folder with a manifest is a finished one.
* Paths are POSIX and relative to the folder. Times are samples at the record's own sample rate
  unless the name has a unit (`_s`). Levels are `_db`, `_dbfs` or `_lufs`.
* Columns that may be null say so. A later version adds such columns only, and reads files without
  them as nulls; what it does not know it passes over.
* `schema_version` in the manifest goes up where that does not suffice.

```python
import pyarrow.parquet as pq

pq.read_table("corpus/stems-00000.parquet", columns=["track", "inst_class", "n_notes"])
```

## Corpora in tars

`stemsmith render ... --tracks-per-tar 100` writes the songs of a corpus into tars, a series for
each split: `train-00000.tar`, `train-00001.tar`, `validation-00000.tar`, ... A corpus of 100,000
songs is then a thousand large files and some Parquet, and not 2.5 million small files. Renditions
have no tars: their stems are shared between mixtures.

* Members are the files of the folder, byte for byte: `Track00001/mix.flac`,
  `Track00001/stems/S00.flac`, `Track00001/MIDI/S00.mid`, `Track00001/all_src.mid`,
  `Track00001/metadata.yaml`, and `dry/`, `pieces/` and `master.flac` where there are such. They
  lie in the tar as they are, so that audio is read where it is and nothing is unpacked.
* Paths of records begin with the tar: `train-00000.tar/Track00001/stems/S00.flac`. All else that
  records say is as in folders, hashes above all, and whatever reads a corpus reads either.
* Which tar a song goes into is decided before the first one is rendered: the songs of a split in
  order of their numbers, so many to a tar. A song that is rejected is in none, and a tar whose
  songs all are is not there. So any number of workers, and any run that was killed and repeated,
  ends with the same bytes. With `--job 1/8`, a tar is of one job.
* A tar is written when the last of its songs is rendered. Until then they lie in `.render/`, as
  files: at most those of the tars that are at work.
* `manifest.json` lists the tars under `tars`: `file`, `n_songs`, `n_bytes` and `sha256`.
  `stemsmith validate` checks them, and that each holds the files of its songs and no other.
* With `--lazy` there is no audio in the tars. Paths of audio lead into them nevertheless, and who
  opens one has its song rendered; programs that read tars by themselves find MIDI and metadata.
* The format is USTAR: plain files of no owner and of no time, two empty blocks at the end, filled
  up to 10,240 bytes. Files of a song are in the order of their names.
* The first member, `__index__`, says where the others are: a line each of the offset of its content
  in the tar, its size (twelve digits both) and its name. Readers need not go from header to header,
  which in an object store is a request for each. Tars of other programs, without it, are read too.

Python's `tarfile` reads these files, and so does WebDataset, which passes over names such as
`__index__` and takes each file for a sample of its own. With slashes made dots, a song is one
sample:

```python
import webdataset

files = "corpus/train-{00000..00009}.tar"
whole = lambda name: name.replace("/", ".")
for song in webdataset.WebDataset(files, rename_files=whole, shardshuffle=False):
    song["__key__"], song["mix.flac"], song["stems.s00.flac"]  # Track00001, and bytes of files
```

What opens files by itself, as mirdata does, needs folders: `stemsmith export CORPUS FOLDER --format
mirdata`, or another format, writes them.

Rendering the demo's twelve scores into tars took 1.02 times the processor's time of rendering them
into folders, decoding all of them 1.05 times, and decoding excerpts 1.05 times
(`python benchmarks/scale.py tars --repeats 2`).
"""


def described(record_type: type) -> dict[str, str]:
    """Return what the docstring of a record says of each of its columns.

    Parameters
    ----------
    record_type : type
        The dataclass.
    """
    text = inspect.cleandoc(record_type.__doc__ or "")
    _, _, attributes = text.partition("Attributes\n----------\n")
    attributes = re.split(r"\n\n\w+\n-{3,}\n", attributes)[0]
    found: dict[str, str] = {}
    for entry in re.split(r"\n(?=\S)", attributes):
        names, _, body = entry.partition("\n")
        said = " ".join(body.split())
        found |= {name.strip(): said for name in names.partition(" : ")[0].split(",")}
    return found


def page() -> str:
    """Return the whole page."""
    parts = [_HEAD]
    for heading, entries in RECORDS.items():
        parts.append(f"## {heading}\n")
        for record_type, where in entries:
            parts.append(f"### {record_type.__name__}\n")
            summary = " ".join(inspect.cleandoc(record_type.__doc__ or "").split("\n\n")[0].split())
            parts.append(f"In {where}. {_cell(summary)}\n")
            parts.append(_table(record_type))
    parts.append(_reasons())
    return "\n".join(parts)


def _table(record_type: type) -> str:
    """Return the columns; those of which one sentence speaks share a row."""
    said = described(record_type)
    rows = ["| column | type | |", "|---|---|---|"]
    fields = list(schema_of(record_type))
    for text, group in itertools.groupby(fields, key=lambda field: said[field.name]):
        shared = list(group)
        names = ", ".join(f"`{field.name}`" for field in shared)
        kinds = ", ".join(dict.fromkeys(map(_kind, shared)))
        rows.append(f"| {names} | {kinds} | {_cell(text)} |")
    return "\n".join(rows) + "\n"


def _kind(field: Any) -> str:
    return _type_text(field.type) + (" or null" if field.nullable else "")


def _type_text(arrow_type: Any) -> str:
    text = str(arrow_type)
    if text.startswith("struct"):
        return "record"
    if text.startswith("list"):
        return f"list of {_type_text(arrow_type.value_type)}"
    return {"string": "text", "double": "float64", "float": "float32"}.get(text, text)


def _cell(text: str) -> str:
    """Return a docstring's text as Markdown in a table."""
    text = text.replace("``", "`").replace("|", "\\|")
    text = re.sub(r"\bNone\b", "Null", text)
    return re.sub(r"(?<!`)<([^>`]*)>", r"&lt;\1&gt;", text)


def _reasons() -> str:
    """Return the values of columns that have a few."""
    enums = {
        name: hint
        for entries in RECORDS.values()
        for record_type, _ in entries
        for name, hint in typing.get_type_hints(record_type).items()
        if isinstance(hint, type) and issubclass(hint, StrEnum)
    }
    lines = ["## Values\n"]
    for name, kind in enums.items():
        source = inspect.getsource(kind)
        lines += [f"### `{name}`\n", "| value | |", "|---|---|"]
        for member in kind:
            line = next((row for row in source.splitlines() if f'"{member.value}"' in row), "")
            comment = line.partition("#")[2].strip()
            lines.append(f"| `{member.value}` | {_cell(comment)} |")
        lines.append("")
    return "\n".join(lines)


if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")
