"""Writes small SFZ instruments for tests, with recordings made on the spot."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import soundfile

RATE = 16000
ROOTS = (36, 48, 60, 72, 84)
# A kit of six drums; the snare has two layers of velocity, and chance chooses its recordings.
KIT = """
<control> default_path=Drums/
<global> loop_mode=one_shot ampeg_release=0.1
<region> key=36 sample=36.wav
<group> key=38
<region> hivel=80 hirand=0.5 sample=38.wav
<region> hivel=80 lorand=0.5 sample=40.wav
<region> lovel=81 sample=38.wav
<group> group=1 off_by=1
<region> key=42 sample=42.wav
<region> key=46 sample=46.wav
<group>
<region> key=47 sample=47.wav
<region> key=49 sample=49.wav
"""


def hz(key: float) -> float:
    """Return the frequency of a MIDI number."""
    return float(440 * 2 ** ((key - 69) / 12))


def write_wav(path: Path, samples: npt.ArrayLike, sample_rate: int = RATE) -> None:
    """Write (n_samples,) or (n_samples, n_channels) as 32-bit float."""
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, np.asarray(samples, np.float32), sample_rate, subtype="FLOAT")


def write_sfz(path: Path, text: str) -> Path:
    """Write the text of an instrument."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def pluck(key: int, seconds: float = 1.5, n_partials: int = 4) -> npt.NDArray[np.float64]:
    """Return a decaying tone of some partials, peak about 0.5."""
    t = np.arange(round(seconds * RATE)) / RATE
    partials = [np.sin(2 * np.pi * hz(key) * k * t) / k for k in range(1, n_partials + 1)]
    tone: npt.NDArray[np.float64] = 0.3 * np.sum(partials, axis=0) * np.exp(-3 * t)
    return tone


def strings(folder: Path) -> Path:
    """Write a melodic instrument that plays 30 to 89: a recording an octave."""
    lines = ["<global> ampeg_release=0.05"]
    for root in ROOTS:
        write_wav(folder / "samples" / f"{root}.wav", pluck(root))
        keys = f"lokey={root - 6} hikey={root + 5} pitch_keycenter={root}"
        lines.append(f"<region> sample=samples/{root}.wav {keys}")
    (folder / "LICENSE.txt").write_text("Free for all.\n")
    return write_sfz(folder / "Strings.sfz", "\n".join(lines))


def kit(folder: Path) -> Path:
    """Write a drum kit of bursts of noise."""
    rng = np.random.default_rng(0)
    for key in (36, 38, 40, 42, 46, 47, 49):
        n = round((0.15 if key < 45 else 0.3) * RATE)
        burst = 0.4 * rng.uniform(-1, 1, n) * np.exp(-np.arange(n) / (0.03 * RATE))
        write_wav(folder / "Drums" / f"{key}.wav", burst)
    return write_sfz(folder / "Kit.sfz", KIT)
