"""Score-constrained NMF as a separator (Miron et al. 2017, section 4.3.2).

"The gains of the NMF are restricted to the notes in the score, without taking into account the
time when the notes are played": a target has a row of gains for each note that one of its
instruments plays anywhere in the score, open throughout, and no others. An informed system also
closes a row in the frames in which the aligned score has no such note; the paper has no such one.

Bases are kept as they are, so that frames do not depend on each other: they are fitted block by
block as they come in, and memory does not grow with the recording. The models of the targets share
the mixture by their squares (Wiener-like masks), with its phase.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, Self

import numpy as np
import torch
from stemsmith.evaluate.nmf.bases import NoteBases, channel_magnitudes
from stemsmith.evaluate.nmf.factorisation import fit_gains
from stemsmith.evaluate.nmf.options import NmfConfig
from stemsmith.evaluate.nmf.scores import ScorePart, read_parts
from stemsmith.evaluate.separation.blockwise import (
    BlockwiseSeparator,
    SeparationStream,
    torch_device,
)
from stemsmith.evaluate.separation.postprocess import shares
from stemsmith.evaluate.separation.streaming import Analysis, Chain, Synthesis
from stemsmith.manifests.arrays import Bools, Float64s
from stemsmith.manifests.errors import UsageError
from stemsmith.manifests.names import slug
from stemsmith.manifests.programs import PROGRAM_NAMES
from stemsmith.render.sound.patches import Bank
from stemsmith.train.models.stft import Stft, StftConfig, Window
from torch import Tensor

__all__ = ["LearnedBases", "NmfSeparator", "NoteRows", "transform_of"]

_WINDOW_S: Final = 4096 / 44100  # section 4.3.2 has 96 ms and 11 ms, which are 4096 and 512
_WINDOW_HOPS: Final = 8
_WIENER: Final = 2.0


def transform_of(sample_rate: int) -> StftConfig:
    """Return the transform of recordings at a rate in Hz.

    A Hann window of the power of two that is nearest to 93 ms, 4096 at 44.1 kHz and 48 kHz, and
    a hop of an eighth.
    """
    n_fft = 2 ** round(math.log2(_WINDOW_S * sample_rate))
    return StftConfig(n_fft, n_fft // _WINDOW_HOPS, Window.HANN)


class LearnedBases:
    """The bases of a patch bank at whatever sample rates are asked for.

    Parameters
    ----------
    bank : Bank
        What the single notes are played with.

    Attributes
    ----------
    bank : Bank
        The bank, as it was given.
    """

    def __init__(self, bank: Bank) -> None:
        self.bank = bank
        self._of_rate: dict[int, NoteBases] = {}

    def at(self, sample_rate: int) -> NoteBases:
        """Return the bases at a sample rate in Hz."""
        if sample_rate not in self._of_rate:
            stft = Stft(transform_of(sample_rate))
            self._of_rate[sample_rate] = NoteBases(self.bank, stft, sample_rate)
        return self._of_rate[sample_rate]


class NoteRows:
    """The rows of a factorisation: the notes that each target plays.

    Parameters
    ----------
    parts : mapping of str to sequence of ScorePart
        What each target plays.
    bases : NoteBases
        Where the bases of the notes come from. A note without one has no row.

    Attributes
    ----------
    bases : Tensor
        (n_bins, n_rows) float32.
    of_target : tuple of slice
        The rows of every target.

    Raises
    ------
    UsageError
        If the bank has no sound for any note of a target, which is named.
    """

    def __init__(self, parts: Mapping[str, Sequence[ScorePart]], bases: NoteBases) -> None:
        columns, slices = list[Tensor](), list[slice]()
        self._times = list[tuple[Float64s, Float64s]]()
        for target, own in parts.items():
            first = len(columns)
            for key, (onset_s, offset_s) in sorted(_notes_of(own).items()):
                if (base := bases.base(*key)) is not None:
                    columns.append(base)
                    self._times.append((np.array(onset_s), np.array(offset_s)))
            if len(columns) == first:
                names = dict.fromkeys(PROGRAM_NAMES[part.program] for part in own)
                raise UsageError(
                    f"{target}: the patch bank has no sound for the notes of "
                    f"{', '.join(names) or 'no instrument'}; give another --bank or --soundfont"
                )
            slices.append(slice(first, len(columns)))
        self.bases, self.of_target = torch.stack(columns, dim=1), tuple(slices)

    def are_open(self, times_s: Float64s, tolerance_s: float) -> Bools:
        """Return in which frames the score has the notes.

        Parameters
        ----------
        times_s : numpy.ndarray
            (n_frames,) centres of the frames in seconds.
        tolerance_s : float
            Seconds by which notes may begin early and end late.

        Returns
        -------
        numpy.ndarray
            (n_rows, n_frames) bool.
        """
        rows = [
            (
                (times_s >= onset_s[:, np.newaxis] - tolerance_s)
                & (times_s <= offset_s[:, np.newaxis] + tolerance_s)
            ).any(axis=0)
            for onset_s, offset_s in self._times
        ]
        return np.array(rows)


def _notes_of(
    parts: Sequence[ScorePart],
) -> dict[tuple[int, int, int], tuple[list[float], list[float]]]:
    """Return onsets and offsets of every note of an instrument: program, kit and pitch."""
    notes: dict[tuple[int, int, int], tuple[list[float], list[float]]]
    notes = defaultdict(lambda: ([], []))
    for part in parts:
        columns = part.pitch.tolist(), part.onset_s.tolist(), part.offset_s.tolist()
        for pitch, onset_s, offset_s in zip(*columns, strict=True):
            onsets_s, offsets_s = notes[part.program, part.kit, pitch]
            onsets_s.append(onset_s)
            offsets_s.append(offset_s)
    return dict(notes)


class _Factorisation:
    """Spectra of a mixture become spectra of it and of all targets: a `Stage`."""

    def __init__(
        self, rows: NoteRows, config: NmfConfig, hop_s: float, is_informed: bool, device: str
    ) -> None:
        self._rows, self._config, self._hop_s = rows, config, hop_s
        self._is_informed, self._bases = is_informed, rows.bases.to(device)
        self._n_frames = 0

    def push(self, spectra: Tensor) -> Tensor:
        """Take (n_channels, n_bins, n_frames); return (1 + n_targets, ...), the mixture first."""
        first, self._n_frames = self._n_frames, self._n_frames + spectra.shape[-1]
        if not spectra.shape[-1]:
            return spectra.expand(1 + len(self._rows.of_target), *spectra.shape)
        is_open = None
        if self._is_informed:
            times_s = np.arange(first, self._n_frames, dtype=np.float64) * self._hop_s
            found = self._rows.are_open(times_s, self._config.tolerance_s)
            is_open = torch.from_numpy(found).to(self._bases.device)
        magnitudes = channel_magnitudes(spectra)
        gains = fit_gains(magnitudes, self._bases, is_open, self._config.n_updates)
        models = [self._bases[:, rows] @ gains[rows] for rows in self._rows.of_target]
        masks = shares(torch.stack(models), _WIENER)
        return torch.cat([spectra[None], masks[:, None] * spectra])

    def finish(self, spectra: Tensor) -> Tensor:
        """See `Stage.finish`."""
        return self.push(spectra)


class NmfSeparator(BlockwiseSeparator):
    """A recording and its score become the audio of the targets.

    Parameters
    ----------
    parts : mapping of str to sequence of ScorePart
        What each target plays, in the time of the recording.
    bases : LearnedBases
        Where the bases of notes come from.
    config : NmfConfig, optional
        How the gains are found; None has the paper's.
    is_informed : bool
        Whether rows are closed where the score has no such note.
    device : str
        Where the gains are found: ``auto``, ``cpu`` or ``cuda``.

    Attributes
    ----------
    targets : tuple of str
        The targets, in the order of `parts`.

    Raises
    ------
    UsageError
        If there is no target or no such device.
    """

    def __init__(
        self,
        parts: Mapping[str, Sequence[ScorePart]],
        bases: LearnedBases,
        config: NmfConfig | None = None,
        is_informed: bool = False,
        device: str = "auto",
    ) -> None:
        if not parts:
            raise UsageError("a score without parts")
        self.targets = tuple(parts)
        self._parts, self._bases = parts, bases
        self._config, self._is_informed = config or NmfConfig(), is_informed
        self._device = torch_device(device)

    @classmethod
    def of_score(
        cls,
        score: Path,
        bases: LearnedBases,
        config: NmfConfig | None = None,
        is_informed: bool = False,
        device: str = "auto",
    ) -> Self:
        """Make a separator of a recording's MIDI file; its targets are the instruments.

        Parameters
        ----------
        score : Path
            The MIDI file; parts of one program are one target, ``tenor-sax`` say.
        bases, config, is_informed, device
            As for the class.

        Raises
        ------
        UsageError
            If the file is no score, or has one instrument alone; it is named.
        """
        parts: dict[str, list[ScorePart]] = {}
        for part in read_parts(score):
            parts.setdefault(slug(PROGRAM_NAMES[part.program]), []).append(part)
        if len(parts) < 2:
            raise UsageError(f"{score}: {next(iter(parts))} plays alone, there is nothing to share")
        return cls(parts, bases, config, is_informed, device)

    def stream(self, sample_rate: int) -> SeparationStream:
        """See `BlockwiseSeparator.stream`."""
        self.check_rate(sample_rate)
        rows = NoteRows(self._parts, self._bases.at(sample_rate))
        stft = Stft(transform_of(sample_rate)).to(self._device)
        analysis = Analysis(stft)
        hop_s = stft.config.hop / sample_rate
        factorisation = _Factorisation(
            rows, self._config, hop_s, self._is_informed, str(self._device)
        )
        chain = Chain([analysis, factorisation, Synthesis(analysis)])
        return SeparationStream([chain], self.targets, is_with_residual=False)
