"""Effects of each class of instruments, read from YAML and drawn for each stem.

A file maps classes to chains as `stemsmith.mixing.production.chain.parse_drawn_effects` reads
them::

    bass:
      - Compressor: {ratio: [3, 6], threshold_db: -20}
    others:
      - HighpassFilter: {cutoff_frequency_hz: [80, 140]}
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

import numpy as np
from stemsmith.manifests.arrays import Float32s
from stemsmith.manifests.documents import Every, misfit, read_yaml
from stemsmith.manifests.errors import UsageError
from stemsmith.manifests.names import slug
from stemsmith.manifests.programs import class_names
from stemsmith.mixing.level.spans import Spans, whole_if_none, with_tails
from stemsmith.mixing.production.chain import (
    DrawnEffect,
    Effect,
    apply_effects,
    draw_chain,
    parse_drawn_effects,
)

__all__ = [
    "ClassEffects",
    "apply_class_effects",
    "built_in_class_effects",
    "n_ringing",
    "parse_class_effects",
    "read_class_effects",
]

_OTHERS: Final = "others"
_REFERENCE_DBFS: Final = -20.0
_BUILT_IN: Final = Path(__file__).with_name("class_effects.yaml")
_ABOVE_ALL: Final = ("HighShelfFilter", "LowpassFilter", "PeakFilter")
_HIGHEST_CUTOFF: Final = 0.49  # of the sample rate
_ECHOES: Final = ("Delay", "Reverb")
_RINGING_S: Final = 1.0
_NOTHING: Final = 1e-5  # of the reference: 100 dB below it
_SLICES_HZ: Final = 10
_GATE: Final = 0.01  # slices 20 dB below the loudest do not count


@dataclass(frozen=True, slots=True)
class ClassEffects:
    """Chains of effects by class of instruments, with their ranges.

    Attributes
    ----------
    chains : tuple of (str, tuple of DrawnEffect)
        Chain of each class, as `slug` writes it; ``others`` is that of all that are not named.
    """

    chains: tuple[tuple[str, tuple[DrawnEffect, ...]], ...]

    def check(self, sample_rate: int) -> None:
        """Refuse filters that audio of a sample rate cannot have.

        Raises
        ------
        UsageError
            Naming the class, the filter and its frequency.
        """
        for name, chain in self.chains:
            for effect in chain:
                _, cutoff_hz = dict(effect.ranges).get("cutoff_frequency_hz", (0.0, 0.0))
                if effect.name not in _ABOVE_ALL and cutoff_hz > _HIGHEST_CUTOFF * sample_rate:
                    raise UsageError(
                        f"effects of {name}: {effect.name} up to {cutoff_hz:g} Hz, too high for a "
                        f"sample rate of {sample_rate} Hz"
                    )

    def draw(
        self, classes: Sequence[str], rng: np.random.Generator, sample_rate: int
    ) -> tuple[Effect, ...]:
        """Draw the chain of a stem.

        Parameters
        ----------
        classes : sequence of str
            Its classes, such as ``acoustic-guitar`` and ``guitar``, as
            `stemsmith.manifests.programs.classes_of` has them: the first one that has a chain
            counts.
        rng : numpy.random.Generator
            Generator that belongs to the stem.
        sample_rate : int
            Sample rate in Hz of the audio; filters for what it cannot hold are left out.
        """
        chains = dict(self.chains)
        name = next((slug(c) for c in classes if slug(c) in chains), _OTHERS)
        drawn = draw_chain(chains.get(name, ()), rng)
        return tuple(effect for effect in drawn if not _is_above(effect, sample_rate))

    def to_manifest(self) -> dict[str, Any]:
        """Return the chains as JSON values, in the form that a file has them."""
        return {
            name: [
                {e.name: {**{k: list(v) for k, v in e.ranges}, "probability": e.probability}}
                for e in chain
            ]
            for name, chain in self.chains
        }


def _is_above(effect: Effect, sample_rate: int) -> bool:
    cutoff_hz = dict(effect.parameters).get("cutoff_frequency_hz", 0.0)
    return effect.name in _ABOVE_ALL and cutoff_hz > _HIGHEST_CUTOFF * sample_rate


@cache
def built_in_class_effects() -> ClassEffects:
    """Return the chains that stemsmith brings along."""
    return read_class_effects(_BUILT_IN)


def read_class_effects(path: Path) -> ClassEffects:
    """Read chains of effects from a YAML file.

    Parameters
    ----------
    path : Path
        The file, as a user named it.

    Raises
    ------
    UsageError
        If it is not such a file; the text names what is wrong. If pedalboard is missing.
    """
    return parse_class_effects(read_yaml(path), str(path))


def parse_class_effects(content: object, where: str) -> ClassEffects:
    """Check chains of effects as a file, or `ClassEffects.to_manifest`, has them.

    Parameters
    ----------
    content : object
        A mapping of classes to lists of effects.
    where : str
        What the chains were read from, for messages.

    Raises
    ------
    UsageError
        As `read_class_effects` does.
    """
    if problem := misfit(content, Every(dict, list)):
        raise UsageError(f"{where}: {problem}; it must map classes to lists of effects")
    assert isinstance(content, dict)
    known = class_names() | {_OTHERS}
    chains: dict[str, tuple[DrawnEffect, ...]] = {}
    for name, entries in content.items():
        key = slug(str(name))
        if key not in known:
            raise UsageError(f"{where}: no class {name!r}; known: {', '.join(sorted(known))}")
        if key in chains:
            raise UsageError(f"{where}: class {key} is there twice")
        chains[key] = parse_drawn_effects(entries, f"{where}: {key}")
    return ClassEffects(tuple(sorted(chains.items())))


def apply_class_effects(
    audio: Float32s, effects: Sequence[Effect], sample_rate: int, spans: Spans | None = None
) -> Float32s:
    """Run a stem through the chain of its class, at a level that the chain is made for.

    Parameters
    ----------
    audio : numpy.ndarray
        (n_channels, n_samples) float32 at any level.
    effects : sequence of Effect
        What `ClassEffects.draw` gave.
    sample_rate : int
        Sample rate in Hz.
    spans : sequence of (int, int), optional
        Where the audio may be other than zero, which saves time; by default everywhere. The result
        may be so in these spans with tails of `n_ringing` samples.

    Returns
    -------
    numpy.ndarray
        (n_channels, n_samples) float32. The chain hears it at -20 dBFS RMS where it
        sounds; what comes out has the level of what came in. Silence stays as it is.

    Raises
    ------
    UsageError
        If the chain gives infinite samples, or leaves nothing of the stem.
    """
    n_samples = audio.shape[1]
    level = _sounding_rms(audio, sample_rate)
    if not effects or not level:
        return audio
    reference = 10 ** (_REFERENCE_DBFS / 20)
    processed = np.zeros(audio.shape, np.float32)
    tail = n_ringing(effects, sample_rate, n_samples)
    for start, stop in with_tails(whole_if_none(spans, n_samples), tail, n_samples):
        stretch = audio[:, start:stop] * np.float32(reference / level)
        processed[:, start:stop] = apply_effects(stretch, effects, sample_rate)
    reached = _sounding_rms(processed, sample_rate)
    names = ", ".join(effect.name for effect in effects)
    if not math.isfinite(reached):
        raise UsageError(f"effects {names}: they give infinite samples")
    if reached < _NOTHING * reference:
        raise UsageError(f"effects {names}: they leave nothing of a stem")
    processed *= np.float32(level / reached)
    return processed


def n_ringing(effects: Sequence[Effect], sample_rate: int, n_samples: int) -> int:
    """Return for how many samples a chain may go on after a sound, in audio of a length.

    A second, in which filters and compressors forget what was; to the end where there are echoes.
    """
    has_echoes = any(effect.name in _ECHOES for effect in effects)
    return n_samples if has_echoes else round(_RINGING_S * sample_rate)


def _sounding_rms(audio: Float32s, sample_rate: int) -> float:
    """Return the RMS of those 100 ms that are at most 20 dB below the loudest."""
    step = max(1, sample_rate // _SLICES_HZ)
    starts = np.arange(0, audio.shape[1], step)
    if not len(starts):
        return 0.0
    squares = np.einsum("ij,ij->j", audio, audio) / np.float32(len(audio))
    power = np.add.reduceat(squares, starts, dtype=np.float64) / step
    if not math.isfinite(power.sum()):
        return math.inf
    return float(np.sqrt(power[power >= _GATE * power.max()].mean()))
