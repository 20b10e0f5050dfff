"""What a run tells of its epochs while it trains: a bar for people, and loggers' files.

Imports nothing heavy: commands read the names of loggers from here.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path
from types import TracebackType
from typing import Final, Protocol, Self

from stemsmith.manifests.jobs import QUIET, Progress, Ticker
from stemsmith.manifests.registry import Registry
from stemsmith.train.schedule import Epoch

__all__ = ["LOGGERS", "Logger", "LoggerKind", "Reporter", "find_loggers"]


class Logger(Protocol):
    """Writes what came of the epochs of a run, wherever it likes to."""

    def log(self, history: Sequence[Epoch]) -> None:
        """Take all epochs so far; called after each one."""

    def close(self) -> None:
        """Write what is left: no epoch will follow."""


class LoggerKind(Protocol):
    """Makes a logger, as its class does."""

    def __call__(self, root: Path) -> Logger:
        """Return a logger of the run in a folder."""


LOGGERS: Final[Registry[LoggerKind]] = Registry("logger", "stemsmith.train.loggers", "LOGGER")
_TELLING_S: Final = 1.0
_RECORD: Final = "csv"  # what every run has: `TrainedRun` reads it


def find_loggers(name: str) -> list[LoggerKind]:
    """Return what makes the loggers of a run: its own record, and the one that the user wants.

    Parameters
    ----------
    name : str
        One of `LOGGERS`, or ``package.module:Class``.

    Raises
    ------
    UsageError
        If there is no such logger.
    """
    return [LOGGERS.load(one) for one in dict.fromkeys((_RECORD, name))]


class Reporter:
    """Tells of a run's epochs; nothing is shown or written without loggers and progress.

    Parameters
    ----------
    loggers : sequence of Logger
        Loggers of the run; closed at the end.
    progress : Progress
        Is shown a bar for every epoch.
    n_epochs : int
        Number of epochs, at most.
    """

    def __init__(
        self, loggers: Sequence[Logger] = (), progress: Progress = QUIET, n_epochs: int = 0
    ) -> None:
        self._loggers, self._progress, self._n_epochs = loggers, progress, n_epochs
        self._bar = ExitStack()
        self._ticker: Ticker | None = None
        self._started_s = self._told_s = 0.0
        self._n_done = self._n_left = 0  # batches of this call, and of all epochs

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bar.close()
        for logger in self._loggers:
            logger.close()

    def begin(self, history: Sequence[Epoch], n_batches: int) -> None:
        """Begin an epoch of so many batches, of training and validation; others lie before it."""
        self._bar.close()
        if not self._started_s:
            self._started_s = time.monotonic()
        self._n_left = (self._n_epochs - len(history)) * n_batches
        title = f"epoch {len(history) + 1}/{self._n_epochs}{_so_far(history)}"
        self._ticker = self._bar.enter_context(self._progress.loop(title, n_batches))

    def advance(self, audio_s: float, loss: Callable[[], float] | None = None) -> None:
        """Count a batch.

        Parameters
        ----------
        audio_s : float
            Seconds of audio that it has.
        loss : callable, optional
            Returns the mean training loss of the epoch so far. It is called once a second at most:
            a GPU has to be waited for.
        """
        self._n_done += 1
        self._n_left -= 1
        if self._ticker is None:
            return
        self._ticker.advance(audio_s=audio_s)
        now_s = time.monotonic()
        if loss is not None and now_s - self._told_s >= _TELLING_S:
            self._told_s = now_s
            left_s = self._n_left * (now_s - self._started_s) / self._n_done
            left = timedelta(seconds=round(left_s))
            self._ticker.tell(f"loss {loss():.4g}, all epochs in {left}")

    def end(self, history: Sequence[Epoch]) -> None:
        """End an epoch, the last one of `history`."""
        self._bar.close()
        self._ticker = None
        for logger in self._loggers:
            logger.log(history)


def _so_far(history: Sequence[Epoch]) -> str:
    if not history:
        return ""
    last = history[-1]
    if last.validation_loss is None:
        return f", training loss {last.train_loss:.4g}"
    ratio = "" if last.si_sdr_db is None else f", {last.si_sdr_db:.2f} dB"
    return f", validation loss {last.validation_loss:.4g}{ratio}"
