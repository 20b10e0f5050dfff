"""System exclusives that say what a channel is: resets of GM, GS and XG, and rhythm parts.

As FluidSynth reads them (its device number is 16; 127 means all), and beyond it the part mode of
XG, which FluidSynth passes over.

References: General MIDI System Level 1 and 2 (MIDI Manufacturers Association); owner's manuals of
the Roland SC-88 (patch parameters ``40 1x 15``, mode set ``40 00 7F``) and of the Yamaha MU80
(XG system on ``00 00 7E``, multi part ``08 nn 07``).
"""

from __future__ import annotations

from enum import Enum, auto
from typing import Final, NamedTuple

__all__ = ["BankMode", "PartMode", "Reset", "read_system"]

_START: Final = 0xF0
_END: Final = 0xF7
_DEVICES: Final = (16, 127)
_GM_ON: Final = 1
_GM2_ON: Final = 3


class BankMode(Enum):
    """The rules by which a synthesiser takes bank selects."""

    POWER_ON = auto()  # as GS, until a reset says otherwise
    GM = auto()
    GM2 = auto()
    GS = auto()
    XG = auto()


class Reset(NamedTuple):
    """A system reset: all channels are silent, and as they are at power on."""

    mode: BankMode


class PartMode(NamedTuple):
    """A message that makes a channel play drums, or makes it melodic."""

    channel: int
    is_drum: bool
    mode: BankMode  # in which it holds


def read_system(data: bytes) -> Reset | PartMode | None:
    """Return what a system exclusive does to channels; None for all others.

    Parameters
    ----------
    data : bytes
        The message from 0xF0 on; fragments of longer messages do nothing.
    """
    if data[0] != _START or data[-1] != _END or len(data) < 6 or data[2] not in _DEVICES:
        return None
    body = data[3:-1]
    if data[1] == 0x7E:
        return _universal(body)
    if data[1] == 0x41 and body[:2] == b"\x42\x12":
        return _roland(body[2:])
    if data[1] == 0x43 and body[:1] == b"\x4c":
        return _yamaha(body[1:])
    return None


def _universal(body: bytes) -> Reset | None:
    modes = {_GM_ON: BankMode.GM, _GM2_ON: BankMode.GM2}
    return Reset(modes[body[1]]) if body[0] == 9 and body[1] in modes else None


def _roland(body: bytes) -> Reset | PartMode | None:
    """Read address, one byte of data, and a checksum that makes their sum a multiple of 128."""
    if len(body) != 5 or sum(body) % 128:
        return None
    address, value = body[:3], body[3]
    if address == b"\x40\x00\x7f" and value in (0, 127):
        return Reset(BankMode.GM if value else BankMode.GS)
    if address[0] == 0x40 and address[1] >> 4 == 1 and address[2] == 0x15 and value <= 2:
        block = address[1] & 0x0F
        channel = block if block >= 10 else (block - 1) % 10  # block 0 is channel 10
        return PartMode(channel, value > 0, BankMode.GS)
    return None


def _yamaha(body: bytes) -> Reset | PartMode | None:
    if body in (b"\0\0\x7e\0", b"\0\0\x7f\0"):
        return Reset(BankMode.XG)
    if len(body) == 4 and body[0] == 8 and body[1] < 16 and body[2] == 7:
        return PartMode(body[1], body[3] > 0, BankMode.XG)
    return None
