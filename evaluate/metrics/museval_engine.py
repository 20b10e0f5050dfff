"""BSS Eval by the museval package itself, to compare `bsseval` with: 50 times as slow."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt
from stemsmith.evaluate.metrics.bsseval.frames import SISEC18, BssScores, Framing
from stemsmith.manifests.errors import UsageError, install_command

__all__ = ["museval_bss_eval"]


def museval_bss_eval(
    references: npt.NDArray[Any],
    estimates: npt.NDArray[Any],
    sample_rate: int,
    framings: Sequence[Framing] = (SISEC18,),
) -> list[BssScores]:
    """Compare estimates with references, as `bss_eval` of ours does.

    Parameters
    ----------
    references, estimates : numpy.ndarray
        (n_targets, n_channels, n_samples) of any real type.
    sample_rate : int
        Sample rate of all signals in Hz.
    framings : sequence of Framing
        Windows of the scores; museval runs once for each of them.

    Returns
    -------
    list of BssScores
        Scores for each framing.

    Raises
    ------
    UsageError
        If museval is not installed.
    ValueError
        By museval: if shapes differ, or a reference or an estimate is silent throughout.
    """
    metrics = _museval_metrics()
    results = []
    for framing in framings:
        windows = framing.windows(sample_rate, references.shape[2])
        starts = [start for start, _ in windows]
        window = windows[0][1] - windows[0][0]
        with np.errstate(divide="ignore", invalid="ignore"):  # it takes logarithms of zero
            sdr_db, isr_db, sir_db, sar_db, _ = metrics.bss_eval(
                references.transpose(0, 2, 1),
                estimates.transpose(0, 2, 1),
                window=window,
                hop=starts[1] - starts[0] if len(starts) > 1 else window,
                framewise_filters=framing.has_own_filters,
            )
        start_s = np.array(starts) / sample_rate
        results.append(BssScores(sdr_db, isr_db, sir_db, sar_db, start_s, window / sample_rate))
    return results


@cache
def _museval_metrics() -> ModuleType:
    """Load ``museval/metrics.py`` alone, which needs NumPy and SciPy.

    Importing the package imports musdb and stempeg, which raises where ffmpeg or ffprobe is not
    on PATH. The module is looked up without importing the package, and is not put into
    `sys.modules`: a later ``import museval`` does what it always did.
    """
    package = importlib.util.find_spec("museval")
    if package is None or package.origin is None:
        raise UsageError(
            f"this engine needs museval; install it with: {install_command('evaluate')}"
        )
    path = Path(package.origin).with_name("metrics.py")
    spec = importlib.util.spec_from_file_location("museval_metrics", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
