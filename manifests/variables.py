"""Numbers that users give as environment variables."""

from __future__ import annotations

import os

from stemsmith.manifests.errors import UsageError

__all__ = ["number_in"]


def number_in(variable: str, usual: float, below: float, what: str) -> float:
    """Return the number that an environment variable has.

    Parameters
    ----------
    variable : str
        Name of the variable.
    usual : float
        What it is where the variable is not set, or empty.
    below : float
        What it must be less than; it must be more than 0.
    what : str
        What the number counts, for the message: ``seconds``.

    Raises
    ------
    UsageError
        If it has something else; the text names the variable.
    """
    text = os.environ.get(variable, "")
    try:
        value = float(text) if text else usual
    except ValueError:
        value = -1.0
    if not 0 < value < below:
        raise UsageError(f"{variable}={text}: not a number of {what}")
    return value
