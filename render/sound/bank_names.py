"""Names of banks that are made of known soundfonts, for commands and workflows."""

from __future__ import annotations

from typing import Final

__all__ = ["BANK_NAMES", "GENERAL", "INSTALLED"]

GENERAL: Final = "general"  # three soundfonts, all of which must be there
INSTALLED: Final = "installed"  # whatever known soundfont is there
BANK_NAMES: Final = (GENERAL, INSTALLED)
