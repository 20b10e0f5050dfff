"""The program of the process that plays one stem with sfizz; the only file that imports pysfizz.

sfizz has random numbers that a process has once, however many synthesisers it makes: only a new
process plays the same again. It is started by the path of this file and imports nothing of
stemsmith. Its argument is the folder of links that the instrument lies in, which it removes if the
parent process ends before its time. Its standard input has one line of JSON (`Order`), then the
messages, and stays open: its end is that of the parent process, and of this one. Its output has
pieces of audio, each a head of two numbers and the samples, and a last head without samples before
one line of text, which is empty if all went well.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import struct
import sys
import threading
from typing import Any, BinaryIO, Final, NoReturn, TypedDict

__all__ = ["CONTROLLER", "HEAD", "NOTE_OFF", "NOTE_ON", "WHEEL", "Order", "main"]

NOTE_OFF: Final = 0
NOTE_ON: Final = 1
CONTROLLER: Final = 2
WHEEL: Final = 3

HEAD: Final = struct.Struct("<qq")  # first sample and number of samples of a piece of audio

# Other sizes of blocks give other bytes; 64 takes 1.4 times the time, and messages are to the
# sample in any.
_BLOCK: Final = 1024
_QUALITY: Final = 2  # polynomials; 62 dB from the best, in a third of the time
_N_VOICES: Final = 256


class Order(TypedDict):
    """What is to be played.

    Attributes
    ----------
    path : str
        The .sfz file that is played.
    n_regions : int
        Regions that must be there when sfizz has loaded it.
    sample_rate, n_samples : int
        Sample rate in Hz, and number of samples.
    is_skipped : bool
        Whether nothing is computed while no voice sounds and no key is down.
    n_messages : int
        Messages that follow, of four 32-bit integers each: sample, kind, two numbers.
    """

    path: str
    n_regions: int
    sample_rate: int
    n_samples: int
    is_skipped: bool
    n_messages: int


def main() -> None:
    """Play what standard input says."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent process decides what it means
    audio = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what libraries print is no audio
    folder, requests = sys.argv[1], sys.stdin.buffer
    line = requests.readline()
    if not line.endswith(b"\n"):
        _end(folder)
    order: Order = json.loads(line)
    messages = requests.read(16 * order["n_messages"])
    if len(messages) < 16 * order["n_messages"]:
        _end(folder)
    threading.Thread(target=_end_with_parent, args=(folder,), daemon=True).start()
    try:
        _play(order, memoryview(messages).cast("i").tolist(), audio)
        said = ""
    except Exception as error:
        said = f"{type(error).__name__}: {error}"
    audio.write(HEAD.pack(-1, 0) + said.encode(errors="replace"))
    audio.flush()
    os._exit(0)


def _end_with_parent(folder: str) -> None:
    while os.read(0, 1):
        pass
    _end(folder)


def _end(folder: str) -> NoReturn:
    """End this process, whose parent has ended, with what is left of it."""
    shutil.rmtree(folder, ignore_errors=True)  # of the links, not of what they lead to
    os._exit(1)


def _play(order: Order, messages: list[int], audio: BinaryIO) -> None:
    import numpy as np
    from pysfizz import _sfizz

    synth: Any = _sfizz.Synth(order["sample_rate"], _BLOCK)
    synth.enable_freewheeling()
    synth.set_sample_quality(_QUALITY)
    synth.set_num_voices(_N_VOICES)
    synth.load_sfz_file(order["path"])
    if synth.get_num_regions() != order["n_regions"]:
        raise ValueError(f"sfizz plays {synth.get_num_regions()} regions of {order['n_regions']}")
    act = {
        NOTE_OFF: synth.note_off,
        NOTE_ON: synth.note_on,
        CONTROLLER: synth.cc,
        WHEEL: lambda delay, position, _: synth.pitch_wheel(delay, position),
    }
    n_samples, at, n_held = order["n_samples"], 0, 0
    for start in range(0, n_samples, _BLOCK):
        first = at
        while at < len(messages) and messages[at] < start + _BLOCK:
            frame, kind, a, b = messages[at : at + 4]
            act[kind](frame - start, a, b)
            n_held += (kind == NOTE_ON) - (kind == NOTE_OFF)
            at += 4
        is_idle = at == first and not n_held and not synth.get_num_active_voices()
        if is_idle and order["is_skipped"]:
            continue
        stereo = np.stack(synth.render_block())[:, : n_samples - start]
        if stereo.any():
            audio.write(HEAD.pack(start, stereo.shape[1]) + stereo.tobytes())


if __name__ == "__main__":
    main()
