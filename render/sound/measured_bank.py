"""Banks that know which notes their patches play."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from typing import Final

from stemsmith.manifests.jobs import QUIET, Progress
from stemsmith.manifests.programs import DRUMS, rendering_class_of
from stemsmith.render.sound.compass import compass_of, has_own_octave, octave_of
from stemsmith.render.sound.measurement import PresetMeasurement, measure_soundfont
from stemsmith.render.sound.patches import Bank, Patch

__all__ = ["with_compasses"]

_FAINT: Final = (
    "makes next to no sound; it may wait for a controller that scores do not send, such as the "
    "breath controller (CC2)"
)


def with_compasses(bank: Bank, progress: Progress = QUIET) -> Bank:
    """Return a bank whose presets are measured.

    Parameters
    ----------
    bank : Bank
        Soundfonts that are new to this machine are listened to, which takes some CPU seconds each.
    progress : Progress, optional
        Is told how far that is, and of patches of a chosen bank that are next to silent. Nothing is
        shown by default.

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
            is_drum = patch.rendering_class == rendering_class_of(DRUMS)
            patch = replace(patch, compass=compass_of(found, shared, is_drum))
            if bank.is_chosen and patch.compass is not None and patch.compass.is_faint:
                progress.warn(f"{patch.name}: {_FAINT}")
        patches.append(patch)
    return replace(bank, patches=tuple(patches))
