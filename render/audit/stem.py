"""The audit of one stem: all checks, on what is in memory."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np
from stemsmith.manifests.arrays import Float32s
from stemsmith.manifests.records import Defect, DefectKind
from stemsmith.render.audit import level_checks, note_checks, signal_checks
from stemsmith.render.audit.blocks import BlockLevels, block_levels
from stemsmith.render.audit.comparison import compare
from stemsmith.render.audit.differences import differences
from stemsmith.render.audit.reference import Reference
from stemsmith.render.audit.stem_notes import StemNotes
from stemsmith.render.sound.synth import Spans

__all__ = ["audit_stem"]

# Of kinds that a broken stem would have thousands of; the first ones tell enough.
_MOST_OF_A_KIND: Final = 100
# Decimated noise has lost some of its power; what is softer by more is the sound of the patch.
_OF_THE_PATCH_DB: Final = 15.0


def audit_stem(
    audio: Float32s,
    notes: StemNotes,
    sample_rate: int,
    spans: Spans | None = None,
    reference: Reference | None = None,
    is_thorough: bool = False,
) -> tuple[Defect, ...]:
    """Check a stem against its score.

    Parameters
    ----------
    audio : numpy.ndarray
        (n_channels, n_samples) float32, full scale 1. Levels are judged against the stem's own
        peak, so that any gain does. Of two channels, each is looked at for what needs no score;
        notes are looked for in their mean, which is what `reference` is.
    notes : StemNotes
        What shall be heard.
    sample_rate : int
        Sample rate in Hz.
    spans : sequence of (int, int), optional
        Where `audio` may be other than zero; found by looking at all of it if not given.
    reference : Reference, optional
        What the patch sounds like, where that is known. Without it, notes are judged by the others
        of the stem.
    is_thorough : bool
        Whether labels are looked at beside a reference, too, and notes half way through and not
        at their beginnings alone.

    Returns
    -------
    tuple of Defect
        In order of kind and start, at most 100 of a kind; empty for a stem without any.
    """
    channels, audio = audio, _mean_of(audio)
    levels = block_levels(audio, sample_rate, spans)
    found = None if reference is None else compare(audio, reference, sample_rate)
    promises = None if found is None else found.promises
    defects = [*signal_checks.dropouts(levels, notes, sample_rate, promises)]
    for channel in channels:
        own = levels if len(channels) == 1 else block_levels(channel, sample_rate, spans)
        defects += signal_checks.clipping(channel, own)
        defects += signal_checks.dc_offset(own, sample_rate)
        if own is not levels:  # what sounds in the other channel promises nothing of this one
            defects += signal_checks.dropouts(own, notes, sample_rate)
    for noise in signal_checks.white_noise(audio, sample_rate, levels):
        if found is None or found.noise_db > noise.size - _OF_THE_PATCH_DB:
            defects.append(noise)
    if found is not None and reference is not None:
        defects += differences(found, reference, sample_rate)
    if found is None or is_thorough or not found.decides:
        labelled = _against_labels(audio, levels, notes, sample_rate, is_thorough)
        defects += (d for d in labelled if found is None or not found.agrees(d.start, d.end))
    return _sorted(defects)


def _mean_of(channels: Float32s) -> Float32s:
    """Return the mean of one channel or two: faster than NumPy's of two rows by three."""
    total: Float32s = channels[0]
    if len(channels) == 1:
        return total
    total = total + channels[1]
    total *= np.float32(0.5)
    return total


def _against_labels(
    audio: Float32s, levels: BlockLevels, notes: StemNotes, sample_rate: int, is_thorough: bool
) -> Iterator[Defect]:
    """Check a stem whose patch is not known, or does not keep to what it plays alone."""
    begun = level_checks.beginnings(levels, notes, sample_rate)
    yield from level_checks.silent_notes(levels, notes, begun, sample_rate)
    yield from level_checks.late_onsets(audio, notes, begun, sample_rate)
    yield from level_checks.unlabelled(levels, notes, sample_rate)
    yield from level_checks.doubled_notes(levels, notes, begun, sample_rate)
    yield from level_checks.hung_notes(levels, notes, sample_rate)
    yield from note_checks.wrong_notes(audio, levels, notes, sample_rate)
    if is_thorough:
        yield from note_checks.wrong_notes(audio, levels, notes, sample_rate, place=0.5)


def _sorted(found: list[Defect]) -> tuple[Defect, ...]:
    """Put defects in order, each once."""
    unique = {(str(defect.kind), defect.start): defect for defect in found}
    ordered = [unique[key] for key in sorted(unique)]
    kept: list[Defect] = []
    for kind in DefectKind:
        kept += [defect for defect in ordered if defect.kind is kind][:_MOST_OF_A_KIND]
    return tuple(kept)
