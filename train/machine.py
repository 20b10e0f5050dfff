"""What a model is trained with: device, processes, loader and logger.

Imports nothing heavy: commands read their options from here.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from stemsmith.manifests.errors import UsageError
from stemsmith.manifests.options import option, settle
from stemsmith.train.data.config import Loader
from stemsmith.train.report import LOGGERS

__all__ = ["Device", "Machine"]


class Device(StrEnum):
    """What does the arithmetic; ``auto`` is a GPU where there is one."""

    AUTO = "auto"
    CPU = "cpu"
    CUDA = "cuda"


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """Device, number of processes, loader and logger to train with.

    This decides how long training takes, and not what comes of it.

    Attributes
    ----------
    device : Device
        What does the arithmetic.
    n_devices, n_nodes : int
        Number of processes of one machine, and of machines; their batches add up (Lightning's
        DDP). Lightning launches them as local processes, or finds them launched by torchrun or
        SLURM.
    loader : Loader
        Whether mixtures are decoded again and again, or once.
    n_workers : int
        Number of processes that load examples ahead.
    n_threads : int or None
        Number of threads of each process that do arithmetic on the CPU; None takes PyTorch's, which
        is all cores. Where others use the cores as well, threads wait for each other in vain, and 1
        is far quicker.
    cache : Path or None
        Folder of decoded mixtures; None is the user's cache.
    logger : str
        What writes the results of every epoch beside ``metrics.csv``: one of
        `stemsmith.train.report.LOGGERS`, or ``package.module:Class`` of anyone's.
    """

    device: Device = option(Device.AUTO, "What does the arithmetic.")
    n_devices: int = option(
        1, "Devices, or processes on the CPU, that share a step (DDP).", flag="--devices"
    )
    n_nodes: int = option(1, "Machines that share a step.", flag="--nodes")
    loader: Loader = option(Loader.AUTO, "Decode mixtures again and again, or once.")
    n_workers: int = option(0, "Processes that load examples ahead.", flag="--workers")
    n_threads: int | None = option(
        None,
        "Threads of each process for arithmetic on the CPU.",
        flag="--threads",
        default_text="all cores",
    )
    cache: Path | None = option(
        None,
        "Folder for decoded mixtures.",
        default_text="the user's cache",
        is_in_manifest=False,
    )
    logger: str = option(
        "tensorboard",
        f"What writes the results of every epoch beside metrics.csv: {', '.join(LOGGERS.names)}, "
        "or package.module:Class of your own; csv is that file alone.",
    )

    def __post_init__(self) -> None:
        settle(self)
        for flag, value, least in (
            ("--devices", self.n_devices, 1),
            ("--nodes", self.n_nodes, 1),
            ("--workers", self.n_workers, 0),
            ("--threads", self.n_threads, 1),
        ):
            if value is not None and value < least:
                raise UsageError(f"{flag} {value}: at least {least}")
