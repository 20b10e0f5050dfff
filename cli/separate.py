"""`stemsmith separate`: recordings become files of their targets."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from stemsmith.cli.options import (
    LOCAL_PATH,
    SOURCE,
    Common,
    command,
    config_options,
    read_config,
    serial_options,
)
from stemsmith.evaluate.nmf.options import NmfConfig
from stemsmith.evaluate.separation.options import SeparationConfig
from stemsmith.manifests.audio.formats import FileFormat
from stemsmith.manifests.paths import paths_between_commas
from stemsmith.train.machine import Device

if TYPE_CHECKING:
    from stemsmith.cli.console import Summary
    from stemsmith.evaluate.workflow import SeparatedFiles

__all__ = ["separate"]


@command(
    "stemsmith separate run song.wav out",
    "stemsmith separate runs/bass,runs/drums song.wav live.mp3 out --residual",
    "stemsmith separate nmf:song.mid song.wav out --updates 20",
    "stemsmith separate run song.wav out --format flac --device cpu",
)
@click.argument("runs", metavar="RUN[,RUN...]", type=SOURCE)
@click.argument("audio", nargs=-1, required=True, type=LOCAL_PATH)
@click.argument("destination", type=LOCAL_PATH)
@config_options(SeparationConfig, group="Trained runs only")
@config_options(NmfConfig, group="NMF only")
@click.option(
    "--format",
    "file_format",
    type=click.Choice([str(kind) for kind in FileFormat]),
    default=str(FileFormat.WAV),
    show_default=True,
    help="32-bit float WAV; or 24-bit FLAC or 16-bit WAV, which clip.",
)
@click.option(
    "--device",
    type=click.Choice([str(device) for device in Device]),
    default=str(Device.AUTO),
    show_default=True,
    help="Where to separate.",
)
@click.option("--overwrite", is_flag=True, help="Replace files that are there.")
@serial_options
def separate(
    runs: str,
    audio: tuple[Path, ...],
    destination: Path,
    file_format: str,
    device: str,
    overwrite: bool,
    common: Common,
    **options: Any,
) -> None:
    """Separate AUDIO with RUNs of `stemsmith train`, into DESTINATION/<name>/<target>.wav.

    Several runs, one per target say, are one system. In place of runs, nmf:SCORE.mid[,informed]
    factorises one recording by its score into its instruments.

    Any length, sample rate and number of channels; what libsndfile reads, and .mp4 and .m4a.
    """
    from stemsmith.cli.console import Terminal, print_rejections, print_summary
    from stemsmith.evaluate.workflow import separate_files

    done = separate_files(
        runs if runs.startswith("nmf:") else paths_between_commas(runs),
        audio,
        destination,
        read_config(SeparationConfig, options),
        nmf=read_config(NmfConfig, options),
        file_format=file_format,
        device=device,
        is_overwriting=overwrite,
        progress=Terminal(common),
    )
    print_rejections(common, done.rejections)
    print_summary(common, _summary(destination, done))


def _summary(destination: Path, done: SeparatedFiles) -> Summary:
    from stemsmith.cli.console import Summary

    values = {
        "destination": str(destination),
        "targets": list(done.targets),
        "n_recordings": len(done.recordings),
        "audio_s": done.audio_s,
        "processing_s": done.processing_s,
        "real_time_factor": done.real_time_factor,
        "rejections": {rejection.id: rejection.detail for rejection in done.rejections},
    }
    line = (
        f"{destination}: {', '.join(done.targets)} of {len(done.recordings)} "
        f"recordings, {done.audio_s:.1f} s; real-time factor {done.real_time_factor:.3g}"
    )
    if done.latency_s is not None:
        values["latency_ms"] = 1000 * done.latency_s
        line += f", algorithmic latency {1000 * done.latency_s:.0f} ms"
    if done.rejections:
        line += f"; {len(done.rejections)} left out"
    return Summary(line, values)
