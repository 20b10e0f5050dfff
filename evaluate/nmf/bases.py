"""Bases of notes: the spectra of single notes, rendered by the synthesiser.

Departure from Miron et al. 2017, section 4.3.2, whose bases are the multi-source filter model of
Carabias-Orti et al. trained on the recorded notes of RWC: RWC cannot be had freely, so the notes
are rendered with a patch bank, and a base is the whole spectrum of a note, its attack and noise
included, and not a sum of harmonics with a filter. A key of a drum kit is a note like others.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import torch
from stemsmith.evaluate.nmf.factorisation import learn_base
from stemsmith.manifests.arrays import Float32s
from stemsmith.manifests.programs import DRUMS, PROGRAM_NAMES, rendering_class_of
from stemsmith.manifests.records import Part
from stemsmith.render.midi.playing import DEFAULT_VELOCITIES
from stemsmith.render.midi.smf import Event
from stemsmith.render.sound.patch_choice import PatchChoice
from stemsmith.render.sound.patches import Bank, Patch
from stemsmith.render.sound.player import play
from stemsmith.render.sound.sample_folder import Unplayable
from stemsmith.train.models.stft import Stft
from torch import Tensor

__all__ = ["NoteBases", "channel_magnitudes"]

_MOST_TIMBRES: Final = 3  # as RWC has of an instrument
_DYNAMICS: Final = ("p", "m", "f")  # as RWC has of a note
_HELD_S: Final = 0.75
_NOTE_S: Final = 1.25  # with its release


def channel_magnitudes(spectra: Tensor) -> Tensor:
    """Return the root mean square over the channels, in which nothing cancels.

    Parameters
    ----------
    spectra : Tensor
        (n_channels, n_bins, n_frames) complex.

    Returns
    -------
    Tensor
        (n_bins, n_frames) float.
    """
    return spectra.abs().square().mean(dim=0).sqrt()


class NoteBases:
    """The bases of a patch bank at one sample rate; each is learned when it is first asked for.

    Parameters
    ----------
    bank : Bank
        What the notes are played with: up to three patches of the instrument, such as those of
        three soundfonts, in three dynamics each.
    stft : Stft
        The transform of the mixtures, on the CPU.
    sample_rate : int
        Sample rate of the mixtures in Hz.
    """

    def __init__(self, bank: Bank, stft: Stft, sample_rate: int) -> None:
        self._bank, self._stft, self._sample_rate = bank, stft, sample_rate
        self._patches: dict[tuple[int, int], list[Patch]] = {}
        self._learned: dict[tuple[int, int, int], Tensor | None] = {}

    @property
    def n_learned(self) -> int:
        """The number of notes that have been asked for so far."""
        return len(self._learned)

    def base(self, program: int, kit: int, pitch: int) -> Tensor | None:
        """Return the base of a note.

        Parameters
        ----------
        program, kit : int
            0-based General MIDI program, 128 for drums, and their kit.
        pitch : int
            MIDI number, or key of the kit.

        Returns
        -------
        Tensor or None
            (n_bins,) float32 with a largest value of 1; None where no patch has a sound for it.
        """
        key = program, kit, pitch
        if key not in self._learned:
            self._learned[key] = self._learn(*key)
        return self._learned[key]

    def _learn(self, program: int, kit: int, pitch: int) -> Tensor | None:
        played = [self._played(patch, pitch) for patch in self._timbres(program, kit)]
        spectra = [
            channel_magnitudes(self._stft.whole(torch.from_numpy(audio)))
            for audio in played
            if audio is not None and audio.any()
        ]
        if not spectra:
            return None
        # Patches differ in level: each shall have its say.
        return learn_base(torch.cat([each / each.max() for each in spectra], dim=1))

    def _timbres(self, program: int, kit: int) -> list[Patch]:
        """Return patches of the very instrument, or else the one that a corpus would draw."""
        if (program, kit) not in self._patches:
            part = Part(0, 0, program, 0, kit, 0, PROGRAM_NAMES[program])
            found = self._bank.timbres(part)[:_MOST_TIMBRES]
            if not found:
                drawn = self._bank.patch_for(part, PatchChoice.CLASS, 0, "")
                found = [] if drawn is None else [drawn]
            self._patches[program, kit] = found
        return self._patches[program, kit]

    def _played(self, patch: Patch, pitch: int) -> Float32s | None:
        """Return a note in all dynamics, (2, n_samples); None if the patch does not reach it."""
        rate = self._sample_rate
        channel = 9 if patch.rendering_class == rendering_class_of(DRUMS) else 0
        events, rows = list[Event](), list[tuple[int, int, int, int]]()
        times_s = list[float]()
        for k, dynamic in enumerate(_DYNAMICS):
            start_s, velocity = k * _NOTE_S, DEFAULT_VELOCITIES[dynamic]
            end_s, cut_s = start_s + _HELD_S, (k + 1) * _NOTE_S
            events.append(Event(0, bytes((0x90 | channel, pitch, velocity))))
            events.append(Event(0, bytes((0x80 | channel, pitch, 0))))
            events.append(Event(0, bytes((0xB0 | channel, 120, 0))))  # all sound off
            times_s += [start_s, end_s, cut_s]
            rows.append((round(start_s * rate), round(end_s * rate), pitch, velocity))
        out = np.zeros((2, round(len(_DYNAMICS) * _NOTE_S * rate)), np.float32)
        try:
            play(patch, events, patch.samples_at(times_s, rate), lambda: (rows, None), out, rate)
        except Unplayable:
            return None
        return out
