"""Ctrl-C and SIGTERM of a command: remembered until it stops.

Python raises `KeyboardInterrupt` wherever the main thread happens to be, and some code there drops
it: importing pyarrow does, while it looks for pandas.
"""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, Final, NoReturn

__all__ = ["heeding_signals", "stop_if_wanted"]

_is_wanted: Final = threading.Event()


def stop_if_wanted() -> None:
    """Raise the `KeyboardInterrupt` that somebody dropped; called wherever work goes on."""
    if _is_wanted.is_set():
        raise KeyboardInterrupt


@contextmanager
def heeding_signals() -> Iterator[None]:
    """Remember Ctrl-C, and take SIGTERM, which batch systems send, for one.

    Signals that somebody ignores, or handles in another way, are left alone.
    """
    _is_wanted.clear()
    with ExitStack() as stack:
        if threading.current_thread() is threading.main_thread():
            _replace(stack, signal.SIGINT, signal.default_int_handler)
            _replace(stack, signal.SIGTERM, signal.SIG_DFL)
        stack.callback(_is_wanted.clear)
        stack.callback(setattr, sys, "unraisablehook", sys.unraisablehook)
        sys.unraisablehook = _but_for_stops(sys.unraisablehook)
        yield


def _replace(stack: ExitStack, number: signal.Signals, replaced: Any) -> None:
    if signal.getsignal(number) is replaced:
        signal.signal(number, _stop)
        stack.callback(signal.signal, number, replaced)


def _but_for_stops(report: Callable[[Any], object]) -> Callable[[Any], object]:
    """Return a hook for what Python drops: not of a stop, which is remembered, the traceback."""

    def hook(dropped: Any) -> None:
        """Report what was dropped."""
        if not (_is_wanted.is_set() and isinstance(dropped.exc_value, KeyboardInterrupt)):
            report(dropped)

    return hook


def _stop(*_: object) -> NoReturn:
    _is_wanted.set()
    raise KeyboardInterrupt
