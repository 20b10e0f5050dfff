"""What others see, hear and open of it: exports, reports and comparisons.

``workflow`` has what the commands do. Below it: ``compare`` puts stored scores beside each other
and beside published ones; ``exports`` writes corpora, mixtures and other data sets as the folders
that other programs read, a module a format in ``formats``; ``report`` makes pages to look at and
to listen to.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from stemsmith.manifests.lazy import lazily

if TYPE_CHECKING:
    from stemsmith.share.compare.comparison import SystemComparison, compare_results
    from stemsmith.share.exports.options import ExportConfig
    from stemsmith.share.mirdata import mirdata_dataset
    from stemsmith.share.workflow import export_dataset, forecast_export, write_report

__all__ = [
    "ExportConfig",
    "SystemComparison",
    "compare_results",
    "export_dataset",
    "forecast_export",
    "mirdata_dataset",
    "write_report",
]

_HOMES: Final = {
    **dict.fromkeys(__all__, "workflow"),
    "SystemComparison": "compare.comparison",
    "ExportConfig": "exports.options",
    "compare_results": "compare.comparison",
    "mirdata_dataset": "mirdata",
}

__getattr__, __dir__ = lazily(__name__, _HOMES)
