"""Mixing with scores at hand: sources of other songs are rendered again to match an anchor."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack, cast, overload

from stemsmith.manifests.errors import UsageError
from stemsmith.manifests.jobs import QUIET, Progress, Workers
from stemsmith.mixing.plan.config import Match, MixConfig, MixOptions

if TYPE_CHECKING:
    from stemsmith.manifests.audio.formats import AudioFormat
    from stemsmith.manifests.shares import FinishedJob
    from stemsmith.mixing.mixtures import Mixtures
    from stemsmith.mixing.sources.taxonomy import Taxonomy
    from stemsmith.mixing.workflow import SourceLike
    from stemsmith.render.sound.patches import Bank

__all__ = ["mix"]


@overload
def mix(
    sources: SourceLike | Sequence[SourceLike],
    mixtures: str | Path,
    config: MixConfig | None = None,
    *,
    taxonomy: str | Taxonomy = "slakh",
    stems: str | Sequence[str] | None = None,
    audio_format: AudioFormat | str | None = None,
    bank: Bank | str | Path | None = None,
    soundfonts: Sequence[str | Path] = (),
    patches: str | Path | None = None,
    job: None = None,
    jobs: int | Workers = 0,
    scheduler: str | None = None,
    progress: Progress = QUIET,
    **options: Unpack[MixOptions],
) -> Mixtures: ...
@overload
def mix(
    sources: SourceLike | Sequence[SourceLike],
    mixtures: str | Path,
    config: MixConfig | None = None,
    *,
    taxonomy: str | Taxonomy = "slakh",
    stems: str | Sequence[str] | None = None,
    audio_format: AudioFormat | str | None = None,
    bank: Bank | str | Path | None = None,
    soundfonts: Sequence[str | Path] = (),
    patches: str | Path | None = None,
    job: str,
    jobs: int | Workers = 0,
    scheduler: str | None = None,
    progress: Progress = QUIET,
    **options: Unpack[MixOptions],
) -> FinishedJob: ...
def mix(
    sources: SourceLike | Sequence[SourceLike],
    mixtures: str | Path,
    config: MixConfig | None = None,
    *,
    taxonomy: str | Taxonomy = "slakh",
    stems: str | Sequence[str] | None = None,
    audio_format: AudioFormat | str | None = None,
    bank: Bank | str | Path | None = None,
    soundfonts: Sequence[str | Path] = (),
    patches: str | Path | None = None,
    job: str | None = None,
    jobs: int | Workers = 0,
    scheduler: str | None = None,
    progress: Progress = QUIET,
    **options: Unpack[MixOptions],
) -> Mixtures | FinishedJob:
    """Draw mixtures of the stems of some sources, and write how they are mixed.

    This is `stemsmith.mixing.mix`, with scores and patches at hand for `MixConfig.match`: sources
    of other songs are rendered again. A call that was killed goes on where it was if it is
    repeated; one whose mixtures are all there returns them.

    Parameters
    ----------
    sources : str, Path, Corpus, or a sequence of these
        Corpora, and other data sets as ``LAYOUT:PATH``, such as ``"musdb:musdb18"``.
    mixtures : str or Path
        The folder to write, which lies in none of the sources.
    config, taxonomy, stems, audio_format, job, jobs, scheduler, progress
        As for `stemsmith.mixing.mix`.
    bank : Bank, str or Path, optional
        Patches that the corpora were rendered with, as `make_bank` takes or returns them; by
        default those that `soundfonts` name. Only needed where something is to match.
    soundfonts, patches
        As for `make_bank`.
    **options
        Fields of `MixConfig`, which replace those of `config`.

    Returns
    -------
    Mixtures or FinishedJob
        The folder, opened. For a `job`, what it has done.

    Raises
    ------
    UsageError
        If options make no sense, a source is no folder, or the destination holds something else.
    InvalidCorpus
        If a source is damaged, or not what it was said to be.
    NothingToDo
        If no mixture can be drawn, or nothing matches; the text says what to change.

    Examples
    --------
    >>> import stemsmith
    >>> mixtures = stemsmith.mix(
    ...     "corpus", "new-mixtures", target="bass", n_mixtures=4, clip_s=1, min_rms_dbfs=-60
    ... )
    >>> mixtures.splits["train"], sorted(mixtures[0].realise())
    (4, ['bass', 'drums', 'guitar', 'mixture', 'piano'])
    """
    from stemsmith.mixing.workflow import mix as mix_sources

    config = dataclasses.replace(config or MixConfig(), **cast(Any, options))
    matcher = None
    if config.match is not Match.NONE and config.coherence != 1:
        from stemsmith.render.matched.matcher import ScoreMatcher
        from stemsmith.render.sound.measured_bank import with_compasses
        from stemsmith.render.sound.patches import Bank
        from stemsmith.render.workflow import make_bank

        if not isinstance(bank, Bank):
            bank = make_bank(soundfonts, bank, progress, patches=patches)
        matcher = ScoreMatcher(with_compasses(bank, progress))
    elif bank is not None or soundfonts or patches is not None:
        raise UsageError("soundfonts and banks: only with --mode across and a --match")
    how: dict[str, Any] = {
        "taxonomy": taxonomy,
        "stems": stems,
        "audio_format": audio_format,
        "job": job,
        "jobs": jobs,
        "scheduler": scheduler,
        "progress": progress,
        "matcher": matcher,
    }
    made: Mixtures | FinishedJob = mix_sources(sources, mixtures, config, **how)
    return made
