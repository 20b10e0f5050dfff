"""What a command shows: progress, tables and the closing summary."""

from __future__ import annotations

import json
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any, Final, NamedTuple

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
)
from rich.table import Table
from rich.text import Text
from stemsmith.cli.options import Common
from stemsmith.manifests.errors import UsageError
from stemsmith.manifests.interrupts import stop_if_wanted
from stemsmith.manifests.records import Rejection

__all__ = [
    "BarTicker",
    "Summary",
    "Terminal",
    "check_replaceable",
    "print_rejections",
    "print_summary",
    "print_table",
    "progress",
    "warn",
]


_LINE_S: Final = 60.0  # between two lines where there is no terminal


class BarTicker:
    """Counts items and seconds of audio, and says how long the rest will take.

    Parameters
    ----------
    total : int
        Number of items.
    n_done : int
        Number of those that were done before, in no time.
    planned_audio_s : float
        Seconds of audio that the others stand for; 0 if nobody knows.

    Attributes
    ----------
    n_done : int
        Number of items that are done.
    audio_s : float
        Seconds of audio they stand for.
    """

    def __init__(self, total: int, n_done: int = 0, planned_audio_s: float = 0.0) -> None:
        self._total, self._n_before, self._planned_audio_s = total, n_done, planned_audio_s
        self._start = self._latest = time.monotonic()
        self.n_done = n_done
        self.audio_s = 0.0
        self._text = ""

    def advance(self, n: int = 1, audio_s: float = 0.0) -> None:
        """Count finished items."""
        stop_if_wanted()
        self.n_done += n
        self.audio_s += audio_s
        self._latest = time.monotonic()

    def tell(self, text: str) -> None:
        """Show a text beside the count, in place of the last one."""
        self._text = text

    @property
    def rate(self) -> str:
        """What was done in a second, and what was told."""
        elapsed_s = max(time.monotonic() - self._start, 1e-6)
        rates = [f"{(self.n_done - self._n_before) / elapsed_s:.2f}/s"]
        if self.audio_s:
            rates.append(f"{self.audio_s / elapsed_s:.0f} x real time")
        return ", ".join([*rates, *([self._text] if self._text else [])])

    @property
    def left_s(self) -> float | None:
        """Seconds that the rest will take, at the mean speed so far; None if nothing is done yet.

        The speed is that of audio where it is known how much is planned: a job may be one song of
        a minute, or of an hour.
        """
        done, planned = self.audio_s, self._planned_audio_s
        if not done or not planned:
            done, planned = self.n_done - self._n_before, self._total - self._n_before
        if not done:
            return None
        at_latest_s = max(planned - done, 0.0) * (self._latest - self._start) / done
        return max(at_latest_s - (time.monotonic() - self._latest), 0.0)

    def line(self, title: str) -> str:
        """Return all of this in a line."""
        left_s = self.left_s
        left = "" if left_s is None else f", {_clock(left_s)} left"
        return f"{title} {self.n_done}/{self._total}, {self.rate}{left}"


def _clock(seconds: float) -> str:
    return str(timedelta(seconds=round(seconds)))


class _TickerColumn(ProgressColumn):
    """A column that shows what a ticker says when it is drawn."""

    def render(self, task: Task) -> Text:
        ticker: BarTicker = task.fields["ticker"]
        left_s = ticker.left_s
        left = "-:--:--" if left_s is None else _clock(left_s)
        return Text(f"{ticker.rate}, {left} left")


class _Bar(BarTicker):
    """A ticker that a terminal shows as a bar."""

    def __init__(self, bar: Progress, title: str, total: int, n_done: int, audio_s: float) -> None:
        super().__init__(total, n_done, audio_s)
        self._bar = bar
        self._task = bar.add_task(title, total=total, completed=n_done, ticker=self)

    def advance(self, n: int = 1, audio_s: float = 0.0) -> None:
        """Count finished items."""
        super().advance(n, audio_s)
        self._bar.update(self._task, completed=self.n_done)


class Terminal:
    """The `stemsmith.manifests.jobs.Progress` of a command: bars and lines on standard error.

    Parameters
    ----------
    common : Common, optional
        Options of the command, of which ``--quiet`` shows nothing. By default all is shown.

    Examples
    --------
    >>> import stemsmith
    >>> inventory = stemsmith.scan("scores", progress=stemsmith.Terminal())
    """

    def __init__(self, common: Common | None = None) -> None:
        self._common = common or Common()

    def loop(
        self, title: str, total: int, *, n_done: int = 0, audio_s: float = 0.0
    ) -> AbstractContextManager[BarTicker]:
        """Show a bar, or a line a minute where standard error is no terminal."""
        stop_if_wanted()
        return progress(self._common, title, total, n_done, audio_s)

    def warn(self, message: str) -> None:
        """Print one line that begins with ``warning``."""
        warn(self._common, message)

    def note(self, message: str) -> None:
        """Print one line."""
        if not self._common.is_quiet:
            print(message, file=sys.stderr)


@contextmanager
def progress(
    common: Common, title: str, total: int, n_done: int = 0, audio_s: float = 0.0
) -> Iterator[BarTicker]:
    """Show on standard error how far a loop is, for its time.

    Parameters
    ----------
    common : Common
        Options of the command.
    title : str
        What the loop does.
    total, n_done : int
        Number of items, and of those that were done before.
    audio_s : float
        Seconds of audio that the others stand for; 0 if nobody knows.
    """
    console = Console(stderr=True)
    if console.is_terminal and not common.is_quiet:
        columns = (
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            _TickerColumn(),
        )
        with Progress(*columns, console=console) as bar:
            yield _Bar(bar, title, total, n_done, audio_s)
        return
    ticker = BarTicker(total, n_done, audio_s)
    with _lines(ticker, title, is_silent=common.is_quiet):
        yield ticker


@contextmanager
def _lines(ticker: BarTicker, title: str, is_silent: bool) -> Iterator[None]:
    """Print a line a minute: for logs of batch systems, and notebooks."""
    is_over = threading.Event()

    def speak() -> None:
        while not is_over.wait(_LINE_S):
            print(ticker.line(title), file=sys.stderr, flush=True)

    speaker = threading.Thread(target=speak, name="progress", daemon=True)
    if not is_silent:
        speaker.start()
    try:
        yield
    finally:
        is_over.set()
        if not is_silent:
            speaker.join()


def warn(common: Common, message: str) -> None:
    """Print one line on standard error."""
    if not common.is_quiet:
        print(f"warning: {message}", file=sys.stderr)


def check_replaceable(path: Path, begin: bytes, kind: str) -> None:
    """Check that a file can be written: those of earlier commands are replaced, no others.

    Parameters
    ----------
    path : Path
        The file that is to be written.
    begin : bytes
        What such files begin with.
    kind : str
        What they are, such as ``comparison``, for the error.

    Raises
    ------
    UsageError
        If its folder is not there, or it is a folder or another file.
    """
    if not path.absolute().parent.is_dir():
        raise UsageError(f"{path}: its folder is not there")
    if path.is_dir():
        raise UsageError(f"{path}: is a folder; name a file")
    if path.exists():
        with path.open("rb") as file:
            if file.read(len(begin)) not in (b"", begin):
                raise UsageError(
                    f"{path}: is there already, and not of an earlier {kind}; choose another"
                )


def print_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print a table; numbers are set to the right."""
    table = Table(title=title, title_justify="left", title_style="bold")
    for index, column in enumerate(columns):
        is_number = bool(rows) and isinstance(rows[0][index], int | float)
        table.add_column(column, justify="right" if is_number else "left", overflow="fold")
    for row in rows:
        table.add_row(*(escape(_text(cell)) for cell in row))
    Console().print(table)


def _text(cell: object) -> str:
    if isinstance(cell, float):
        return f"{cell:,.1f}"
    if isinstance(cell, int):
        return f"{cell:,}"
    # File names may hold bytes that are no text, and control characters.
    text = str(cell).encode("utf-8", "backslashreplace").decode()
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def print_rejections(common: Common, rejections: Sequence[Rejection]) -> None:
    """Print rejections by reason with an example each; all of them if verbose."""
    if not rejections or common.is_quiet or common.is_json:
        return
    counts = Counter(r.reason for r in rejections)
    examples = {r.reason: f"{r.id}: {r.detail}" for r in reversed(rejections)}
    rows = [(str(reason), n, examples[reason]) for reason, n in counts.most_common()]
    print_table("Left out", ("reason", "files", "for example"), rows)
    if common.is_verbose:
        every = [(r.id, str(r.reason), r.detail) for r in rejections]
        print_table("Every file left out", ("file", "reason", "detail"), every)


class Summary(NamedTuple):
    """What a command has done: a line for people, values for programs."""

    line: str
    values: Mapping[str, Any]


def print_summary(common: Common, summary: Summary) -> None:
    """Print the closing line, or the summary as one JSON object."""
    if common.is_json:
        text = json.dumps(summary.values, sort_keys=True, ensure_ascii=False, default=str)
        print(text.encode("utf-8", "backslashreplace").decode())
    else:
        print(summary.line)
