"""A report: the sections of everything that it is of, in one page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib.metadata import version
from typing import Final

from stemsmith.evaluate.benchmark.datasets import Dataset
from stemsmith.evaluate.benchmark.results import Results
from stemsmith.manifests.corpus import CORPUS, Corpus
from stemsmith.manifests.errors import InvalidCorpus, UsageError
from stemsmith.manifests.jobs import Progress
from stemsmith.mixing.mixtures import Mixtures
from stemsmith.share.charts import Caption, Curve, deviation_curves
from stemsmith.share.report.config import ReportConfig
from stemsmith.share.report.content import (
    Block,
    Chart,
    DataTable,
    Facts,
    Notice,
    Page,
    PageSection,
)
from stemsmith.share.report.corpus import corpus_sections, sizes_table
from stemsmith.share.report.corpus_numbers import measure_corpus, measure_dataset
from stemsmith.share.report.listening import dataset_players
from stemsmith.share.report.mixtures import mixture_sections
from stemsmith.share.report.results import results_sections
from stemsmith.share.report.run import run_sections
from stemsmith.share.report.separated import separated_sections
from stemsmith.share.report.spectra import DatasetSpectrum, measure_spectrum
from stemsmith.share.report.subjects import SeparatedFolder, Subject, locate_subject
from stemsmith.train.run import TrainedRun

__all__ = ["make_page", "short_names"]

_N_SPECTRA: Final = 20  # songs of a data set whose spectra are measured


def make_page(
    subjects: Sequence[tuple[str, Subject]], config: ReportConfig, progress: Progress
) -> Page:
    """Make a page of some folders.

    Parameters
    ----------
    subjects : sequence of (str, Subject)
        What each is called, as the user wrote it, and the opened folder.
    config : ReportConfig
        What is shown of them.
    progress : Progress
        Is told how far the work is, and warned of what cannot be shown.

    Raises
    ------
    InvalidCorpus
        If records of a folder cannot be read.
    """
    names = short_names([path for path, _ in subjects])
    named = [(name, subject) for name, (_, subject) in zip(names, subjects, strict=True)]
    numbers = {name: measure_corpus(s) for name, s in named if isinstance(s, Corpus)}
    heard = {
        name: subject if isinstance(subject, Dataset) else path  # which is not searched again
        for name, (path, subject) in zip(names, subjects, strict=True)
        if isinstance(subject, Corpus | Dataset)
    }
    spectra: list[Block] | None = _spectra(heard, progress)
    is_alone = len(subjects) == 1
    sections: list[PageSection] = []
    if len(heard) > 1:
        sizes = {
            name: numbers[name] if isinstance(subject, Corpus) else measure_dataset(subject)
            for name, subject in named
            if isinstance(subject, Corpus | Dataset)
        }
        sections.append(PageSection("Side by side", [sizes_table(sizes), *(spectra or ())]))
        spectra = None
    for name, subject in named:
        if isinstance(subject, Results):
            continue
        if isinstance(subject, Corpus):
            found = corpus_sections(subject, numbers[name], config, progress, spectra)
        else:
            found = _sections_of(subject, config, progress, spectra or ())
        title = _heading(_kind(subject), name)
        sections += found if is_alone else [PageSection(title, (), found)]
    results = [subject for _, subject in subjects if isinstance(subject, Results)]
    if results:
        found = results_sections(results, config, progress)
        sections += found if is_alone else [PageSection("Results", (), found)]
    return Page(
        title=f"{_kind(subjects[0][1])} {names[0]}" if is_alone else "Report",
        lead=f"What there is to see and to hear in {_enumerated([path for path, _ in subjects])}.",
        sections=sections,
        footer=f"Made by stemsmith {version('stemsmith')}. This page needs no other file and no "
        "network.",
    )


def short_names(paths: Sequence[str]) -> list[str]:
    """Return the ends of paths, as long as it takes to tell them apart, and of one its folder too.

    Examples
    --------
    >>> short_names(["corpus", "mixtures"])
    ['corpus', 'mixtures']
    >>> short_names(["corpus"])
    ['workshop/corpus']
    """
    divided = [_divided(path) for path in paths]
    n_parts = 2 if len(paths) == 1 else 1
    while True:
        names = [layout + "/".join(parts[-n_parts:]) for layout, parts in divided]
        if len(set(names)) == len(names) or n_parts >= max(len(parts) for _, parts in divided):
            return names
        n_parts += 1


def _divided(path: str) -> tuple[str, tuple[str, ...]]:
    """Return the layout with its colon, if a text names one, and the parts of the path."""
    layout, root = locate_subject(path)
    parts = root.absolute().parts
    return ("" if layout == CORPUS else f"{layout}:", parts[1:] or parts)


def _kind(subject: Subject) -> str:
    for kind, word in _WORDS.items():
        if isinstance(subject, kind):
            return word
    raise AssertionError(subject)


_WORDS: Final[dict[type, str]] = {
    Corpus: "Corpus",
    Dataset: "Data set",
    Mixtures: "Mixtures",
    TrainedRun: "Run",
    Results: "Results of",
    SeparatedFolder: "Separated recordings",
}


def _heading(kind: str, name: str) -> str:
    return kind if name == kind.lower() else f"{kind} {name}"


def _enumerated(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _sections_of(
    subject: Mixtures | TrainedRun | Dataset | SeparatedFolder,
    config: ReportConfig,
    progress: Progress,
    spectra: Sequence[Block],
) -> list[PageSection]:
    if isinstance(subject, Dataset):
        return _dataset_sections(subject, config, progress, spectra)
    if isinstance(subject, SeparatedFolder):
        return separated_sections(subject, config, progress)
    if isinstance(subject, Mixtures):
        return mixture_sections(subject, config, progress)
    return run_sections(subject, config, progress)


def _dataset_sections(
    dataset: Dataset, config: ReportConfig, progress: Progress, spectra: Sequence[Block]
) -> list[PageSection]:
    """Return the sections of a data set that others made."""
    splits = [song.split for song in dataset.songs]
    facts = Facts(
        [
            ("songs", f"{len(dataset.songs):,}"),
            ("targets", str(len(dataset.targets))),
            *((f"songs of {split}", f"{splits.count(split):,}") for split in dict.fromkeys(splits)),
        ]
    )
    players = dataset_players(dataset.songs, config, progress)
    return [
        PageSection("At a glance", [facts, *spectra]),
        *([PageSection("Listen", players)] if players else []),
    ]


def _spectra(datasets: Mapping[str, str | Dataset], progress: Progress) -> list[Block]:
    """Return the mean spectra of corpora and data sets, in one chart."""
    found: list[DatasetSpectrum] = []
    blocks: list[Block] = []
    with progress.loop("spectra", len(datasets)) as ticker:
        for name, dataset in datasets.items():
            try:
                found.append(replace(measure_spectrum(dataset, _N_SPECTRA), name=name))
            except (InvalidCorpus, UsageError) as error:
                progress.warn(f"no spectrum: {error}")
                blocks.append(Notice(f"No spectrum: {error}"))
            ticker.advance()
    if not found:
        return blocks
    curves = {s.name: Curve(s.frequency_hz, s.mean_db, s.deviation_db) for s in found}
    title = "Mean spectra of mixtures (Figure 2 of the Slakh paper)"
    counts = "; ".join(f"{s.name}: {s.n_songs} of {s.n_available} songs" for s in found)
    caption = Caption(title, f"Of {counts}.", x="frequency / Hz", y="level / dB")
    words = (
        f"{title}: mean and standard deviation over songs of the log-magnitude spectrum of each, "
        f"frames of 4096 samples, 50 % overlap, each spectrum to unit energy. {counts}."
    )
    left_out = [line for s in found for line in s.left_out]
    if left_out:
        rows = [(line,) for line in left_out]
        blocks.append(DataTable("Songs without a spectrum", ("song",), rows, is_folded=True))
    return [Chart(deviation_curves(curves, caption), words, is_wide=True), *blocks]
