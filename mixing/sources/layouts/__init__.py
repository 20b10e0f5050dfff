"""Layouts: where the stems of public data sets lie, a file a layout.

Every module here is one: it offers a `LAYOUT`, of a class below `stemsmith.mixing.sources.layout`,
and is named on the command line as ``NAME:PATH``. A function of yours that takes a folder and
returns `SourceFile` records is a layout as well, as ``package.module:function:PATH``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from stemsmith.manifests.registry import Registry

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from stemsmith.manifests.mixtures import SourceFile
    from stemsmith.mixing.sources.layout import SourceLayout

LAYOUTS: Final[Registry[SourceLayout | Callable[[Path], list[SourceFile]]]] = Registry(
    "layout", "stemsmith.mixing.sources.layouts", "LAYOUT"
)
