"""Packages whose names are imported when they are first used."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from importlib.util import find_spec
from typing import Any, Final

from stemsmith.manifests.safe_path import current_folder_last

__all__ = ["lazily"]

_ROOT: Final = "stemsmith"


def lazily(
    package: str, homes: Mapping[str, str]
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Return the ``__getattr__`` and ``__dir__`` of a package (PEP 562).

    Commands and configurations import the packages of the stages, and must stay quick; and only
    what trains or separates needs PyTorch.

    Parameters
    ----------
    package : str
        Name of the package, its ``__name__``.
    homes : mapping of str to str
        For each name of the package the module below it that has it.

    Returns
    -------
    tuple of callable
        To be bound to ``__getattr__`` and ``__dir__``.

    Raises
    ------
    ImportError
        If the package was imported by the bare name of its folder, as Python does when it is
        started in the clone: it would hide an installed package of that name.
    """
    if package.partition(".")[0] != _ROOT:
        raise ImportError(
            f"{package}/ is a folder of stemsmith's source, and was imported in place of an "
            f"installed package {package}: start Python elsewhere or as 'python -P', "
            f"and import stemsmith.{package} for this one"
        )

    def import_name(name: str) -> Any:
        if name not in homes and (name.startswith("_") or not find_spec(f"{package}.{name}")):
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        with current_folder_last():
            if name not in homes:  # a sub-package, as in stemsmith.share
                return import_module(f"{package}.{name}")
            value = getattr(import_module(f"{package}.{homes[name]}"), name)
        setattr(sys.modules[package], name, value)
        return value

    def names() -> list[str]:
        return sorted({*vars(sys.modules[package]), *homes})

    return import_name, names
