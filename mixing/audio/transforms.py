"""What can be done to the audio of one source: named transforms with recorded parameters.

A transform is ``{"name": "contrast", "amount": 33}``. Drawing and applying are apart: every number
is drawn beforehand, the seed of a noise included, and stands in the recipe.

``contrast`` amount (sox's; 0 is not the identity), ``equalizer`` freq_hz, q, gain_db (a peak),
``reverb`` reverberance (Freeverb with sox's defaults), ``noise`` level, exponent, seed (RMS, power
as 1 / f^exponent), ``tempo`` factor (above 1 is faster and shorter), ``invert``, ``mute``, and
``silence`` keep, which says what of the file is read and does nothing to the audio once it is.

Departures from Chiu et al. 2020 (section IV-A), whose authors ran sox through pysox
------------------------------------------------------------------------------------
* Nothing is clipped after a transform, where sox clips its integers: loud stems come out less
  distorted, and may exceed full scale.
* Reverb keeps mono mono (sox's left channel), where sox makes it stereo, and is longer than the
  authors' for a third of the draws: see `_reverb`.
* Noise is drawn for each channel; the authors' stems are mono.

Packages of the extra `augment` are imported when a transform needs them.
"""

from __future__ import annotations

import importlib
import json
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple

import numpy as np
from stemsmith.manifests.arrays import Float32s
from stemsmith.manifests.errors import InvalidCorpus, UsageError, install_command

__all__ = ["Transform", "apply_transforms", "decode", "draw_tempo", "draw_wet", "encode"]

Transform = dict[str, Any]

_TEMPO_FACTORS: Final = (0.5, 0.75, 1.0, 1.25, 1.5, 1.75, 2.0)
_P_UNSTRETCHED: Final = 2 / 5
_P_WET: Final = 0.3
_DRAWN_DECIMALS: Final = 4  # keeps recipes short
_VOCODER_WINDOW: Final = 2048  # librosa's n_fft


def _package(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError:
        raise UsageError(
            f"this augmentation needs {name}; install it with: {install_command('augment')}"
        ) from None


def _at_least(audio: Float32s, n_samples: int) -> Float32s:
    return np.pad(audio, ((0, 0), (0, max(0, n_samples - audio.shape[1]))))


def _run(plugin: Any, audio: Float32s, sample_rate: int) -> Float32s:
    # pedalboard tells channels from samples by the shape, and refuses two samples of stereo.
    processed: Float32s = plugin(_at_least(audio, 3), sample_rate, reset=True)
    return processed[:, : audio.shape[1]]


def _contrast(audio: Float32s, sample_rate: int, *, amount: float) -> Float32s:
    # sox's contrast.c. Beyond full scale, which sox's integers cannot reach, the sine would fold.
    # In float64: sines of float32 differ in the last bit between processors.
    angle = np.clip(audio.astype(np.float64), -1, 1) * (np.pi / 2)
    return np.sin(angle + amount / 750 * np.sin(4 * angle)).astype(np.float32)


def _equalizer(
    audio: Float32s, sample_rate: int, *, freq_hz: float, q: float, gain_db: float
) -> Float32s:
    # There is nothing to raise or cut above half the sample rate, and sox refuses it. pedalboard
    # would, without a word, put the peak 100 Hz below; it does so with the last 100 Hz.
    if freq_hz >= sample_rate / 2:
        return audio
    peak = _package("pedalboard").PeakFilter(cutoff_frequency_hz=freq_hz, gain_db=gain_db, q=q)
    return _run(peak, audio, sample_rate)


def _reverb(audio: Float32s, sample_rate: int, *, reverberance: float) -> Float32s:
    # sox's reverb.c: feedback from 0.3 (reverberance 0) to 0.98 (100), damping 0.5 * 0.3 + 0.2, wet
    # and dry gain 1; two channels share the mean of their reverbs. JUCE, in pedalboard: feedback
    # 0.7 + 0.28 room_size, damping 0.4 damping, wet gain 3 wet_level on the sum of the channels,
    # dry gain 2 dry_level. The rest is the same: mono at 44.1 kHz agrees with sox to rounding.
    # Departures: JUCE's feedback is 0.7 at least, so that all reverberances below 24 sound as 24
    # (RT60 0.6 s where sox goes down to 0.2 s: more reverberant). On the right, JUCE's delays are
    # 23 samples longer, sox's 12 longer and shorter in turn.
    a = -1 / math.log(1 - 0.3)
    b = 100 / (math.log(1 - 0.98) * a + 1)
    feedback = 1 - math.exp((reverberance - b) / (a * b))
    freeverb = _package("pedalboard").Reverb(
        room_size=min(max((feedback - 0.7) / 0.28, 0.0), 1.0),
        damping=0.35 / 0.4,
        wet_level=1 / 3 / audio.shape[0],
        dry_level=1 / 2,
        width=1.0,
    )
    return _run(freeverb, audio, sample_rate)


def _noise(
    audio: Float32s, sample_rate: int, *, level: float, exponent: float, seed: int
) -> Float32s:
    # The level is absolute, as in the authors' code: soft stems become noisier than loud ones.
    n_channels, n_samples = audio.shape
    unit = _package("colorednoise").powerlaw_psd_gaussian(
        exponent, (n_channels, max(n_samples, 2)), random_state=seed
    )
    noisy: Float32s = (audio + level * unit[:, :n_samples]).astype(np.float32)
    return noisy


def _tempo(audio: Float32s, sample_rate: int, *, factor: float) -> Float32s:
    # Channels are stretched one by one, which blurs their phase difference. Slowing down costs a
    # steady sine 0.8 dB (factor 0.75) or 1.2 dB (0.5); loudness is better set afterwards.
    if factor == 1:
        return audio
    stretched: Float32s = _package("librosa").effects.time_stretch(
        _at_least(audio, _VOCODER_WINDOW), rate=factor
    )
    return stretched[:, : round(audio.shape[1] / factor)]


class _Parameter(NamedTuple):
    wanted: str
    holds: Callable[[Any], bool]


def _number(low: float, high: float, kinds: tuple[type, ...] = (int, float)) -> _Parameter:
    def holds(value: Any) -> bool:
        return type(value) in kinds and low <= value <= high  # a bool is no number

    return _Parameter(f"a number from {low} to {high}", holds)


def _are_stretches(value: Any) -> bool:
    return isinstance(value, list) and all(
        isinstance(stretch, list)
        and [type(n) for n in stretch] == [int, int]
        and stretch[0] >= 0 < stretch[1]
        for stretch in value
    )


class _Kind(NamedTuple):
    apply: Callable[..., Float32s]
    parameters: Mapping[str, _Parameter]


_KINDS: Final[Mapping[str, _Kind]] = {
    "contrast": _Kind(_contrast, {"amount": _number(0, 100)}),
    "equalizer": _Kind(
        _equalizer,
        {"freq_hz": _number(1, 1_000_000), "q": _number(0.01, 100), "gain_db": _number(-60, 60)},
    ),
    "invert": _Kind(lambda audio, sample_rate: -audio, {}),
    "mute": _Kind(lambda audio, sample_rate: np.zeros_like(audio), {}),
    "noise": _Kind(
        _noise,
        {"level": _number(0, 1), "exponent": _number(0, 2), "seed": _number(0, 2**53, (int,))},
    ),
    "reverb": _Kind(_reverb, {"reverberance": _number(0, 100)}),
    "silence": _Kind(
        lambda audio, sample_rate, keep: audio,
        {"keep": _Parameter("a list of [start, n_samples]", _are_stretches)},
    ),
    "tempo": _Kind(_tempo, {"factor": _number(0.25, 4)}),
}


def _problem(transform: object) -> str:
    """Return what is wrong with a transform, or the empty string."""
    name = transform.get("name") if isinstance(transform, dict) else None
    if not isinstance(transform, dict) or not isinstance(name, str):
        return f"a transform is an object with a name, not {transform!r}"
    if name not in _KINDS:
        return f"no transform {name!r}; known: {', '.join(_KINDS)}"
    parameters = _KINDS[name].parameters
    given = [str(key) for key in transform if key != "name"]
    if sorted(given) != sorted(parameters):
        wanted = ", ".join(parameters) or "none"
        return f"{name}: parameters are {wanted}, not {', '.join(given) or 'none'}"
    for key, parameter in parameters.items():
        if not parameter.holds(transform[key]):
            return f"{name}: {key} must be {parameter.wanted}, not {transform[key]!r}"
    return ""


def encode(transform: Transform) -> str:
    """Write a transform as it stands in a recipe.

    Parameters
    ----------
    transform : Transform
        Name and parameters.

    Returns
    -------
    str
        Canonical JSON: equal transforms give equal text.

    Raises
    ------
    UsageError
        For an unknown name, a missing or unknown parameter, or a value out of its range.
    """
    if problem := _problem(transform):
        raise UsageError(problem)
    plain = {
        key: int(value) if isinstance(value, float) and value.is_integer() else value
        for key, value in transform.items()
    }
    return json.dumps(plain, sort_keys=True, separators=(",", ":"))


def decode(text: str) -> Transform:
    """Read a transform from a recipe.

    Parameters
    ----------
    text : str
        As written by `encode`.

    Returns
    -------
    Transform
        Name and parameters.

    Raises
    ------
    InvalidCorpus
        If it is no JSON or no transform that `encode` would write.
    """
    try:
        transform = json.loads(text)
    except ValueError:
        raise InvalidCorpus(f"transform {text!r}: not JSON") from None
    if problem := _problem(transform):
        raise InvalidCorpus(f"transform {text!r}: {problem}")
    return dict(transform)


def apply_transforms(audio: Float32s, sample_rate: int, transforms: Sequence[str]) -> Float32s:
    """Apply the transforms of a source in their order.

    Parameters
    ----------
    audio : numpy.ndarray
        (n_channels, n_samples) float32, one or two channels; not modified.
    sample_rate : int
        In Hz.
    transforms : sequence of str
        As written by `encode`.

    Returns
    -------
    numpy.ndarray
        (n_channels, m) float32, a new array; m is n_samples, and n_samples / factor rounded after
        a change of tempo. The same bytes at every call.

    Raises
    ------
    InvalidCorpus
        If a transform is not valid.
    UsageError
        If a package is missing.
    """
    processed = audio.copy()
    for text in transforms:
        parameters = decode(text)
        kind = _KINDS[parameters.pop("name")]
        processed = kind.apply(processed, sample_rate, **parameters)
    return np.ascontiguousarray(processed)


def _whole(rng: np.random.Generator, low: int, high: int) -> int:
    return int(rng.integers(low, high, endpoint=True))


def _uniform(rng: np.random.Generator, low: float, high: float) -> float:
    return round(float(rng.uniform(low, high)), _DRAWN_DECIMALS)


def draw_wet(rng: np.random.Generator) -> list[Transform]:
    """Draw the "wet" effects of one source (Chiu et al. 2020, section IV-A and Table I).

    Parameters
    ----------
    rng : numpy.random.Generator
        Where the draws come from.

    Returns
    -------
    list of Transform
        Each with probability 0.3, in this order: contrast of 1 to 70 (integers, both included, as
        in the table and the authors' code); two equalizers under one coin, at 32 to 4096 Hz
        (integers), q 2, -10 to 5 dB; reverb of 1 to 70 (integers); pink noise of level 0.01 to
        0.04. Gains of the equalizers, q and the single coin are from the authors' code.
    """
    drawn: list[Transform] = []
    if rng.random() < _P_WET:
        drawn.append({"name": "contrast", "amount": _whole(rng, 1, 70)})
    if rng.random() < _P_WET:
        for _ in range(2):
            freq_hz, gain_db = _whole(rng, 32, 4096), _uniform(rng, -10, 5)
            drawn.append({"name": "equalizer", "freq_hz": freq_hz, "q": 2, "gain_db": gain_db})
    if rng.random() < _P_WET:
        drawn.append({"name": "reverb", "reverberance": _whole(rng, 1, 70)})
    if rng.random() < _P_WET:
        level, seed = _uniform(rng, 0.01, 0.04), _whole(rng, 0, 2**32 - 1)
        drawn.append({"name": "noise", "level": level, "exponent": 1, "seed": seed})
    return drawn


def draw_tempo(rng: np.random.Generator) -> float:
    """Draw a factor of tempo (Brunner et al. 2019, section IV-C).

    Parameters
    ----------
    rng : numpy.random.Generator
        Where the draw comes from.

    Returns
    -------
    float
        0.5, 0.75, 1, 1.25, 1.5, 1.75 or 2: 1 with probability 2/5, the others 1/10 each.
    """
    p_other = (1 - _P_UNSTRETCHED) / (len(_TEMPO_FACTORS) - 1)
    p = [_P_UNSTRETCHED if factor == 1 else p_other for factor in _TEMPO_FACTORS]
    return float(rng.choice(_TEMPO_FACTORS, p=p))
