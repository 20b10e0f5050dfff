"""`stemsmith scan --soundfonts`: the presets of soundfonts and their velocity layers."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stemsmith.cli.options import Common

if TYPE_CHECKING:
    from stemsmith.render.sound.patches import Bank
    from stemsmith.render.sound.sf2 import Soundfont

__all__ = ["scan_soundfonts"]

_PIANO_KEYS = range(21, 109)
_COLUMNS = ("bank", "number", "name", "class", "layers", "boundaries")


def scan_soundfonts(common: Common, soundfonts: Sequence[Path], patches: Path | None) -> None:
    """Report the soundfonts that the options name: their presets, classes and velocity layers.

    Parameters
    ----------
    common : Common
        The options every command has.
    soundfonts : sequence of Path
        Files; empty for the default one.
    patches : Path or None
        A patch bank instead; its soundfonts are reported, and a class only where it gives one.

    Raises
    ------
    UsageError
        If a file cannot be read or played.
    """
    from stemsmith.cli import console
    from stemsmith.render.workflow import make_bank

    bank = make_bank(soundfonts, patches, console.Terminal(common))
    classes = _classes(bank)
    rows = {soundfont.path: _presets(soundfont, classes) for soundfont in bank.soundfonts}
    if not common.is_json and not common.is_quiet:
        for soundfont in bank.soundfonts:
            cells = [_cells(preset) for preset in rows[soundfont.path]]
            console.print_table(soundfont.file, _COLUMNS, cells)
    presets = [preset for found in rows.values() for preset in found]
    n_layered = sum(preset["n_layers_max"] > 1 for preset in presets)
    summary = console.Summary(
        f"{len(rows)} soundfonts: {len(presets)} presets, {n_layered} of them with velocity layers",
        {
            "n_soundfonts": len(rows),
            "n_presets": len(presets),
            "n_with_layers": n_layered,
            "presets": presets,
        },
    )
    console.print_summary(common, summary)


def _classes(bank: Bank) -> dict[tuple[str, int, int], list[str]]:
    """Return the classes that draw on a preset, by its soundfont, bank and number."""
    classes: dict[tuple[str, int, int], list[str]] = defaultdict(list)
    for patch in bank.patches:
        if patch.preset is not None and patch.rendering_class not in classes[patch.preset]:
            classes[patch.preset].append(patch.rendering_class)
    return classes


def _presets(
    soundfont: Soundfont, classes: dict[tuple[str, int, int], list[str]]
) -> list[dict[str, Any]]:
    from stemsmith.render.sound.velocity_layers import velocity_layers

    layers = velocity_layers(Path(soundfont.path))
    presets = []
    for preset in soundfont.presets:
        found = layers[preset.bank, preset.number]
        n_layers = [n for key in _PIANO_KEYS if (n := found.n_layers(key))]
        boundaries = {velocity for key in _PIANO_KEYS for velocity in found.boundaries(key)}
        presets.append(
            {
                "soundfont": soundfont.file,
                "bank": preset.bank,
                "number": preset.number,
                "name": preset.name,
                "class": ", ".join(classes.get((soundfont.path, preset.bank, preset.number), [])),
                "n_layers_min": min(n_layers, default=0),
                "n_layers_max": max(n_layers, default=0),
                "boundaries": sorted(boundaries),
            }
        )
    return presets


def _cells(preset: dict[str, Any]) -> tuple[object, ...]:
    least, most = preset["n_layers_min"], preset["n_layers_max"]
    return (
        preset["bank"],
        preset["number"],
        preset["name"],
        preset["class"],
        str(most) if least == most else f"{least}-{most}",
        ", ".join(map(str, preset["boundaries"])),
    )
