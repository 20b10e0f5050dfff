"""Formats: the folders that other programs read, a module a format.

Every module here is one: it offers a `FORMAT`, of a class below
`stemsmith.share.exports.base.ExportFormat`, and is named on the command line as ``--format NAME``.
One of yours is ``package.module:Object``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from stemsmith.manifests.registry import Registry

if TYPE_CHECKING:
    from stemsmith.share.exports.base import ExportFormat

__all__ = ["FORMATS"]

FORMATS: Final[Registry[ExportFormat[Any]]] = Registry(
    "format", "stemsmith.share.exports.formats", "FORMAT"
)
