"""Sizes of a study: one file says what is tried out in a minute and what the paper did."""

from __future__ import annotations

from typing import Any, Final

from stemsmith.manifests.errors import UsageError

__all__ = ["SIZES", "at_size", "merged"]

SIZES: Final = ("tiny", "small", "paper")

_ABSENT: Final = object()


def at_size(value: Any, size: str) -> Any:
    """Return what a value of a study file is at a size.

    A table whose names are all sizes is a choice: its value of the size is taken, and where it has
    none, the name that it stands under is left out.

    Parameters
    ----------
    value : object
        As TOML has it.
    size : str
        One of `SIZES`.

    Raises
    ------
    UsageError
        If there is no such size.

    Examples
    --------
    >>> study = {"epochs": {"tiny": 1, "paper": 100}, "hours": {"paper": 43}, "seed": 1}
    >>> at_size(study, "tiny")
    {'epochs': 1, 'seed': 1}
    """
    if size not in SIZES:
        raise UsageError(f"--size {size}: unknown; known: {', '.join(SIZES)}")
    found = _chosen(value, size)
    return {} if found is _ABSENT else found


def _chosen(value: Any, size: str) -> Any:
    if isinstance(value, dict):
        if value and set(value) <= set(SIZES):
            return _chosen(value[size], size) if size in value else _ABSENT
        chosen = {key: _chosen(item, size) for key, item in value.items()}
        return {key: item for key, item in chosen.items() if item is not _ABSENT}
    if isinstance(value, list):
        return [item for item in (_chosen(item, size) for item in value) if item is not _ABSENT]
    return value


def merged(base: dict[str, Any], own: dict[str, Any]) -> dict[str, Any]:
    """Return a table with the values of another one in it, tables within tables alike.

    Examples
    --------
    >>> merged({"render": {"seed": 1, "songs": 2}}, {"render": {"seed": 3}})
    {'render': {'seed': 3, 'songs': 2}}
    """
    both = dict(base)
    for key, value in own.items():
        known = both.get(key)
        if isinstance(known, dict) and isinstance(value, dict):
            both[key] = merged(known, value)
        else:
            both[key] = value
    return both
