"""The page of a corpus: its size, what is in it, how it sounds, and what is wrong with it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Final

import numpy as np
from stemsmith.manifests.arrays import Float64s
from stemsmith.manifests.corpus import Corpus
from stemsmith.manifests.jobs import Progress
from stemsmith.manifests.records import Song
from stemsmith.manifests.renditions import RENDITIONS
from stemsmith.share.charts import Caption, bars, histograms
from stemsmith.share.report.config import ReportConfig
from stemsmith.share.report.content import (
    Block,
    Chart,
    DataTable,
    Facts,
    Notice,
    PageSection,
    Prose,
    TableCell,
    setting_rows,
)
from stemsmith.share.report.corpus_numbers import CorpusNumbers, DatasetSize, TrackCounts
from stemsmith.share.report.listening import corpus_players
from stemsmith.share.report.musical_key import KEYS
from stemsmith.share.report.published_sizes import PUBLISHED_SIZES, SIZES_SOURCE

__all__ = ["corpus_sections", "sizes_table"]

_MOST_BARS: Final = 24  # of a chart; a table has all
_MOST_REJECTIONS: Final = 12
_ALIKE: Final = 0.05  # values that differ by less are no distribution
_NBSP: Final = "\N{NO-BREAK SPACE}"


def corpus_sections(
    corpus: Corpus,
    numbers: CorpusNumbers,
    config: ReportConfig,
    progress: Progress,
    spectra: Sequence[Block] | None = None,
) -> list[PageSection]:
    """Return the sections of a corpus of songs or of renditions.

    Parameters
    ----------
    corpus : Corpus
        What the page is of.
    numbers : CorpusNumbers
        What `measure_corpus` counted in it.
    config : ReportConfig
        How many songs can be played, which ones, and how long.
    progress : Progress
        Is told how far the work is, and warned of songs that cannot be played.
    spectra : sequence of Block, optional
        The mean spectrum. None where size and spectrum stand beside those of others already.

    Raises
    ------
    InvalidCorpus
        If the records of the corpus cannot be read.
    """
    songs = "renditions" if corpus.kind == RENDITIONS else "songs"
    if not numbers.n_songs:
        return [
            PageSection("At a glance", [Notice(f"There are no {songs} in this corpus.")]),
            PageSection("Left out", _left_out(corpus, numbers)),
        ]
    listening: list[Block] = [*corpus_players(corpus, config, progress)]
    if listening:
        has_sums = not any(song.has_own_mixture for song in _songs(corpus))
        listening.insert(0, Prose(_about_players(numbers, songs, len(listening), has_sums)))
    return [
        PageSection(
            "At a glance",
            [
                _facts(numbers, songs),
                *_classes(numbers, songs),
                *([] if spectra is None else [sizes_table({_name(corpus): numbers})]),
                *_settings(corpus),
            ],
        ),
        *([PageSection("Listen", listening)] if listening else []),
        PageSection("Instruments", _instruments(numbers, songs)),
        PageSection("Sound", [*_levels(numbers, songs), *(spectra or ())]),
        PageSection("Music", _music(numbers, songs)),
        PageSection("Quality", _defects(numbers)),
        PageSection("Left out", _left_out(corpus, numbers)),
        PageSection("Licences and splits", _provenance(numbers, songs)),
    ]


def _settings(corpus: Corpus) -> list[Block]:
    """Return the options of the corpus, and the versions of what rendered it."""
    rows = setting_rows(corpus.header.get("config") or {})
    versions = list((corpus.header.get("versions") or {}).items())
    return [
        DataTable("Options that it was rendered with", ("option", "value"), rows, is_folded=True),
        DataTable("Versions", ("package", "version"), versions, is_folded=True),
    ]


def _name(corpus: Corpus) -> str:
    return corpus.root.name or str(corpus.root)


def _songs(corpus: Corpus) -> Sequence[Song]:
    return [] if corpus.kind == RENDITIONS else corpus.song_records()


def _about_players(numbers: CorpusNumbers, songs: str, n_players: int, has_sums: bool) -> str:
    some = f"{n_players} of {numbers.n_songs} {songs}, drawn by lot"
    if n_players == numbers.n_songs:
        some = f"All {songs}"
    mixtures = "together they are the mixture"
    if not has_sums:
        mixtures = "the mixture was rendered as a whole, and is not quite their sum"
    return (
        f"{some}: the stretch of each in which most of its stems sound. Stems are in sync to the "
        f"sample, at the levels of the mixture; {mixtures}."
    )


def _facts(numbers: CorpusNumbers, songs: str) -> Facts:
    tracks = numbers.tracks
    return Facts(
        [
            (songs, f"{numbers.n_songs:,}"),
            ("hours of mixtures", _hours(numbers.hours)),
            ("stems", f"{numbers.n_stems:,}"),
            (f"stems of {_one(songs)}, median", f"{tracks.median:g}"),
            (f"stems of {_one(songs)}, range", _range(tracks)),
            ("instrument classes", str(len(numbers.songs_by_class))),
            ("patches", f"{len(numbers.stems_by_patch):,}"),
            ("notes", f"{numbers.n_notes:,}"),
        ]
    )


def _range(tracks: TrackCounts) -> str:
    return (
        str(tracks.least)
        if tracks.least == tracks.most
        else f"{tracks.least}\N{EN DASH}{tracks.most}"
    )


def _one(songs: str) -> str:
    return f"a {songs.removesuffix('s')}"


def _hours(hours: float) -> str:
    return f"{hours:.2f}" if hours < 10 else f"{hours:,.1f}"


def sizes_table(measured: Mapping[str, CorpusNumbers | DatasetSize]) -> DataTable:
    """Return the sizes of corpora and data sets beside published ones.

    Parameters
    ----------
    measured : mapping of str to CorpusNumbers or DatasetSize
        What was counted, by the name of the corpus or data set.
    """
    ours: list[list[TableCell]] = [
        [
            name,
            numbers.n_songs,
            _hours(numbers.hours),
            _range(numbers.tracks),
            f"{numbers.tracks.median:g}",
            len(numbers.songs_by_rendering_class)
            if isinstance(numbers, CorpusNumbers)
            else numbers.n_classes,
        ]
        for name, numbers in measured.items()
    ]
    theirs: list[list[TableCell]] = [
        [size.name, size.n_songs, f"{size.hours:,}", size.tracks, None, size.n_classes]
        for size in PUBLISHED_SIZES
    ]
    return DataTable(
        "Size beside published data sets",
        ("data set", "songs", "hours", "stems of a song", "median", "categories"),
        [*ours, *theirs],
        note=f"Published sizes as printed in {SIZES_SOURCE}. Categories are those that patches "
        "are drawn from, of which there are 34; of other data sets, their targets.",
    )


def _classes(numbers: CorpusNumbers, songs: str) -> list[Block]:
    """Return what is in a corpus at a glance: Figure 1 of the Slakh paper."""
    title = f"{songs.capitalize()} with at least one stem of a class"
    svg = _bars(title, numbers.songs_by_class, songs)
    return [Chart(svg, f"{title} (Figure 1 of the Slakh paper).", is_wide=True)]


def _instruments(numbers: CorpusNumbers, songs: str) -> list[Block]:
    rankings = [
        (f"{songs.capitalize()} with a stem of a category", numbers.songs_by_rendering_class),
        ("Stems that a patch plays", numbers.stems_by_patch),
    ]
    headings = [("category", songs), ("patch", "stems")]
    charts: list[Block] = []
    for (title, counts), (_, counted) in zip(rankings, headings, strict=True):
        words = f": the first {_MOST_BARS}" if len(counts) > _MOST_BARS else ""
        svg = _bars(title, counts, counted, is_narrow=True)
        charts.append(Chart(svg, f"{title}{words}."))
    of_class = f"{songs.capitalize()} with at least one stem of a class"
    return [
        *charts,
        _counted(of_class, numbers.songs_by_class, ("class", songs)),
        *(
            _counted(title, counts, heading)
            for (title, counts), heading in zip(rankings, headings, strict=True)
        ),
    ]


def _counted(title: str, counts: Mapping[str, int], headings: tuple[str, str]) -> DataTable:
    return DataTable(title, headings, list(counts.items()), is_folded=True)


def _bars(title: str, counts: Mapping[str, int], counted: str, *, is_narrow: bool = False) -> str:
    """Return a chart of the largest counts."""
    largest = dict(islice(counts.items(), _MOST_BARS))
    return bars(
        list(largest),
        {counted: list(largest.values())},
        Caption(title, _spoken(largest), x=counted),
        is_horizontal=True,
        is_narrow=is_narrow,
    )


def _spoken(counts: Mapping[str, int]) -> str:
    first = [f"{name} {count}" for name, count in islice(counts.items(), 5)]
    return f"Most frequent: {', '.join(first)}."


def _levels(numbers: CorpusNumbers, songs: str) -> list[Block]:
    return [
        *_histogram(
            numbers.mixture_lufs,
            "Integrated loudness of mixtures, estimated from the levels of their stems",
            "LUFS",
            songs,
        ),
        *_histogram(
            numbers.stem_lufs, "Integrated loudness of stems in the mixture", "LUFS", "stems"
        ),
        *_histogram(numbers.level_spread_lu, "Loudest against softest stem of a song", "LU", songs),
    ]


def _music(numbers: CorpusNumbers, songs: str) -> list[Block]:
    blocks = [
        *_histogram(numbers.duration_s, "Duration", "s", songs),
        *_histogram(numbers.polyphony, "Mean number of notes that sound together", "notes", songs),
        *_histogram(numbers.tempo_bpm, "Tempo", "quarter notes a minute", songs),
        *_keys(numbers, songs),
    ]
    n_changing = numbers.n_songs - len(numbers.tempo_bpm)
    if n_changing:
        blocks.append(
            Prose(f"Tempo is of {songs} that keep one; {n_changing} do not, or it is not known.")
        )
    return blocks


def _keys(numbers: CorpusNumbers, songs: str) -> list[Block]:
    if not numbers.songs_by_key:
        return []
    tonics = [key.removesuffix(" major") for key in KEYS if key.endswith(" major")]
    modes = {
        mode: [numbers.songs_by_key.get(f"{tonic} {mode}", 0) for tonic in tonics]
        for mode in ("major", "minor")
    }
    title = "Key, estimated from the notes (Krumhansl and Schmuckler)"
    said = ", ".join(f"{key} {count}" for key, count in numbers.songs_by_key.items())
    return [Chart(bars(tonics, modes, Caption(title, said, y=songs), is_narrow=True), f"{title}.")]


def _histogram(values: Float64s, title: str, unit: str, counted: str) -> list[Block]:
    if not values.size:
        return []
    low, middle, high = np.min(values), np.median(values), np.max(values)
    if high - low < _ALIKE:
        return [Prose(f"{title}: {_decimal(middle)} {unit} in all {values.size:,} {counted}.")]
    said = f"From {_decimal(low)} to {_decimal(high)} {unit}, median {_decimal(middle)}."
    n_bins = max(5, min(24, values.size // 2))
    caption = Caption(title, said, x=unit, y=counted)
    svg = histograms({counted: values}, caption, n_bins=n_bins, is_narrow=True)
    return [Chart(svg, f"{title}. {said}")]


def _decimal(value: float) -> str:
    return f"{value:,.1f}".replace("-", "\N{MINUS SIGN}")


def _defects(numbers: CorpusNumbers) -> list[Block]:
    if not numbers.n_audited:
        return [Notice("These stems have not been audited: nobody looked for defects.")]
    share = 100 * numbers.n_defective / numbers.n_audited
    found = (
        f"{numbers.n_defective:,} of {numbers.n_audited:,} audited stems have a defect "
        f"({share:.1f}{_NBSP}%)."
    )
    if not numbers.n_defective:
        found = f"The audit found no defect in {numbers.n_audited:,} stems."
    rows = [
        (kind, numbers.stems_by_defect.get(kind, 0), count)
        for kind, count in numbers.defects_by_kind.items()
    ]
    table = DataTable("Defects that the audit found", ("defect", "stems", "places"), rows)
    return [Prose(found), *([table] if rows else [])]


def _left_out(corpus: Corpus, numbers: CorpusNumbers) -> list[Block]:
    if not numbers.rejections:
        return [Prose("Nothing was left out.")]
    rows = [(reason, stage, count) for (stage, reason), count in numbers.rejections.items()]
    total = sum(numbers.rejections.values())
    some = [
        (record.id, str(record.reason), record.detail)
        for record in islice(corpus.rejection_records(), _MOST_REJECTIONS)
    ]
    title = "All of them" if len(some) == total else f"The first {len(some)} of {total:,}"
    return [
        DataTable(f"{total:,} left out, by reason", ("reason", "stage", "files"), rows),
        DataTable(title, ("file", "reason", "in words"), some, is_folded=True),
    ]


def _provenance(numbers: CorpusNumbers, songs: str) -> list[Block]:
    splits = [
        (split, count, _hours(numbers.hours_by_split[split]))
        for split, count in numbers.songs_by_split.items()
    ]
    blocks: list[Block] = [
        DataTable("Licences of the scores", ("licence", songs), list(numbers.licences.items()))
    ]
    if numbers.soundfonts:
        blocks.append(
            DataTable("Licences of the soundfonts", ("file", "licence"), list(numbers.soundfonts))
        )
    blocks.append(DataTable("Splits", ("split", songs, "hours"), splits))
    if numbers.n_duplicate_groups:
        words = (
            f"{numbers.n_songs_in_groups} pieces are the same music as another one, or nearly so, "
            f"in {numbers.n_duplicate_groups} groups; each group lies in one split."
        )
    else:
        words = "No two pieces are known to be the same music."
    return [*blocks, Prose(words)]
