"""Registries: the named choices of one kind, a module each, found where they lie.

A registry is a sub-package; every module in it whose name does not begin with an underscore is one
choice, which the module offers under one agreed name. So a new choice is one new file, commands,
messages and documentation read its name from the folder without importing it, and anyone's own is
named as ``package.module:Object``.
"""

from __future__ import annotations

import importlib
import pkgutil
from functools import cached_property
from typing import Any, Final, Generic, TypeVar, cast

from stemsmith.manifests.errors import UsageError

__all__ = ["Registry"]

T = TypeVar("T")

_SEPARATOR: Final = ":"


class Registry(Generic[T]):
    """The choices of one kind.

    Parameters
    ----------
    kind : str
        What they are, for messages: ``model``.
    package : str
        The sub-package whose modules they are.
    attribute : str
        What each module calls its choice.

    Examples
    --------
    >>> layouts = Registry("layout", "stemsmith.mixing.sources.layouts", "LAYOUT")
    """

    def __init__(self, kind: str, package: str, attribute: str) -> None:
        self.kind = kind
        self._package, self._attribute = package, attribute

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The built-in names, in alphabetical order; no module is imported for them."""
        folder = importlib.import_module(self._package)
        modules = (module.name for module in pkgutil.iter_modules(folder.__path__))
        return tuple(sorted(_spelled(name) for name in modules if not name.startswith("_")))

    def __contains__(self, name: object) -> bool:
        return name in self.names

    def load(self, name: str) -> T:
        """Return a choice.

        Parameters
        ----------
        name : str
            One of `names`, or ``package.module:Object`` of anyone's.

        Raises
        ------
        UsageError
            If there is none of that name, or it cannot be imported; the text lists the names.
        """
        if _SEPARATOR in name:
            module, _, attribute = name.partition(_SEPARATOR)
        elif name in self:
            module = f"{self._package}.{name.replace('-', '_')}"
            attribute = self._attribute
        else:
            known = ", ".join(self.names)
            raise UsageError(
                f"{self.kind} {name!r}: unknown; known: {known}, or package.module:Object"
            )
        try:
            found: Any = getattr(importlib.import_module(module), attribute)
        except (ImportError, AttributeError) as error:
            if name in self:  # ours, and what it needs is missing: not the user's mistake
                raise
            raise UsageError(f"{self.kind} {name!r}: cannot be imported: {error}") from error
        return cast(T, found)


def _spelled(module: str) -> str:
    return module.replace("_", "-")
