"""A trained run that separates."""

from __future__ import annotations

from os import PathLike
from typing import Any, Final, Unpack

import numpy as np
import numpy.typing as npt
from stemsmith.evaluate.separation.options import SeparationConfig, SeparationOptions
from stemsmith.evaluate.separation.separator import Separator
from stemsmith.manifests.arrays import Float32s
from stemsmith.manifests.errors import UsageError
from stemsmith.manifests.paths import local_path
from stemsmith.train.run import TrainedRun

__all__ = ["Run"]

_MOST_CHANNELS: Final = 1024  # beyond, somebody has swapped the axes


class Run(TrainedRun):
    """A trained run: what it is, as `TrainedRun` says, and separating with it.

    Parameters
    ----------
    folder : path
        What `stemsmith train` wrote, or the file that `stemsmith export` made of it.

    Examples
    --------
    >>> import stemsmith
    >>> run = stemsmith.Run("run")
    >>> run.separate("corpus/test/Track00003/mix.flac")["bass"].shape
    (1, 32000)
    """

    def __init__(self, folder: str | PathLike[str]) -> None:
        super().__init__(folder)
        self._separator: tuple[SeparationConfig, str, Separator] | None = None

    def separate(
        self,
        audio: npt.NDArray[Any] | str | PathLike[str],
        sample_rate: int | None = None,
        *,
        device: str = "auto",
        **options: Unpack[SeparationOptions],
    ) -> dict[str, Float32s]:
        """Separate a recording with the weights of the run.

        Parameters
        ----------
        audio : numpy.ndarray or path
            (n_channels, n_samples) or (n_samples,) of floats with full scale at 1; or a file of
            audio, which is held in memory as a whole.
        sample_rate : int, optional
            Sample rate of an array in Hz; a file says its own.
        device : str
            Where to separate: ``auto``, ``cpu`` or ``cuda``.
        **options
            Fields of `SeparationConfig`, such as ``overlap=0.5`` or ``mask_exponent=2``.

        Returns
        -------
        dict of str to numpy.ndarray
            The estimate of every target, (n_channels, n_samples) float32, at the same rate and
            aligned with the recording.

        Raises
        ------
        InvalidCorpus
            If the run or the file cannot be read, the recording is empty or has values that are
            no numbers, or its estimates have.
        UsageError
            For audio that is no such array, options that make no sense or that the model cannot
            follow, or a device that is not there.
        """
        separator = self._separator_of(SeparationConfig(**options), device)  # type: ignore[arg-type]
        if isinstance(audio, str | PathLike):
            return _joined(list(separator.separate_file(local_path(audio))))
        samples = np.atleast_2d(np.asarray(audio))
        if samples.ndim == 2 and len(samples) > _MOST_CHANNELS:
            raise UsageError(
                f"audio of shape {samples.shape}: it is (n_channels, n_samples); transpose it"
            )
        if sample_rate is None:
            raise UsageError("an array of samples needs its sample rate in Hz")
        return separator.separate(samples, sample_rate)

    def _separator_of(self, config: SeparationConfig, device: str) -> Separator:
        """Return the run as a system; the last one is kept, since loading it takes a while."""
        if self._separator is None or self._separator[:2] != (config, device):
            self._separator = None
            self._separator = config, device, Separator.of_runs([self.root], config, device)
        return self._separator[2]


def _joined(pieces: list[dict[str, Float32s]]) -> dict[str, Float32s]:
    return {name: np.concatenate([piece[name] for piece in pieces], axis=1) for name in pieces[0]}
