"""Looking at corpora that are there: what `validate`, `certify` and `audit` do, in Python.

The functions print nothing and raise the errors of `stemsmith.manifests.errors`. They work in this
process unless `jobs` or `scheduler` ask for workers, and tell `progress` how far they are.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

from stemsmith.manifests.cluster import open_workers
from stemsmith.manifests.corpus import Corpus
from stemsmith.manifests.errors import InvalidCorpus, UsageError
from stemsmith.manifests.findings import raise_first_offence
from stemsmith.manifests.jobs import QUIET, Progress, Workers, do_jobs, needed
from stemsmith.manifests.places import place
from stemsmith.manifests.preflight import preflight
from stemsmith.manifests.records import Rejection, ScannedSong
from stemsmith.manifests.renditions import RENDITIONS
from stemsmith.manifests.shards import MANIFEST
from stemsmith.render.audit.published import SLAKH, AuditedStem, audit_file, plan_audit
from stemsmith.render.certificate import JSON as CERTIFICATE
from stemsmith.render.certificate import (
    Certificate,
    check_certificate,
    make_certificate,
    score_paths,
)
from stemsmith.render.corpus.manifest import bank_header, is_bank_of
from stemsmith.render.midi.scan import plan_scan, scan_files
from stemsmith.render.renditions import validate as pieces
from stemsmith.render.songs import validate as songs
from stemsmith.render.songs.validate_tars import plan_tar_validation, validate_tar
from stemsmith.render.sound.patches import Bank
from stemsmith.render.workflow import make_bank, same_sound

__all__ = ["audit_corpus", "certify_corpus", "validate_corpus"]


def validate_corpus(
    folder: str | Path,
    *,
    jobs: int | Workers = 0,
    scheduler: str | None = None,
    progress: Progress = QUIET,
) -> Corpus:
    """Check every checksum and invariant of a corpus of either kind.

    Parameters
    ----------
    folder : path
        Folder of the corpus.
    jobs, scheduler, progress
        As for `render_corpus`.

    Returns
    -------
    Corpus
        The corpus, if nothing is wrong with it.

    Raises
    ------
    InvalidCorpus
        Naming the first offender; it says so if the corpus was certified with other bytes.
    """
    corpus = Corpus(place(folder).resolve())
    is_certified = check_certificate(corpus.root)
    try:
        with open_workers(jobs, scheduler) as workers, _same_corpus(workers, corpus):
            _validate(corpus, workers, progress)
    except InvalidCorpus as error:
        if not is_certified:
            raise
        raise InvalidCorpus(f"{error}; these are no longer the bytes of {CERTIFICATE}") from error
    return corpus


def _validate(corpus: Corpus, workers: Workers, progress: Progress) -> None:
    if corpus.kind == RENDITIONS:
        piece_jobs = pieces.plan_validation(corpus)
        raise_first_offence(
            workers, pieces.validate_piece, piece_jobs, lambda job: job.track, progress
        )
    else:
        song_jobs = songs.plan_validation(corpus)
        raise_first_offence(
            workers, songs.validate_song, song_jobs, lambda job: job.song.track, progress
        )
        if tar_jobs := plan_tar_validation(corpus):
            raise_first_offence(workers, validate_tar, tar_jobs, lambda job: job.path, progress)


def certify_corpus(
    folder: str | Path,
    *,
    jobs: int | Workers = 0,
    scheduler: str | None = None,
    progress: Progress = QUIET,
) -> Certificate:
    """Check a corpus of either kind, and write what was checked and found into its folder.

    Parameters
    ----------
    folder : path
        Folder of the corpus.
    jobs, scheduler, progress
        As for `render_corpus`.

    Returns
    -------
    Certificate
        What ``CERTIFICATE.md`` and ``CERTIFICATE.json`` say, the same for the same corpus.

    Raises
    ------
    InvalidCorpus
        If the corpus is not valid; nothing is written then.
    """
    Corpus(folder)  # which names it as it was given
    corpus = Corpus(place(folder).resolve())
    paths = list(score_paths(corpus).values())
    scanned: list[ScannedSong | Rejection] = []
    with open_workers(jobs, scheduler) as workers, _same_corpus(workers, corpus):
        _validate(corpus, workers, progress)
        several = list(plan_scan(corpus.root, paths, math.inf))
        with progress.loop("compare", len(paths)) as ticker:
            for results in do_jobs(workers, scan_files, several, needed(lambda job: job.paths[0])):
                scanned += results
                ticker.advance(len(results))
    by_path = {s.path if isinstance(s, ScannedSong) else s.id: s for s in scanned}
    certificate = make_certificate(corpus, [by_path[path] for path in paths])
    certificate.write()
    return certificate


def audit_corpus(
    source: str | Path,
    *,
    soundfonts: Sequence[str | Path] = (),
    bank: Bank | str | Path | None = None,
    patches: str | Path | None = None,
    thorough: bool = False,
    jobs: int | Workers = 0,
    scheduler: str | None = None,
    progress: Progress = QUIET,
) -> list[AuditedStem]:
    """Check the stems of a corpus against their scores, by their sound.

    Parameters
    ----------
    source : path or str
        A corpus of songs, or ``slakh:PATH`` for a published one: any folder in which track
        folders of Slakh's layout lie.
    soundfonts, bank, patches
        What a corpus of ours was rendered with, as for `render_corpus`: its stems are then laid
        beside their notes as the patches play them alone, which finds far more. Where the default
        soundfont was used, it is found.
    thorough : bool
        Whether to look more closely, which takes longer: at each length of a note on its own, and
        at notes in several places.
    jobs, scheduler, progress
        As for `render_corpus`.

    Returns
    -------
    list of AuditedStem
        What was found, stem by stem in the order of the corpus.

    Raises
    ------
    UsageError
        If there are no stems, or the soundfonts or patches are not those of the corpus.
    InvalidCorpus
        If a file cannot be read; the text names it.
    """
    bank = _bank_of(str(source), soundfonts, bank, patches, progress)
    stem_jobs = [
        dataclasses.replace(
            job,
            path=str(place(job.path).absolute()),
            midi_path=str(place(job.midi_path).absolute()),
        )
        for job in plan_audit(str(source), thorough, bank)
    ]
    records = [job.record for job in stem_jobs]
    audio_s = sum(0.0 if stem is None else stem.n_samples / stem.sample_rate for stem in records)
    found = []
    with (
        open_workers(jobs, scheduler) as workers,
        nullcontext() if bank is None else same_sound(workers, bank),
        preflight(workers, inputs=[(job.path for job in stem_jobs)]),
        progress.loop("audit", len(stem_jobs), audio_s=audio_s) as ticker,
    ):
        for stem in do_jobs(workers, audit_file, stem_jobs, needed(lambda job: job.name)):
            found.append(stem)
            ticker.advance(audio_s=stem.duration_s)
    order = {job.name: number for number, job in enumerate(stem_jobs)}
    return sorted(found, key=lambda stem: order[stem.name])


def _bank_of(
    source: str,
    soundfonts: Sequence[str | Path],
    bank: Bank | str | Path | None,
    patches: str | Path | None,
    progress: Progress,
) -> Bank | None:
    """Return the bank that a corpus was rendered with; None if it is not at hand."""
    is_given = bool(soundfonts) or bank is not None or patches is not None
    if source.startswith(SLAKH):
        if is_given:
            raise UsageError("nobody knows the soundfonts of a published corpus: leave them out")
        return None
    manifest = Corpus(source).header
    if not isinstance(bank, Bank):
        bank = make_bank(soundfonts, bank, patches=patches)
    if is_bank_of(bank_header(bank), manifest):
        return bank
    if is_given:
        raise UsageError(f"{source}: was rendered with other soundfonts or patches than these")
    progress.note(
        f"{source}: its stems are checked against their scores alone; name the soundfonts or the "
        "patches that it was rendered with (--soundfont, --bank) to find more"
    )
    return None


def _same_corpus(workers: Workers, corpus: Corpus) -> AbstractContextManager[None]:
    return preflight(workers, inputs=[[corpus.root / MANIFEST]])
