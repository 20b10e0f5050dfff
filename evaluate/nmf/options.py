"""Options of score-constrained NMF; imports nothing heavy."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypedDict

from stemsmith.manifests.errors import UsageError
from stemsmith.manifests.options import fields_of, option, settle, to_manifest

__all__ = ["NmfConfig", "NmfOptions"]


@dataclass(frozen=True, kw_only=True)
class NmfConfig:
    """How a score-constrained NMF separates; the defaults are those of Miron et al. 2017, 4.3.2.

    Attributes
    ----------
    n_updates : int
        Number of times that all gains are updated, at least 1.
    tolerance_s : float
        Seconds by which a note of the score may sound before its onset and after its end; of
        ``informed`` systems alone. The spectrum of a note begins half a window, 46 ms, before it.
    bank : str or None
        What the single notes are rendered with from which bases are learned: a YAML file of
        patches, ``general`` or ``installed``; None takes `soundfonts`.
    soundfonts : tuple of str
        SoundFont files to render these notes with; empty for TimGM6mb.sf2.

    Raises
    ------
    UsageError
        For values that make no sense; the text names the command's option.
    """

    n_updates: int = option(50, "Updates of the gains.", flag="--updates")
    tolerance_s: float = option(
        0.2,
        "Seconds that notes may sound before and after the score has them; nmf:...,informed.",
        flag="--tolerance",
    )
    bank: str | None = option(
        None,
        "Patches whose single notes bases are learned from: FILE.yaml, general or installed.",
        default_text="TimGM6mb.sf2",
        is_in_manifest=False,  # which says what the fonts hold
    )
    soundfonts: tuple[str, ...] = option(
        (),
        "Soundfont for the same; may be repeated.",
        flag="--soundfont",
        metavar="FILE",
        is_repeatable=True,
        is_in_manifest=False,
    )

    def __post_init__(self) -> None:
        """Make values of what was given as text, and refuse what makes no sense."""
        settle(self)
        files = [self.soundfonts] if isinstance(self.soundfonts, str | Path) else self.soundfonts
        object.__setattr__(self, "soundfonts", tuple(map(str, files)))
        object.__setattr__(self, "bank", None if self.bank is None else str(self.bank))
        if self.n_updates < 1:
            raise UsageError(f"--updates {self.n_updates}: at least 1")
        if not 0 <= self.tolerance_s < math.inf:
            raise UsageError(f"--tolerance {self.tolerance_s:g}: 0 s or more")
        if self.bank is not None and self.soundfonts:
            raise UsageError("give either --bank or --soundfont")

    def to_dict(self) -> dict[str, Any]:
        """Return what the manifest says of the options."""
        return to_manifest(self)

    def refuse_nmf(self) -> None:
        """Check that no option of NMF was given, for a system that is none.

        Raises
        ------
        UsageError
            If one was; the text names it.
        """
        for field in fields_of(NmfConfig):
            if getattr(self, field.name) != field.default:
                raise UsageError(f"{field.flag}: only with nmf:")


class NmfOptions(TypedDict, total=False):
    """The fields of `NmfConfig` as keywords of functions that separate."""

    n_updates: int
    tolerance_s: float
    bank: str | Path | None
    soundfonts: Sequence[str | Path]
