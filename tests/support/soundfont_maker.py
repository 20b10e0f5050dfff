"""Writes small SoundFont 2 files for tests.

Covers what the tests need of the SoundFont Technical Specification 2.04: mono 16-bit samples with
or without a loop; instruments and presets of zones with a key range, a velocity range and any
other generators; global zones; presets in any bank. No modulators, stereo links, ROM samples,
24-bit samples or compression. FluidSynth loads the files.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

SAMPLE_RATE = 44100
PERIOD = 100  # samples of one period of the tones: 441 Hz
ATTACK, ATTENUATION, SAMPLE_MODES = 34, 48, 54  # generators (section 8.1.2)
_INSTRUMENT, _KEYS, _VELOCITIES, _SAMPLE = 41, 43, 44, 53
_SILENCE = 46  # zeros that must follow every sample (section 6.1)


@dataclass(frozen=True)
class Sample:
    """A mono recording: values in -1 to 1, and the samples its loop goes from and to, if any."""

    values: npt.NDArray[np.float64]
    loop: tuple[int, int] | None = None
    root_key: int = 69
    sample_rate: int = SAMPLE_RATE


@dataclass(frozen=True)
class Zone:
    """A zone: the number of the sample or instrument it plays, or None for a global zone.

    `generators` are further ones, with amounts from -32768 to 32767; attenuation is in cB.
    """

    plays: int | None
    keys: tuple[int, int] | None = None
    velocities: tuple[int, int] | None = None
    generators: Mapping[int, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Program:
    """A preset."""

    zones: Sequence[Zone]
    bank: int = 0
    number: int = 0
    name: str = "preset"


def tone(shape: str = "sine", n_periods: int = 20, level: float = 0.5) -> Sample:
    """Return a looped sine or square wave."""
    phase = np.arange(n_periods * PERIOD) % PERIOD / PERIOD
    wave = np.sin(2 * np.pi * phase) if shape == "sine" else np.where(phase < 0.5, 1.0, -1.0)
    return Sample(level * wave, (PERIOD, (n_periods - 1) * PERIOD))


def write_sf2(
    path: Path,
    samples: Sequence[Sample],
    instruments: Sequence[Sequence[Zone]],
    programs: Sequence[Program],
) -> Path:
    """Write a file; zones of programs play instruments, zones of instruments play samples."""
    values, sample_heads = _samples(samples)
    firsts, ibag, igen = _zones(instruments, _SAMPLE)
    heads = zip([f"instrument {k}" for k in range(len(instruments))] + ["EOI"], firsts, strict=True)
    inst = b"".join(struct.pack("<20sH", name.encode(), first) for name, first in heads)
    firsts, pbag, pgen = _zones([program.zones for program in programs], _INSTRUMENT)
    ends = zip([*programs, Program((), name="EOP")], firsts, strict=True)
    phdr = b"".join(
        struct.pack("<20sHHHLLL", p.name.encode(), p.number, p.bank, first, 0, 0, 0)
        for p, first in ends
    )
    info = {b"ifil": b"\2\0\1\0", b"isng": b"EMU8000\0", b"INAM": b"test\0\0"}
    hydra = {
        b"phdr": phdr, b"pbag": pbag, b"pmod": bytes(10), b"pgen": pgen,
        b"inst": inst, b"ibag": ibag, b"imod": bytes(10), b"igen": igen, b"shdr": sample_heads,
    }  # fmt: skip
    lists = _list(b"INFO", info) + _list(b"sdta", {b"smpl": values}) + _list(b"pdta", hydra)
    path.write_bytes(_chunk(b"RIFF", b"sfbk" + lists))
    return path


def write_two_layers(path: Path) -> Path:
    """Write a preset that plays a sine up to velocity 63 and a square wave from 64 on."""
    zones = [
        Zone(0, velocities=(0, 63), generators={SAMPLE_MODES: 1}),
        Zone(1, velocities=(64, 127), generators={SAMPLE_MODES: 1}),
    ]
    return write_sf2(path, [tone("sine"), tone("square")], [zones], [Program([Zone(0)])])


def write_rectangle(path: Path, ramp: int = 0) -> Path:
    """Write a preset of a constant full scale, after a linear ramp of so many samples from zero.

    The attack of the volume envelope has the shortest time there is.
    """
    values = np.minimum(np.arange(ramp + 4410) / max(ramp, 1), 1.0) if ramp else np.ones(4410)
    loop = (ramp + 100, ramp + 4300)
    zone = Zone(0, generators={SAMPLE_MODES: 1, ATTACK: -12000})
    return write_sf2(path, [Sample(values, loop)], [[zone]], [Program([Zone(0)])])


def write_two_banks(path: Path, number: int = 40) -> Path:
    """Write a sine in bank 0 and a square wave in bank 8, both with the same number."""
    instruments = [[Zone(k, generators={SAMPLE_MODES: 1})] for k in range(2)]
    programs = [
        Program([Zone(0)], 0, number, "sine"),
        Program([Zone(1)], 8, number, "square"),
    ]
    return write_sf2(path, [tone("sine"), tone("square")], instruments, programs)


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack("<4sL", kind, len(data)) + data + b"\0" * (len(data) % 2)


def _list(kind: bytes, chunks: Mapping[bytes, bytes]) -> bytes:
    return _chunk(b"LIST", kind + b"".join(_chunk(k, data) for k, data in chunks.items()))


def _samples(samples: Iterable[Sample]) -> tuple[bytes, bytes]:
    """Return the content of the chunks smpl and shdr."""
    values, heads, start = b"", b"", 0
    for k, sample in enumerate(samples):
        pcm = np.rint(32767 * sample.values).astype("<i2")
        end = start + len(pcm)
        loop = tuple(start + edge for edge in sample.loop or (0, len(pcm)))
        where = (start, end, *loop, sample.sample_rate, sample.root_key)
        heads += struct.pack("<20sLLLLLBbHH", f"sample {k}".encode(), *where, 0, 0, 1)
        values += pcm.tobytes() + bytes(2 * _SILENCE)
        start = end + _SILENCE
    return values, heads + struct.pack("<20s26x", b"EOS")


def _zones(owners: Iterable[Sequence[Zone]], link: int) -> tuple[list[int], bytes, bytes]:
    """Return the first zone of every owner and the end, the bags and the generators."""
    firsts, bags, generators = [0], b"", b""
    for zones in owners:
        for zone in zones:
            bags += struct.pack("<HH", len(generators) // 4, 0)
            for kind, ends in ((_KEYS, zone.keys), (_VELOCITIES, zone.velocities)):
                if ends is not None:
                    generators += struct.pack("<HBB", kind, *ends)
            for kind, amount in zone.generators.items():
                generators += struct.pack("<Hh", kind, amount)
            if zone.plays is not None:
                generators += struct.pack("<HH", link, zone.plays)
        firsts.append(firsts[-1] + len(zones))
    return firsts, bags + struct.pack("<HH", len(generators) // 4, 0), generators + bytes(4)
