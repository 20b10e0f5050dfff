"""What others see, hear and open of it: `export_dataset`, reports, and comparisons of results.

``workflow`` has what the commands do. Below it: ``compare`` puts stored scores beside each other
and beside published ones; ``exports`` writes corpora, mixtures and other data sets as the folders
that other programs read, a module a format in ``formats``; ``report`` makes pages to look at and
to listen to.
"""

from __future__ import annotations

from typing import Final

from stemsmith.manifests.lazy import lazily

__all__: list[str] = []

_HOMES: Final[dict[str, str]] = {}

__getattr__, __dir__ = lazily(__name__, _HOMES)
