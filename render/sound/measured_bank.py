"""Banks that know which notes their patches play."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace

from stemsmith.manifests.jobs import QUIET, Progress
from stemsmith.render.sound.compass import compass_of, has_own_octave, octave_of
from stemsmith.render.sound.measurement import PresetMeasurement, measure_soundfont
from stemsmith.render.sound.patches import Bank, Patch

__all__ = ["with_compasses"]


def with_compasses(bank: Bank, progress: Progress = QUIET) -> Bank:
    """Return a bank whose presets are measured.

    Parameters
    ----------
    bank : Bank
        Soundfonts that are new to this machine are listened to, which takes some CPU seconds each.
    progress : Progress, optional
        Is told how far that is. Nothing is shown by default.

    Returns
    -------
    Bank
        The same patches, each preset with its `Compass`. Which octaves are right depends on the
        other presets of its class in this bank.

    Raises
    ------
    UsageError
        If a soundfont cannot be read or played, naming it.
    """
    measured = {font.path: measure_soundfont(font, progress) for font in bank.soundfonts}

    def measurement_of(patch: Patch) -> PresetMeasurement | None:
        return patch.preset and measured[patch.preset.soundfont].get(patch.preset[1:])

    octaves: dict[str, list[tuple[Patch, int]]] = defaultdict(list)
    for patch in bank.patches:
        found = measurement_of(patch)
        octave = octave_of(found) if found is not None and not has_own_octave(found) else None
        if octave is not None:
            octaves[patch.rendering_class].append((patch, octave))
    patches = []
    for patch in bank.patches:
        if (found := measurement_of(patch)) is not None:
            shared = {
                octave
                for other, octave in octaves[patch.rendering_class]
                if other.preset != patch.preset
            }
            patch = replace(patch, compass=compass_of(found, shared))
        patches.append(patch)
    return replace(bank, patches=tuple(patches))
