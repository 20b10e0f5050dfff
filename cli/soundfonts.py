"""`stemsmith scan --soundfonts`: the presets of soundfonts, their layers, and what is heard."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stemsmith.cli.options import Common

if TYPE_CHECKING:
    from stemsmith.render.sound.compass import Compass
    from stemsmith.render.sound.measurement import PresetMeasurement
    from stemsmith.render.sound.patches import Bank
    from stemsmith.render.sound.sf2 import Soundfont

__all__ = ["is_soundfont", "scan_soundfonts"]

_PIANO_KEYS = range(21, 109)
_USUAL_VELOCITY = 100
_COLUMNS = ("bank", "number", "name", "class", "layers", "boundaries")
_HEARD_COLUMNS = (
    "bank", "number", "keys", "out of tune (cents)", "dB", "stereo", "attack", "release"
)  # fmt: skip


def is_soundfont(path: Path) -> bool:
    """Tell whether a path is meant as a soundfont: a file, or something with the ending of one."""
    from stemsmith.render.sound.sf2 import SOUNDFONT_ENDINGS

    return path.is_file() or path.suffix.lower() in SOUNDFONT_ENDINGS


def scan_soundfonts(
    common: Common,
    soundfonts: Sequence[Path],
    name: str | Path | None,
    patches: Path | None = None,
) -> None:
    """Report the soundfonts that the options name: their presets, classes, layers and sounds.

    Parameters
    ----------
    common : Common
        The options every command has.
    soundfonts : sequence of Path
        Files; empty for the default one.
    name : Path or str or None
        A patch bank instead, or its name; its soundfonts are reported, and a class only where it
        gives one.
    patches : Path or None
        The same under its older name.

    Raises
    ------
    UsageError
        If a file cannot be read or played.
    """
    from stemsmith.cli import console
    from stemsmith.render.sound.measured_bank import with_compasses
    from stemsmith.render.workflow import make_bank

    progress = console.Terminal(common)
    bank = with_compasses(make_bank(soundfonts, name, progress, patches=patches), progress)
    classes = _classes(bank)
    compasses: dict[tuple[str, int, int], Compass | None] = {
        patch.preset: patch.compass for patch in bank.patches if patch.preset is not None
    }
    rows = {
        soundfont.path: _presets(soundfont, classes, compasses) for soundfont in bank.soundfonts
    }
    if not common.is_json and not common.is_quiet:
        for soundfont in bank.soundfonts:
            cells = [_cells(preset) for preset in rows[soundfont.path]]
            console.print_table(soundfont.file, _COLUMNS, cells)
            cells = [_heard_cells(preset) for preset in rows[soundfont.path]]
            console.print_table(f"{soundfont.file} as heard", _HEARD_COLUMNS, cells)
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
    soundfont: Soundfont,
    classes: Mapping[tuple[str, int, int], list[str]],
    compasses: Mapping[tuple[str, int, int], Compass | None],
) -> list[dict[str, Any]]:
    from stemsmith.manifests.places import place
    from stemsmith.render.sound.compass import compass_of
    from stemsmith.render.sound.measurement import measure_soundfont
    from stemsmith.render.sound.velocity_layers import velocity_layers

    layers = velocity_layers(place(soundfont.path))
    measured = measure_soundfont(soundfont)
    presets = []
    for preset in soundfont.presets:
        found = layers[preset.bank, preset.number]
        heard = measured[preset.bank, preset.number]
        compass = compasses.get((soundfont.path, preset.bank, preset.number))
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
                **_heard(heard, compass or compass_of(heard, ())),
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


def _heard(measured: PresetMeasurement, compass: Compass) -> dict[str, Any]:
    """Return what was measured of a preset, as JSON has it: None for what there is not."""
    layers = [
        {
            "velocity": int(velocity),
            "keys": _runs(key for key, level in enumerate(levels) if math.isfinite(level)),
            "level_db": [_rounded(level) for level in levels],
            "cents": [_rounded(deviation) for deviation in deviations],
            "out_of_tune": {key: _rounded(e) for key, e in enumerate(errors) if e},
        }
        for velocity, levels, deviations, errors in zip(
            compass.velocities,
            compass.levels_db.tolist(),
            measured.deviations.tolist(),
            compass.errors_cents.tolist(),
            strict=True,
        )
    ]
    return {
        "attack_s": _rounded(measured.attack_s, 4),
        "release_s": _rounded(measured.release_s, 4),
        "stereo_correlation": _rounded(measured.correlation, 2),
        "layers": layers,
    }


def _rounded(value: float, n_digits: int = 1) -> float | None:
    return round(value, n_digits) if math.isfinite(value) else None


def _runs(keys: Iterable[int]) -> list[list[int]]:
    """Return the first and the last of keys that follow each other."""
    found = list(keys)
    edges = [0, *(k for k in range(1, len(found)) if found[k] > found[k - 1] + 1), len(found)]
    return [[found[a], found[b - 1]] for a, b in pairwise(edges) if found]


def _heard_cells(preset: dict[str, Any]) -> tuple[object, ...]:
    layer = next(
        layer for layer in reversed(preset["layers"]) if layer["velocity"] <= _USUAL_VELOCITY
    )
    wrong = layer["out_of_tune"]
    tuning = [
        f"{_spelled([run])} {_spread([wrong[key] for key in wrong if run[0] <= key <= run[1]])}"
        for run in _runs(wrong)
    ]
    levels = [level for level in layer["level_db"] if level is not None]
    return (
        preset["bank"],
        preset["number"],
        _spelled(layer["keys"]),
        ", ".join(tuning),
        _spread(levels),
        "" if preset["stereo_correlation"] is None else f"{preset['stereo_correlation']:.2f}",
        _milliseconds(preset["attack_s"]),
        _milliseconds(preset["release_s"]),
    )


def _spelled(runs: Sequence[Sequence[int]]) -> str:
    return ", ".join(str(low) if low == high else f"{low}-{high}" for low, high in runs)


def _spread(values: Sequence[float]) -> str:
    """Return the lowest and the highest of some values, rounded."""
    if not values:
        return ""
    low, high = round(min(values)), round(max(values))
    return f"{low}" if low == high else f"{low} to {high}"


def _milliseconds(seconds: float | None) -> str:
    return "" if seconds is None else f"{1000 * seconds:.0f} ms"
