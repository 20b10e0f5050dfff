"""Playing a part with an SFZ instrument: one process of its own for each stem (`sampler`)."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, Final

import numpy as np
from stemsmith.manifests.arrays import Float32s, Int64s
from stemsmith.manifests.errors import UsageError, one_line
from stemsmith.render.midi.smf import Event
from stemsmith.render.sound.sfz import sampler
from stemsmith.render.sound.sfz.instrument import SfzInstrument
from stemsmith.render.sound.sfz.messages import messages_of
from stemsmith.render.sound.synth import Spans

__all__ = ["play_sfz"]

_WRAPPER: Final = "stemsmith-instrument.sfz"
_LOG: Final = "stemsmith.log"
# A header that comes last counts: all samples are in memory before the first note. Otherwise sfizz
# loads them while it plays, and what is not there in time is not heard.
_WRAPPING: Final = '#include "{}"\n<control>\nhint_ram_based=1\n'


def play_sfz(
    instrument: SfzInstrument,
    events: Sequence[Event],
    frames: Int64s,
    out: Float32s,
    sample_rate: int,
) -> Spans:
    """Synthesise a part with sfizz.

    The same part gives the same samples, in every process and order. A voice starts at the sample
    of its note-on.

    Parameters
    ----------
    instrument : SfzInstrument
        The instrument that plays the part.
    events : sequence of Event
        All messages of the part, on one channel, by time.
    frames : numpy.ndarray
        (n_events,) sample of each. Events from n_samples on are not played.
    out : numpy.ndarray
        (n_channels, n_samples) float32; receives left and right, or their mean.
    sample_rate : int
        Sample rate of `out` in Hz.

    Returns
    -------
    list of (int, int)
        Start and stop of the stretches of `out` that may be other than zero, in order.

    Raises
    ------
    Unplayable
        If the instrument has no region for more than a tenth of the notes.
    UsageError
        If sfizz does not play it, naming the instrument.
    """
    messages = messages_of(instrument, events, frames)
    messages = messages[messages[:, 0] < out.shape[1]]
    out.fill(0.0)
    spans: Spans = []
    with _mirrored(instrument) as (folder, wrapper):
        order: sampler.Order = {
            "path": str(wrapper),
            "n_regions": instrument.n_regions,
            "sample_rate": sample_rate,
            "n_samples": out.shape[1],
            "is_skipped": not instrument.has_effects,
            "n_messages": len(messages),
        }
        request = json.dumps(order).encode() + b"\n" + messages.tobytes()
        for start, stereo in _pieces(instrument, request, folder):
            stop = start + stereo.shape[1]
            if len(out) == 1:
                np.mean(stereo, axis=0, out=out[0, start:stop])
            else:
                out[:, start:stop] = stereo
            if spans and spans[-1][1] == start:
                start = spans.pop()[0]
            spans.append((start, stop))
    return spans


@contextmanager
def _mirrored(instrument: SfzInstrument) -> Iterator[tuple[str, Path]]:
    """Yield a folder of links to all of the instrument, and the file in it that sfizz is given.

    sfizz looks for samples and includes beside that file, and nowhere else.
    """
    (own, _), *_ = instrument.links
    with tempfile.TemporaryDirectory(prefix="stemsmith-sfz-") as folder:
        try:
            for name, target in instrument.links:
                link = Path(folder, name)
                link.parent.mkdir(parents=True, exist_ok=True)
                link.symlink_to(target, target_is_directory=Path(target).is_dir())
            wrapper = Path(folder, own).with_name(_WRAPPER)
            wrapper.write_text(_WRAPPING.format(Path(own).name), "utf-8", "surrogateescape")
        except OSError as error:
            raise UsageError(
                f"{instrument.path}: a folder of links to it cannot be made in {folder}: "
                f"{error.strerror}"
            ) from error
        yield folder, wrapper


def _pieces(
    instrument: SfzInstrument, request: bytes, folder: str
) -> Iterator[tuple[int, Float32s]]:
    """Yield the first sample and the (2, n_samples) audio of each piece that is not silent."""
    log = Path(folder, _LOG)
    with log.open("wb") as errors, _started(errors, folder) as process:
        assert process.stdin is not None and process.stdout is not None
        with suppress(BrokenPipeError):  # it has said why
            process.stdin.write(request)
            process.stdin.flush()
        while head := process.stdout.read(sampler.HEAD.size):
            start, n_samples = sampler.HEAD.unpack(head)
            if start < 0:
                said = process.stdout.read().decode(errors="replace")
                break
            samples = process.stdout.read(8 * n_samples)
            yield start, np.frombuffer(samples, np.float32).reshape(2, -1)
        else:
            last = log.read_text(errors="replace").strip().splitlines()[-1:]
            said = last[0] if last else f"its process ends with {process.wait()}"
    if said:
        raise UsageError(f"{instrument.path}: sfizz cannot play it: {one_line(said)}")


@contextmanager
def _started(errors: BinaryIO, folder: str) -> Iterator[subprocess.Popen[bytes]]:
    """Yield the process, and end it when the body ends, however that does.

    It is in a session of its own: Ctrl-C is for this process, which then ends that one.
    """
    command = [sys.executable, "-P", sampler.__file__, folder]
    pipe = subprocess.PIPE
    with subprocess.Popen(
        command, stdin=pipe, stdout=pipe, stderr=errors, start_new_session=True
    ) as process:
        try:
            yield process
        finally:
            process.kill()
            assert process.stdin is not None
            with suppress(BrokenPipeError):  # what it did not read is written once more
                process.stdin.close()
