"""The dataset card of a corpus: ``README.md``, as the Hugging Face Hub and ``datasets`` read it.

The front matter names the Parquet files, so that ``load_dataset(FOLDER, "stems")`` gives records: a
folder of FLAC files without one is taken for an ``AudioFolder``. The rest is for people. The same
corpus has the same card, whatever its folder is called.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from stemsmith.manifests import storage
from stemsmith.manifests.records import Song, Stem
from stemsmith.manifests.renditions import RENDITIONS, Rendition, RenditionStem
from stemsmith.manifests.shards import RecordTable
from stemsmith.manifests.splits import SPLITS

__all__ = [
    "CARD",
    "CITATION",
    "OTHER",
    "TITLES",
    "UNKNOWN",
    "CardConfig",
    "CorpusFacts",
    "card_title",
    "corpus_facts",
    "dataset_card",
    "hub_licence",
    "records_card",
    "text_cell",
    "write_records_card",
]

CARD: Final = "README.md"
UNKNOWN: Final = "unknown"
OTHER: Final = "other"
# A split of ``datasets``, for files that have the songs of all splits: none of ours, so that nobody
# trains on test songs by asking for ``train``.
_ALL_ROWS: Final = "corpus"
TITLES: Final = {  # what the configurations of a corpus are called, by the names of its shards
    "songs": "one row a song",
    "renditions": "one row a rendition: which stems it has, how they are moved and how loud",
    "stems": "one row a stem: patch, level, notes and envelopes",
    "pieces": "one row a piece of a drum kit",
}
_TAGS: Final = (
    "audio",
    "music",
    "music-source-separation",
    "automatic-music-transcription",
    "multitrack",
    "midi",
    "synthetic",
    "stemsmith",
)
_SIZES: Final = (  # the Hub's names of sizes, and the number of rows that each ends before
    ("n<1K", 10**3),
    ("1K<n<10K", 10**4),
    ("10K<n<100K", 10**5),
    ("100K<n<1M", 10**6),
    ("1M<n<10M", 10**7),
    ("10M<n<100M", 10**8),
)
_LARGEST: Final = "100M<n<1B"
_LONGEST_LICENCE: Final = 200  # characters
# SPDX identifiers that the Hub knows, in lower case: huggingface.co/docs/hub/repositories-licenses
_HUB_LICENCES: Final = frozenset(
    (
        "agpl-3.0",
        "apache-2.0",
        "artistic-2.0",
        "bsd-2-clause",
        "bsd-3-clause",
        "bsl-1.0",
        "cc0-1.0",
        "cc-by-2.0",
        "cc-by-2.5",
        "cc-by-3.0",
        "cc-by-4.0",
        "cc-by-nc-2.0",
        "cc-by-nc-3.0",
        "cc-by-nc-4.0",
        "cc-by-nc-nd-3.0",
        "cc-by-nc-nd-4.0",
        "cc-by-nc-sa-2.0",
        "cc-by-nc-sa-3.0",
        "cc-by-nc-sa-4.0",
        "cc-by-nd-4.0",
        "cc-by-sa-3.0",
        "cc-by-sa-4.0",
        "gpl-2.0",
        "gpl-3.0",
        "isc",
        "lgpl-2.1",
        "lgpl-3.0",
        "mit",
        "mpl-2.0",
        "ofl-1.1",
        "unlicense",
        "wtfpl",
        "zlib",
    )
)
CITATION: Final = """\
@software{stemsmith,
  title  = {stemsmith: multi-track corpora for music source separation, made from MIDI files},
  author = {{The stemsmith developers}}
}
@inproceedings{manilow2019cutting,
  title     = {Cutting Music Source Separation Some {Slakh}: A Dataset to Study the Impact of
               Training Data Quality and Quantity},
  author    = {Manilow, Ethan and Wichern, Gordon and Seetharaman, Prem and Le Roux, Jonathan},
  booktitle = {IEEE Workshop on Applications of Signal Processing to Audio and Acoustics (WASPAA)},
  year      = {2019}
}"""


@dataclass(frozen=True, slots=True)
class CardConfig:
    """One configuration of a dataset card: a table that ``load_dataset`` gives by name.

    Attributes
    ----------
    name : str
        Name to load it by, such as ``stems``.
    files : mapping of str to str
        Pattern of its files below the card's folder, by name of the split.
    n_rows : int
        Number of rows of all splits.
    title : str
        What a row is, for people.
    """

    name: str
    files: Mapping[str, str]
    n_rows: int
    title: str


@dataclass(frozen=True, slots=True)
class CorpusFacts:
    """What a card says of a corpus, in numbers.

    Attributes
    ----------
    kind : str
        ``songs`` or ``renditions``.
    n_songs : mapping of str to int
        Number of songs, or of scores that renditions are of, by split.
    n_rows : mapping of str to int
        Number of records by name of their shards: ``songs``, ``stems``, ``pieces``, ``renditions``.
    hours : float
        Hours of mixtures.
    sample_rates_hz : tuple of int
        All sample rates in Hz, in ascending order.
    n_channels : tuple of int
        All numbers of channels, in ascending order.
    n_notes : int
        Number of notes of all stems.
    classes : mapping of str to int
        Number of stems by class of instrument.
    licences : mapping of str to int
        Number of scores by SPDX licence, ``unknown`` where there is none on record.
    sounds : tuple of mapping
        Soundfonts and SFZ instruments, as the manifest has them: file, licence and hash.
    has_other_sounds : bool
        Whether patches may sound that are neither, of which no licence is on record.
    made_by : str
        Version of stemsmith that made it.
    seed : int or None
        Seed of all random choices.
    """

    kind: str
    n_songs: Mapping[str, int]
    n_rows: Mapping[str, int]
    hours: float
    sample_rates_hz: tuple[int, ...]
    n_channels: tuple[int, ...]
    n_notes: int
    classes: Mapping[str, int]
    licences: Mapping[str, int]
    sounds: tuple[Mapping[str, Any], ...]
    has_other_sounds: bool
    made_by: str
    seed: int | None

    @property
    def licence(self) -> str:
        """The one licence of everything in the Hub's spelling; ``other`` for several or a rare one.

        ``unknown`` where that of a score or of a sound is not on record.
        """
        fonts = [str(sound.get("licence") or UNKNOWN) for sound in self.sounds]
        known = [*self.licences, *fonts]
        if self.has_other_sounds or UNKNOWN in known or not self.licences:
            return UNKNOWN
        spelled = {hub_licence(licence) for licence in known}
        return spelled.pop() if len(spelled) == 1 else OTHER


@dataclass(slots=True)
class _RecordCounts:
    """Counts the records of a corpus."""

    n_rows: Counter[str] = field(default_factory=Counter)
    n_samples: Counter[int] = field(default_factory=Counter)
    n_channels: set[int] = field(default_factory=set)
    classes: Counter[str] = field(default_factory=Counter)
    licences: dict[str, str] = field(default_factory=dict)
    splits: dict[str, str] = field(default_factory=dict)
    n_notes: int = 0

    def add(self, kind: str, columns: Mapping[str, list[Any]]) -> None:
        """Count some columns of a shard."""
        self.n_rows[kind] += len(columns["split"])
        if kind == "pieces":
            return
        if kind in ("songs", "renditions"):
            rows = zip(columns["sample_rate"], columns["n_samples"], strict=True)
            for sample_rate, n_samples in rows:
                self.n_samples[sample_rate] += n_samples
        if kind == "stems":
            self.classes.update(columns["inst_class"])
            self.n_notes += sum(columns["n_notes"])
            self.n_channels |= {n or 1 for n in columns["n_channels"]}
        if "licence" in columns:  # of songs, and of stems of renditions
            songs = zip(columns["song_id"], columns["licence"], columns["split"], strict=True)
            for song_id, licence, split in songs:
                self.licences[song_id] = licence or UNKNOWN
                self.splits[song_id] = split


def corpus_facts(
    root: Path, header: Mapping[str, Any], tracks: Collection[str] | None = None
) -> CorpusFacts:
    """Count what is in a corpus, a shard of its records in memory at a time.

    Parameters
    ----------
    root : Path
        Folder of the corpus.
    header : mapping
        What its manifest says, or is about to say.
    tracks : collection of str, optional
        Labels of the songs that count; all of them by default.

    Raises
    ------
    InvalidCorpus
        If a shard cannot be read.
    """
    kind, tally = str(header.get("kind") or "songs"), _RecordCounts()
    types: dict[str, type] = {"songs": Song, "stems": Stem, "pieces": Stem}
    if kind == RENDITIONS:
        types = {"stems": RenditionStem, "renditions": Rendition}
    for entry in header["shards"]:
        name = str(entry["file"]).rpartition("-")[0]
        if name in types:
            path = storage.inside(root, str(entry["file"]))
            table = RecordTable[Any](path, types[name]).table
            if tracks is not None:
                labels = table.column("track").to_pylist()
                chosen = [row for row, label in enumerate(labels) if label in tracks]
                table = table.take(chosen) if chosen else table.slice(0, 0)
            tally.add(name, {c: table.column(c).to_pylist() for c in _counted(table.schema.names)})
    by_split, config = Counter(tally.splits.values()), header.get("config") or {}
    sounds = (*header.get("soundfonts", ()), *header.get("sfz_instruments", ()))
    # Packages that a manifest names only where folders of notes or plug-ins are among the patches.
    has_others = not sounds or bool({"soxr", "pedalboard"} & set(header.get("versions", {})))
    return CorpusFacts(
        kind=kind,
        n_songs={split: by_split[split] for split in SPLITS},
        n_rows=dict(tally.n_rows),
        hours=sum(n / rate for rate, n in tally.n_samples.items()) / 3600,
        sample_rates_hz=tuple(sorted(tally.n_samples)),
        n_channels=tuple(sorted(tally.n_channels)),
        n_notes=tally.n_notes,
        classes=dict(sorted(tally.classes.items(), key=lambda item: (-item[1], item[0]))),
        licences=dict(sorted(Counter(tally.licences.values()).items())),
        sounds=sounds,
        has_other_sounds=has_others,
        made_by=str(header.get("versions", {}).get("stemsmith", UNKNOWN)),
        seed=config.get("seed"),
    )


def _counted(names: Sequence[str]) -> list[str]:
    wanted = {
        *("song_id", "split", "sample_rate", "n_samples"),
        *("inst_class", "n_notes", "n_channels", "licence"),
    }
    return [name for name in names if name in wanted]


def hub_licence(licence: str) -> str:
    """Return an SPDX licence as the Hub spells it, or ``other`` for one that it does not know.

    Examples
    --------
    >>> hub_licence("CC-BY-4.0"), hub_licence("GPL-2.0-only"), hub_licence("free for any use")
    ('cc-by-4.0', 'gpl-2.0', 'other')
    """
    text = licence.casefold().removesuffix("-only").removesuffix("-or-later")
    return text if text in _HUB_LICENCES else OTHER


def write_records_card(root: Path, header: Mapping[str, Any]) -> None:
    """Write the card of a corpus as `stemsmith render` leaves it.

    Parameters
    ----------
    root : Path
        Folder of the corpus, whose shards are there.
    header : mapping
        What its manifest is about to say.
    """
    text = records_card(corpus_facts(root, header), bool(header.get("tars")))
    storage.write_atomic(root / CARD, text.encode("utf-8", "backslashreplace"))


def records_card(facts: CorpusFacts, is_in_tars: bool = False) -> str:
    """Return the card of a corpus whose audio lies beside its records.

    Parameters
    ----------
    facts : CorpusFacts
        What the corpus has.
    is_in_tars : bool
        Whether its songs lie in tars.
    """
    names = [name for name in TITLES if facts.n_rows.get(name)]
    configs = [
        CardConfig(name, {_ALL_ROWS: f"{name}-*.parquet"}, facts.n_rows[name], TITLES[name])
        for name in names
    ]
    how_to_load = f"{_HOW_TO_LOAD}\n\n{_ABOUT_TARS}" if is_in_tars else _HOW_TO_LOAD
    return dataset_card(facts, configs, how_to_load)


_HOW_TO_LOAD: Final = f"""\
```python
import stemsmith
corpus = stemsmith.Corpus("FOLDER")  # songs, stems, notes and audio

from datasets import load_dataset
stems = load_dataset("FOLDER", "stems")["{_ALL_ROWS}"]  # the records as a table
```

The Parquet files have the records of all splits, so that `datasets` has one split, called
`{_ALL_ROWS}`; the column `split` says which song is for training. Paths in the records are relative
to this folder. `stemsmith export FOLDER DEST --format hf` writes a copy with the audio within the
Parquet files and a file for each split."""
_ABOUT_TARS: Final = """\
The songs lie in tar files, some to each. The first name of a path is that of its tar: the member
`Track00001/mix.flac` of `train-00000.tar` is `train-00000.tar/Track00001/mix.flac`.

```python
import glob, webdataset
files = sorted(glob.glob("FOLDER/train-*.tar"))
whole = lambda name: name.replace("/", ".")  # a song is a sample, and not each of its files
for song in webdataset.WebDataset(files, rename_files=whole, shardshuffle=False):
    song["__key__"], song["mix.flac"], song["stems.s00.flac"]  # bytes of files
```"""


def dataset_card(
    facts: CorpusFacts,
    configs: Sequence[CardConfig],
    how_to_load: str,
    more: str = "",
    dataset_info: Sequence[Mapping[str, Any]] = (),
    manifest: str = "`manifest.json`",
) -> str:
    """Return a dataset card.

    Parameters
    ----------
    facts : CorpusFacts
        What the corpus has.
    configs : sequence of CardConfig
        What can be loaded by name; the first one is the default. There may be none.
    how_to_load : str
        Markdown below the heading that says so.
    more : str
        Further sections, each with its heading.
    dataset_info : sequence of mapping
        Columns of the configurations, as ``datasets`` writes them, where files do not say them.
    manifest : str
        Where the manifest of the corpus lies, in Markdown.
    """
    lines = [
        *_front_matter(facts, configs, dataset_info),
        "",
        f"# {card_title(facts)}",
        "",
        *_contents(facts),
        *(_tables(configs) if configs else ()),
        *("", "## How to load it", "", how_to_load),
        *_licences(facts),
        *("", "## How it was made", "", *_provenance(facts, manifest)),
        *(("", more) if more else ()),
        *("", "## Citation", "", "```bibtex", CITATION, "```"),
    ]
    return "\n".join(lines) + "\n"


def _tables(configs: Sequence[CardConfig]) -> Iterator[str]:
    yield from ("", "## Tables", "", "| configuration | rows | |", "|---|---:|---|")
    yield from (f"| `{c.name}` | {c.n_rows} | {text_cell(c.title)} |" for c in configs)


def card_title(facts: CorpusFacts) -> str:
    """Return what a corpus is, in a few words."""
    n_songs = sum(facts.n_songs.values())
    if facts.kind == RENDITIONS:
        return f"{facts.n_rows.get('renditions', 0)} renditions of {n_songs} scores"
    return f"Multi-track corpus of {n_songs} songs"


def _front_matter(
    facts: CorpusFacts, configs: Sequence[CardConfig], dataset_info: Sequence[Mapping[str, Any]]
) -> Iterator[str]:
    """Yield the YAML at the beginning; texts as JSON has them, which YAML reads too."""
    yield "---"
    yield f"pretty_name: {_quoted(card_title(facts))}"
    yield f"license: {facts.licence}"
    if facts.licence == OTHER:
        yield f"license_name: {_quoted('see the section Licences')}"
        yield f"license_link: {_quoted(CARD)}"
    yield "task_categories:"
    yield "- audio-to-audio"
    yield "tags:"
    yield from (f"- {tag}" for tag in _TAGS)
    yield "size_categories:"
    n_rows = (config.n_rows for config in configs)
    yield f"- {_size(max(n_rows, default=sum(facts.n_songs.values())))}"
    if configs:
        yield "configs:"
    for number, config in enumerate(configs):
        yield f"- config_name: {config.name}"
        if not number:
            yield "  default: true"
        yield "  data_files:"
        for split, pattern in config.files.items():
            yield f"  - split: {split}"
            yield f"    path: {_quoted(pattern)}"
    if dataset_info:
        yield f"dataset_info: {json.dumps(dataset_info, ensure_ascii=False)}"
    yield "---"


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _size(n_rows: int) -> str:
    return next((name for name, end in _SIZES if n_rows < end), _LARGEST)


def _contents(facts: CorpusFacts) -> Iterator[str]:
    songs = ", ".join(f"{n} {split}" for split, n in facts.n_songs.items())
    rates = " and ".join(f"{rate} Hz" for rate in facts.sample_rates_hz)
    channels = " and ".join({1: "mono", 2: "stereo"}.get(n, str(n)) for n in facts.n_channels)
    what = "Scores" if facts.kind == RENDITIONS else "Songs"
    is_long = facts.hours >= 1
    time = f"{facts.hours:.1f} hours" if is_long else f"{60 * facts.hours:.1f} minutes"
    yield f"{what}: {songs}; {time} of mixtures; {facts.n_rows.get('stems', 0)} stems with"
    yield f"{facts.n_notes} notes; FLAC, {rates}, {channels}."
    yield "All audio is synthetic: MIDI files, played by sampled instruments."
    yield from ("", "| class of instrument | stems |", "|---|---:|")
    yield from (f"| {text_cell(name)} | {n} |" for name, n in facts.classes.items())


def _licences(facts: CorpusFacts) -> Iterator[str]:
    yield from ("", "## Licences", "")
    yield "Audio is made of scores and of the sounds of instruments, and what may be done with it"
    yield "follows from the licences of both. `unknown` means that none is on record."
    yield from ("", "| licence of scores | scores |", "|---|---:|")
    yield from (f"| {text_cell(licence)} | {n} |" for licence, n in facts.licences.items())
    yield from ("", "| sounds | licence | SHA-256 |", "|---|---|---|")
    for sound in facts.sounds:
        file, licence = (str(sound.get(key) or UNKNOWN) for key in ("file", "licence"))
        if len(licence) > _LONGEST_LICENCE:  # a whole text; the manifest has it
            licence = f"{licence[:_LONGEST_LICENCE]} ..."
        digest = text_cell(sound.get("sha256") or UNKNOWN)
        yield f"| {text_cell(file)} | {text_cell(licence)} | `{digest}` |"
    if facts.has_other_sounds:
        yield f"| other patches: folders of notes, plug-ins | {UNKNOWN} | |"


def _provenance(facts: CorpusFacts, manifest: str) -> Iterable[str]:
    seed = "" if facts.seed is None else f" with the seed {facts.seed}"
    return (
        f"`stemsmith render` {text_cell(facts.made_by)} made it{seed}.",
        f"{manifest[:1].upper()}{manifest[1:]} has every option, version and hash:",
        "the same MIDI files and the same options give the same bytes.",
    )


def text_cell(value: object) -> str:
    r"""Return text that stays in its cell of a table, and is no markup.

    Parameters
    ----------
    value : object
        Anything, such as the name of a file or what a soundfont says of itself.

    Examples
    --------
    >>> text_cell("a|b <script>")
    'a\\|b &lt;script&gt;'
    """
    text = "".join(c if c.isprintable() else repr(c)[1:-1] for c in str(value))
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    for sign in "\\|`*_[]":
        text = text.replace(sign, f"\\{sign}")
    return text
