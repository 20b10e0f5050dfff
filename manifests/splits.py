"""The three splits, and what folders of data sets call them."""

from __future__ import annotations

from typing import Final

__all__ = ["SPLITS", "split_of_folder"]

SPLITS: Final = ("train", "validation", "test")
_SPELLINGS: Final = {
    "train": "train",
    "valid": "validation",
    "validation": "validation",
    "val": "validation",
    "test": "test",
}


def split_of_folder(name: str) -> str | None:
    """Return the split that a folder of this name holds, or None if it names none.

    Parameters
    ----------
    name : str
        Of the folder: ``train``, ``valid``, ``validation``, ``val`` or ``test``, in any case.

    Examples
    --------
    >>> split_of_folder("Val"), split_of_folder("drums")
    ('validation', None)
    """
    return _SPELLINGS.get(name.lower())
