"""stemsmith: multi-track corpora for music source separation, made from MIDI files.

The names below are the front door: the workflows of the command line as functions, and the folders
that they make as objects. Each is imported when it is first used, so that ``import stemsmith`` is
cheap, and needs only what its stage needs (PyTorch for training, say).

>>> import stemsmith
>>> stemsmith.__version__.count(".")
2
"""

from __future__ import annotations

from importlib.metadata import version
from typing import TYPE_CHECKING

from stemsmith.manifests.lazy import lazily

if TYPE_CHECKING:
    from stemsmith.cli.console import Terminal
    from stemsmith.evaluate.benchmark.results import Results
    from stemsmith.evaluate.metrics.bsseval.bsseval import bss_eval
    from stemsmith.evaluate.metrics.per_song.si_sdr import si_sdr_db
    from stemsmith.evaluate.realism.workflow import fit_balance, measure_gap
    from stemsmith.evaluate.separation.run import Run
    from stemsmith.evaluate.workflow import evaluate_system, separate_files
    from stemsmith.folders import merge, open_folder, validate
    from stemsmith.manifests.cluster import open_workers
    from stemsmith.manifests.corpus import Corpus
    from stemsmith.manifests.errors import (
        InvalidCorpus,
        NothingToDo,
        StemsmithError,
        UsageError,
    )
    from stemsmith.mixing.audio.realise import realise
    from stemsmith.mixing.level.loudness import integrated_loudness
    from stemsmith.mixing.mixtures import Mixtures
    from stemsmith.mixing.plan.config import MixConfig
    from stemsmith.mixtures import mix
    from stemsmith.render.corpus.config import RenderConfig
    from stemsmith.render.packs import pack, restore
    from stemsmith.render.renditions.config import RenditionConfig
    from stemsmith.render.workflow import (
        make_bank,
        render_corpus,
        render_midi,
        render_renditions,
        scan,
    )
    from stemsmith.train.models.base import SeparationModel
    from stemsmith.train.schedule import TrainConfig
    from stemsmith.train.workflow import train_model

__version__ = version("stemsmith")
__all__ = [
    "Corpus",
    "InvalidCorpus",
    "MixConfig",
    "Mixtures",
    "NothingToDo",
    "RenderConfig",
    "RenditionConfig",
    "Results",
    "Run",
    "SeparationModel",
    "StemsmithError",
    "Terminal",
    "TrainConfig",
    "UsageError",
    "__version__",
    "bss_eval",
    "evaluate_system",
    "fit_balance",
    "integrated_loudness",
    "make_bank",
    "measure_gap",
    "merge",
    "mix",
    "open_folder",
    "open_workers",
    "pack",
    "realise",
    "render_corpus",
    "render_midi",
    "render_renditions",
    "restore",
    "scan",
    "separate_files",
    "si_sdr_db",
    "train_model",
    "validate",
]

# Where each name comes from; the imports above say the same to type checkers.
_HOMES = {
    "Corpus": "manifests.corpus",
    "InvalidCorpus": "manifests.errors",
    "MixConfig": "mixing.plan.config",
    "Mixtures": "mixing.mixtures",
    "NothingToDo": "manifests.errors",
    "RenderConfig": "render.corpus.config",
    "RenditionConfig": "render.renditions.config",
    "Results": "evaluate.benchmark.results",
    "Run": "evaluate.separation.run",
    "SeparationModel": "train.models.base",
    "StemsmithError": "manifests.errors",
    "Terminal": "cli.console",
    "TrainConfig": "train.schedule",
    "UsageError": "manifests.errors",
    "bss_eval": "evaluate.metrics.bsseval.bsseval",
    "evaluate_system": "evaluate.workflow",
    "fit_balance": "evaluate.realism.workflow",
    "integrated_loudness": "mixing.level.loudness",
    "make_bank": "render.workflow",
    "measure_gap": "evaluate.realism.workflow",
    "merge": "folders",
    "mix": "mixtures",
    "open_folder": "folders",
    "open_workers": "manifests.cluster",
    "pack": "render.packs",
    "realise": "mixing.audio.realise",
    "render_corpus": "render.workflow",
    "render_midi": "render.workflow",
    "render_renditions": "render.workflow",
    "restore": "render.packs",
    "scan": "render.workflow",
    "separate_files": "evaluate.workflow",
    "si_sdr_db": "evaluate.metrics.per_song.si_sdr",
    "train_model": "train.workflow",
    "validate": "folders",
}

__getattr__, __dir__ = lazily(__name__, _HOMES)
