"""`stemsmith mix`: stems become mixtures, as recipes and on request as audio."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click
from stemsmith.cli.options import (
    ANY_PATH,
    LAYOUT_NAMES,
    SOURCE,
    Common,
    bank_options,
    cache_option,
    command,
    common_options,
    config_options,
    grouped,
    is_given,
    job_option,
    read_config,
)
from stemsmith.manifests.audio.formats import AudioFormat
from stemsmith.manifests.errors import UsageError
from stemsmith.mixing.plan.config import ACROSS, MIXTURES, MixConfig
from stemsmith.mixing.sources.taxonomy import TAXONOMIES

if TYPE_CHECKING:
    from stemsmith.cli.console import Summary
    from stemsmith.mixing.mixtures import Mixtures

__all__ = ["mix", "summary_of"]

_AUDIO: Final = "Audio shards"


@command(
    "stemsmith mix corpus mixtures --target bass --hours 43",
    "stemsmith mix corpus musdb:musdb18hq mixtures --mode incoherent --taxonomy musdb",
    "stemsmith mix corpus mixtures --target drums --augment shift,gain --audio",
    "stemsmith mix corpus folder:voices mixtures --taxonomy musdb --overlay vocals",
    "stemsmith mix renditions mixtures --mode renditions --taxonomy bach10",
    epilog=LAYOUT_NAMES,
)
@click.argument("sources", nargs=-1, required=True, type=SOURCE)
@click.argument("mixtures", type=ANY_PATH)
@config_options(MixConfig)
@grouped(
    MIXTURES,
    "--taxonomy",
    default="slakh",
    show_default=True,
    help=f"{', '.join(TAXONOMIES)}, a TOML file with a table [targets], or package.module:OBJECT.",
)
@grouped(_AUDIO, "--audio", is_flag=True, help="Also write WebDataset shards of audio.")
@grouped(
    _AUDIO,
    "--audio-format",
    type=click.Choice([str(audio_format) for audio_format in AudioFormat]),
    default=str(AudioFormat.FLAC),
    show_default=True,
    help="With --audio: 16-bit FLAC, or float WAV.",
)
@grouped(
    _AUDIO,
    "--stems",
    help="With --audio: targets to write beside the mixture, or 'all'.  "
    "[default: --target, else all]",
)
@bank_options(ACROSS)
@job_option
@cache_option
@common_options
def mix(
    sources: tuple[str, ...],
    mixtures: Path,
    common: Common,
    taxonomy: str,
    audio: bool,
    audio_format: str,
    stems: str | None,
    soundfonts: tuple[Path, ...],
    bank: Path | str | None,
    patches: Path | None,
    job: str | None,
    **options: Any,
) -> None:
    """Mix the stems of SOURCES into MIXTURES: shards of recipes, and of audio with --audio.

    A source is a corpus that `stemsmith render` made, or another data set as LAYOUT:PATH. Killed
    at any moment, the same command goes on and ends with the same bytes.

    With --job, several commands fill MIXTURES at the same time, each with a share of the shards.

    With --match, sources of other songs are rendered again from their scores; --soundfont or
    --bank say what the corpora were rendered with.
    """
    from stemsmith.cli.array_job import job_summary
    from stemsmith.cli.console import Terminal, print_rejections, print_summary
    from stemsmith.manifests.shares import FinishedJob
    from stemsmith.mixtures import mix as mix_sources

    for name in ("audio_format", "stems"):
        if is_given(name) and not audio:
            raise UsageError(f"--{name.replace('_', '-')}: only with --audio")
    how: dict[str, Any] = {
        "taxonomy": taxonomy,
        "stems": stems if stems in (None, "all") else stems.split(","),
        "audio_format": audio_format if audio else None,
        "soundfonts": soundfonts,
        "bank": bank,
        "patches": patches,
        "job": job,
        "jobs": common.n_jobs,
        "scheduler": common.scheduler,
        "progress": Terminal(common),
    }
    made: Mixtures | FinishedJob = mix_sources(
        sources, mixtures, read_config(MixConfig, options), **how
    )
    if isinstance(made, FinishedJob):
        print_rejections(common, made.rejections)
        print_summary(common, job_summary(made, "mixtures", "mixtures"))
    else:
        print_rejections(common, made.rejection_records())
        print_summary(common, summary_of(made))


def summary_of(mixtures: Mixtures) -> Summary:
    """Return what a command says of the mixtures that it made."""
    from stemsmith.cli.console import Summary

    header = mixtures.header
    by_split = ", ".join(f"{n} {split}" for split, n in mixtures.splits.items())
    audio = f", audio in {len(header['audio_shards'])} shards" if header["audio"] else ""
    mode = header["config"]["mode"]
    rejections = header.get("rejections", {})
    left_out = f"; {sum(rejections.values())} left out" if rejections else ""
    own, n_own = "", mixtures.n_own_mixtures
    if "own_mixtures_sha256" in header:
        own = f", {n_own} of them excerpts of their songs' own mixtures"
    return Summary(
        f"{mixtures.root}: {sum(mixtures.splits.values())} {mode} mixtures ({by_split}), "
        f"{mixtures.hours:.2f} h{own}{audio}{left_out}",
        {
            "mixtures": str(mixtures.root),
            "n_mixtures": mixtures.splits,
            "hours": mixtures.hours,
            "sample_rate": mixtures.sample_rate,
            "n_shards": len(header["shards"]),
            "n_audio_shards": len(header["audio_shards"]),
            "rejections": rejections,
            **({"n_own_mixtures": n_own} if own else {}),
        },
    )
