"""What is to be trained on what: everything that decides the result, and what a run says of it."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

from stemsmith.manifests import shards, storage
from stemsmith.manifests.mixtures import STAGE
from stemsmith.manifests.options import json_value, to_manifest
from stemsmith.train.data.examples import ExampleRules
from stemsmith.train.data.loaders import Choice
from stemsmith.train.machine import Machine
from stemsmith.train.models.base import ModelConfig
from stemsmith.train.run import TrainedRun
from stemsmith.train.schedule import TrainConfig

__all__ = ["TrainRequest", "describe"]

_PACKAGES: Final = ("stemsmith", "torch", "lightning", "numpy", "soundfile", "soxr")


@dataclass(frozen=True, kw_only=True)
class TrainRequest:
    """What is to be trained on what: everything that decides the result.

    Attributes
    ----------
    mixtures : tuple of Path
        Folders of `mix` whose training mixtures are concatenated.
    validation : tuple of Path or None
        Folders whose validation mixtures count; empty for those of `mixtures`, and None where
        nothing is validated: then the last weights are the run's.
    model : str
        Name of the model, as `stemsmith.train.models.registry.model_class` takes it.
    settings : ModelConfig
        Shape, targets and loss of the model.
    training : TrainConfig
        How the model learns.
    rules : ExampleRules
        How examples are drawn; has the seed of everything.
    init : TrainedRun or None
        A run whose weights are the first ones, for fine-tuning.
    """

    mixtures: tuple[Path, ...]
    validation: tuple[Path, ...] | None
    model: str
    settings: ModelConfig
    training: TrainConfig
    rules: ExampleRules
    init: TrainedRun | None = None

    @property
    def folders(self) -> dict[str, tuple[Path, ...]]:
        """Folders of mixtures, by the splits that are taken of them."""
        validation = () if self.validation is None else self.validation or self.mixtures
        return {"train": self.mixtures, "validation": validation}


def describe(
    request: TrainRequest,
    root: Path,
    machine: Machine,
    choice: Choice,
    n_examples: int,
    n_parameters: int,
) -> dict[str, Any]:
    """Return what ``run.json`` says.

    Parameters
    ----------
    request : TrainRequest
        What is trained; a run only goes on with the same ``"config"``.
    root : Path
        Folder of the run, from which the paths of mixtures are relative.
    machine : Machine
        Device, number of processes and loader to train with.
    choice : Choice
        The loader that was chosen.
    n_examples : int
        Number of training examples of an epoch.
    n_parameters : int
        Number of trained parameters of the model.
    """
    return {
        "config": {
            "model": request.model,
            "settings": {
                field.name: json_value(getattr(request.settings, field.name))
                for field in dataclasses.fields(request.settings)
            },
            "training": to_manifest(request.training),
            "rules": dataclasses.asdict(request.rules),
            "data": {
                name: [shards.read_manifest(path, STAGE)["fingerprint"] for path in some]
                for name, some in request.folders.items()
            },
            "init": None if request.init is None else request.init.weights_hash(),
        },
        "data": {
            name: [storage.relative(path, root) for path in some]
            for name, some in request.folders.items()
        },
        "n_parameters": n_parameters,
        "n_examples": n_examples,
        "machine": {
            **to_manifest(machine),
            "loader": str(choice.loader),
            "is_on_device": choice.is_on_device,
        },
        "versions": {name: version(name) for name in _PACKAGES},
    }
