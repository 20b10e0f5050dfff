"""Separation by trained models, and scores of separations.

``metrics`` has the numbers, ``separation`` makes audio of targets with trained runs, ``benchmark``
scores systems on whole data sets; ``workflow`` joins these to `evaluate_system` and
`separate_files`.

The names below are imported when they are first used: commands read the options of this package,
and must stay quick; and only what separates needs PyTorch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from stemsmith.manifests.lazy import lazily

if TYPE_CHECKING:
    from stemsmith.evaluate.benchmark.latent_options import LatentConfig
    from stemsmith.evaluate.benchmark.latents import LatentMap, map_latents
    from stemsmith.evaluate.benchmark.options import EvaluationConfig
    from stemsmith.evaluate.benchmark.results import Results
    from stemsmith.evaluate.metrics.bsseval.bsseval import bss_eval
    from stemsmith.evaluate.metrics.bsseval.frames import BssScores, Framing
    from stemsmith.evaluate.metrics.per_song.si_sdr import si_sdr_db
    from stemsmith.evaluate.metrics.per_song.snr import snr_db
    from stemsmith.evaluate.metrics.registry import SONG_METRICS, Metric
    from stemsmith.evaluate.separation.options import SeparationConfig, Threshold
    from stemsmith.evaluate.separation.run import Run
    from stemsmith.evaluate.separation.separator import Separator
    from stemsmith.evaluate.workflow import (
        SeparatedFiles,
        evaluate_system,
        separate_files,
        validate_results,
    )

__all__ = [
    "SONG_METRICS",
    "BssScores",
    "EvaluationConfig",
    "Framing",
    "LatentConfig",
    "LatentMap",
    "Metric",
    "Results",
    "Run",
    "SeparatedFiles",
    "SeparationConfig",
    "Separator",
    "Threshold",
    "bss_eval",
    "evaluate_system",
    "map_latents",
    "separate_files",
    "si_sdr_db",
    "snr_db",
    "validate_results",
]

_HOMES: Final = {
    "SONG_METRICS": "metrics.registry",
    "BssScores": "metrics.bsseval.frames",
    "EvaluationConfig": "benchmark.options",
    "Framing": "metrics.bsseval.frames",
    "LatentConfig": "benchmark.latent_options",
    "LatentMap": "benchmark.latents",
    "Metric": "metrics.registry",
    "Results": "benchmark.results",
    "Run": "separation.run",
    "SeparatedFiles": "workflow",
    "SeparationConfig": "separation.options",
    "Separator": "separation.separator",
    "Threshold": "separation.options",
    "bss_eval": "metrics.bsseval.bsseval",
    "evaluate_system": "workflow",
    "map_latents": "benchmark.latents",
    "separate_files": "workflow",
    "si_sdr_db": "metrics.per_song.si_sdr",
    "snr_db": "metrics.per_song.snr",
    "validate_results": "workflow",
}

__getattr__, __dir__ = lazily(__name__, _HOMES)
