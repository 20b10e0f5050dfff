"""What a command shows: progress, tables and the closing summary."""

from __future__ import annotations

import json
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any, NamedTuple

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from stemsmith.cli.options import Common
from stemsmith.manifests.records import Rejection

__all__ = [
    "BarTicker",
    "Summary",
    "Terminal",
    "print_rejections",
    "print_summary",
    "print_table",
    "progress",
    "warn",
]


class BarTicker:
    """Advances a progress bar by items and by seconds of audio.

    Attributes
    ----------
    n_done : int
        Number of items that are done.
    audio_s : float
        Seconds of audio they stand for.
    """

    def __init__(self, bar: Progress, task: Any) -> None:
        self._bar, self._task = bar, task
        self._start = time.monotonic()
        self.n_done = 0
        self.audio_s = 0.0

    @property
    def elapsed_s(self) -> float:
        """Seconds since the start."""
        return max(time.monotonic() - self._start, 1e-6)

    def advance(self, n: int = 1, audio_s: float = 0.0) -> None:
        """Count finished items."""
        self.n_done += n
        self.audio_s += audio_s
        rate = f"{self.n_done / self.elapsed_s:.2f}/s"
        if self.audio_s:
            rate += f", {self.audio_s / self.elapsed_s:.0f} x real time"
        self._bar.update(self._task, advance=n, rate=rate)


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

    def loop(self, title: str, total: int) -> AbstractContextManager[BarTicker]:
        """Show a bar, where standard error is a terminal."""
        return progress(self._common, title, total)

    def warn(self, message: str) -> None:
        """Print one line that begins with ``warning``."""
        warn(self._common, message)

    def note(self, message: str) -> None:
        """Print one line."""
        if not self._common.is_quiet:
            print(message, file=sys.stderr)


@contextmanager
def progress(common: Common, title: str, total: int) -> Iterator[BarTicker]:
    """Show a progress bar on standard error for the time of a loop."""
    console = Console(stderr=True)
    bar = Progress(
        TextColumn(title),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=console,
        disable=common.is_quiet or not console.is_terminal,
    )
    with bar:
        yield BarTicker(bar, bar.add_task(title, total=total, rate=""))


def warn(common: Common, message: str) -> None:
    """Print one line on standard error."""
    if not common.is_quiet:
        print(f"warning: {message}", file=sys.stderr)


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
