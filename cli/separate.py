"""`stemsmith separate`: recordings become files of their targets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from stemsmith.cli.options import Common, decorate, serial_options

if TYPE_CHECKING:
    from stemsmith.cli.console import Summary
    from stemsmith.evaluate.separation.files import Separated
    from stemsmith.evaluate.separation.options import SeparationOptions
    from stemsmith.evaluate.separation.postprocess import Threshold
    from stemsmith.evaluate.separation.separator import Separator
    from stemsmith.manifests.audio.write import FileFormat
    from stemsmith.manifests.records import Rejection

__all__ = ["options_of", "separate", "separation_options"]

_PATH = click.Path(path_type=Path)
separation_options = decorate(
    click.option(
        "--overlap",
        type=float,
        metavar="GAMMA",
        help="Of segments, 0 to (T - 1) / T of T frames; cnn and resnet.  "
        "[default: the model's: 1/6 for cnn, 0 for resnet]",
    ),
    click.option(
        "--mask-exponent",
        type=float,
        metavar="ALPHA",
        help="Share the mixture among all targets by |S|^ALPHA; 2 is the Wiener-like mask.",
    ),
    click.option(
        "--threshold",
        "thresholds",
        multiple=True,
        metavar="[TARGET=]T_J,T_M",
        help="Silence a target in segments of 0.8 s where its power is below T_J or the mixture's "
        "below T_M (mean squares; Brunner: 0.001,0.001 and other=0.0001,0); may be repeated.",
    ),
    click.option("--residual", is_flag=True, help="Also the mixture less all estimates."),
    click.option(
        "--phase",
        type=click.Choice(["mixture", "griffin-lim"]),
        default="mixture",
        show_default=True,
        help="The mixture's (resnet has phases of its own), or one that fits the magnitudes.",
    ),
    click.option("--iterations", type=int, help="Of Griffin-Lim.  [default: 32]"),
)


@click.command()
@click.argument("runs", metavar="RUN[,RUN...]")
@click.argument("audio", nargs=-1, required=True, type=_PATH)
@click.argument("destination", type=_PATH)
@separation_options
@click.option(
    "--streaming",
    is_flag=True,
    help="Give every sample as soon as can be, and report the algorithmic latency; cnn and resnet.",
)
@click.option(
    "--format",
    "file_format",
    type=click.Choice(["wav", "flac", "wav16"]),
    default="wav",
    show_default=True,
    help="32-bit float WAV; or 24-bit FLAC or 16-bit WAV, which clip.",
)
@click.option(
    "--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto", show_default=True
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

    Several runs, one per target say, are one system. Any length, sample rate and number of
    channels; what libsndfile reads, and .mp4.
    """
    from stemsmith.cli.console import print_rejections, print_summary
    from stemsmith.evaluate.separation.separator import Separator
    from stemsmith.manifests.audio.write import FileFormat

    _require_torch()
    folders = [Path(run) for run in runs.split(",")]
    separator = Separator.of_runs(folders, options_of(options), device)
    work = _Work(separator, destination, FileFormat(file_format))
    work.run(common, audio, overwrite)
    print_rejections(common, work.rejections)
    print_summary(common, work.summary())


def options_of(options: Mapping[str, Any]) -> SeparationOptions:
    """Return what `separation_options` say.

    Raises
    ------
    UsageError
        If they contradict each other, or a value cannot be.
    """
    from stemsmith.evaluate.separation.options import SeparationOptions
    from stemsmith.evaluate.separation.phase import ITERATIONS
    from stemsmith.manifests.errors import UsageError

    n_iterations = options["iterations"]
    if options["phase"] == "griffin-lim":
        n_iterations = ITERATIONS if n_iterations is None else n_iterations
        if n_iterations < 1:
            raise UsageError(f"--iterations {n_iterations}: at least 1")
    elif n_iterations is not None:
        raise UsageError("--iterations: only with --phase griffin-lim")
    return SeparationOptions(
        overlap=options["overlap"],
        mask_exponent=options["mask_exponent"],
        thresholds=dict(map(_threshold, options["thresholds"])),
        griffin_lim_iterations=n_iterations or 0,
        is_with_residual=options["residual"],
        is_streaming=options.get("streaming", False),
    )


def _threshold(text: str) -> tuple[str, Threshold]:
    from stemsmith.evaluate.separation.postprocess import Threshold
    from stemsmith.manifests.errors import UsageError

    target, _, powers = text.rpartition("=")
    try:
        source, mixture = map(float, powers.split(","))
    except ValueError:
        raise UsageError(f"--threshold {text}: write two powers, e.g. 0.001,0.001") from None
    return target or "*", Threshold(source, mixture)


def _require_torch() -> None:
    from importlib.util import find_spec

    from stemsmith.manifests.errors import UsageError, install_command

    if find_spec("torch") is None:
        raise UsageError(f"separating needs torch: {install_command('train')}")


class _Work:
    """Separates recordings one by one and counts what has come of it."""

    def __init__(self, separator: Separator, destination: Path, file_format: FileFormat) -> None:
        self._separator, self._destination, self._format = separator, destination, file_format
        self._n_recordings = 0
        self._audio_s = self._processing_s = 0.0
        self.rejections: list[Rejection] = []

    def run(self, common: Common, recordings: Sequence[Path], is_overwriting: bool) -> None:
        """Separate all that can be read."""
        import time

        from stemsmith.cli.console import progress, warn
        from stemsmith.evaluate.separation.files import outputs_of, separate_to_files
        from stemsmith.manifests.audio.flac import encoder_warnings
        from stemsmith.manifests.audio.write import FileFormat
        from stemsmith.manifests.errors import InvalidCorpus, NothingToDo
        from stemsmith.manifests.records import Reason, Rejection

        outputs = outputs_of(
            self._separator, recordings, self._destination, self._format, is_overwriting
        )
        if self._format is FileFormat.FLAC:
            for warning in encoder_warnings():
                warn(common, warning)
        with progress(common, "separate", len(recordings)) as ticker:
            for recording, files in zip(recordings, outputs, strict=True):
                start = time.perf_counter()
                try:
                    done = separate_to_files(self._separator, recording, files, self._format)
                except InvalidCorpus as error:
                    rejection = Rejection(str(recording), "separate", Reason.DAMAGED, str(error))
                    self.rejections.append(rejection)
                    continue
                self._n_recordings += 1
                self._processing_s += time.perf_counter() - start
                self._audio_s += done.info.n_samples / done.info.sample_rate
                self._warn_of_clipping(common, files, done)
                ticker.advance(audio_s=done.info.n_samples / done.info.sample_rate)
        if not self._n_recordings:
            raise NothingToDo(self.rejections[0].detail)

    def _warn_of_clipping(self, common: Common, files: Mapping[str, Path], done: Separated) -> None:
        from stemsmith.cli.console import warn

        for target, peak in done.peaks.items():
            if peak > 1 and self._format.is_integer:
                warn(common, f"{files[target]}: clipped, the peak is {peak:.2f}; WAV would hold it")

    def summary(self) -> Summary:
        """Return what has come of all recordings."""
        from stemsmith.cli.console import Summary

        separator, factor = self._separator, self._processing_s / self._audio_s
        values = {
            "destination": str(self._destination),
            "targets": list(separator.targets),
            "n_recordings": self._n_recordings,
            "audio_s": self._audio_s,
            "processing_s": self._processing_s,
            "real_time_factor": factor,
            "rejections": {rejection.id: rejection.detail for rejection in self.rejections},
        }
        line = (
            f"{self._destination}: {', '.join(separator.targets)} of {self._n_recordings} "
            f"recordings, {self._audio_s:.1f} s; real-time factor {factor:.3g}"
        )
        if separator.options.is_streaming:
            values["latency_ms"] = 1000 * separator.latency_s
            line += f", algorithmic latency {1000 * separator.latency_s:.0f} ms"
        if self.rejections:
            line += f"; {len(self.rejections)} left out"
        return Summary(line, values)
