"""Parts played by sfizz: physics of the sound, the same bytes, and processes that end."""

from __future__ import annotations

import dataclasses
import hashlib
import importlib.util
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import psutil
import pytest
from sfz_maker import RATE, hz, kit, pluck, strings, write_sfz, write_wav
from stemsmith.manifests.errors import UsageError
from stemsmith.render.midi.smf import Event
from stemsmith.render.sound.sample_folder import Unplayable
from stemsmith.render.sound.sfz import playing
from stemsmith.render.sound.sfz.instrument import SfzInstrument, read_sfz
from stemsmith.render.sound.sfz.playing import play_sfz

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("pysfizz") is None, reason="pysfizz is not installed"
)
Message = tuple[int, bytes]  # sample, and what is sent


def on(frame: int, key: int, velocity: int = 100) -> Message:
    return frame, bytes((0x90, key, velocity))


def off(frame: int, key: int) -> Message:
    return frame, bytes((0x80, key, 0))


def cc(frame: int, number: int, value: int) -> Message:
    return frame, bytes((0xB0, number, value))


def bend(frame: int, position: int) -> Message:
    return frame, bytes((0xE0, (position + 8192) & 127, (position + 8192) >> 7))


def play(
    instrument: SfzInstrument,
    messages: Iterable[Message],
    n_samples: int = RATE,
    n_channels: int = 1,
) -> npt.NDArray[np.float32]:
    """Return (n_channels, n_samples); outside of the spans it is silent."""
    messages = sorted(messages, key=lambda message: message[0])
    frames = np.array([frame for frame, _ in messages], np.int64)
    events = [Event(0, data) for _, data in messages]
    out = np.full((n_channels, n_samples), np.nan, np.float32)
    spans = play_sfz(instrument, events, frames, out, RATE)
    is_silent = np.ones(n_samples, np.bool_)
    for start, stop in spans:
        assert 0 <= start < stop <= n_samples
        is_silent[start:stop] = False
    assert not out[:, is_silent].any()
    assert spans == sorted(spans)
    return out


def steady(
    folder: Path, opcodes: str = "", level: float = 0.5, seconds: float = 2
) -> SfzInstrument:
    """Return an instrument that plays a constant, from its first sample."""
    write_wav(folder / "dc.wav", np.full(round(seconds * RATE), level))
    return read_sfz(write_sfz(folder / "dc.sfz", f"<region> sample=dc.wav {opcodes}"), False)


def tuned(folder: Path, opcodes: str = "") -> SfzInstrument:
    """Return an instrument that plays a sine at each key's pitch."""
    t = np.arange(2 * RATE) / RATE
    write_wav(folder / "sine.wav", 0.5 * np.sin(2 * np.pi * hz(60) * t))
    return read_sfz(write_sfz(folder / "sine.sfz", f"<region> sample=sine.wav {opcodes}"), False)


def pitch_of(audio: npt.NDArray[np.float32]) -> float:
    """Return the MIDI number of a sine, from the phase of its analytic signal."""
    spectrum = np.abs(np.fft.rfft(audio * np.hanning(len(audio)), 1 << 18))
    return 69 + 12 * np.log2(spectrum.argmax() * RATE / (1 << 18) / 440)


@pytest.mark.parametrize("onset", [0, 1, 63, 64, 1000, 1023, 1024, 1025, 5000, RATE - 1])
def test_a_voice_starts_at_the_sample_of_its_note(tmp_path: Path, onset: int) -> None:
    audio = play(steady(tmp_path, "ampeg_attack=0"), [on(onset, 60)])[0]
    assert np.flatnonzero(audio)[0] == onset


def test_the_stem_ends_where_it_shall(tmp_path: Path) -> None:
    instrument = steady(tmp_path)
    whole = play(instrument, [on(0, 60), off(9000, 60)], 10_000)
    for n_samples in (1, 1023, 1024, 1025, 3000):
        part = play(instrument, [on(0, 60), off(9000, 60)], n_samples)
        np.testing.assert_array_equal(part, whole[:, :n_samples])


def test_nothing_to_play_is_silence(tmp_path: Path) -> None:
    instrument = steady(tmp_path)
    assert not play(instrument, []).any()
    assert not play(instrument, [cc(5, 7, 3)]).any()
    assert not play(instrument, [on(RATE, 60), off(RATE + 5, 60)]).any()


def test_mono_is_the_mean_of_left_and_right(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    write_wav(tmp_path / "st.wav", rng.uniform(-0.5, 0.5, (4000, 2)))
    instrument = read_sfz(write_sfz(tmp_path / "a.sfz", "<region> sample=st.wav"), False)
    messages = [on(100, 60), off(3000, 60)]
    stereo, mono = play(instrument, messages, 5000, 2), play(instrument, messages, 5000, 1)
    assert np.abs(stereo[0] - stereo[1]).max() > 0.1
    np.testing.assert_allclose(mono[0], (stereo[0] + stereo[1]) / 2, atol=1e-7)


def test_the_pan_of_the_score_moves_the_sound(tmp_path: Path) -> None:
    instrument = steady(tmp_path)
    left = play(instrument, [cc(0, 10, 0), on(10, 60)], 4000, 2)
    right = play(instrument, [cc(0, 10, 127), on(10, 60)], 4000, 2)
    assert np.abs(left[1, 2000:]).max() < 1e-3 < np.abs(left[0, 2000:]).min()
    assert np.abs(right[0, 2000:]).max() < 1e-3 < np.abs(right[1, 2000:]).min()


@pytest.mark.parametrize("velocity", [1, 40, 100, 127])
def test_velocity_and_controllers_scale_as_the_format_says(tmp_path: Path, velocity: int) -> None:
    instrument = steady(tmp_path)
    full = play(instrument, [on(0, 60, 127)], 4000)[0, 3000]
    soft = play(instrument, [on(0, 60, velocity)], 4000)[0, 3000]
    assert soft / full == pytest.approx((velocity / 127) ** 2, rel=1e-3)


def test_volume_and_expression_are_followed(tmp_path: Path) -> None:
    instrument = steady(tmp_path)
    full = play(instrument, [on(0, 60)], 4000)[0, 3000]
    for number in (7, 11):
        assert 0 < play(instrument, [cc(0, number, 40), on(0, 60)], 4000)[0, 3000] < full / 2


def test_a_note_ends_at_its_note_off(tmp_path: Path) -> None:
    instrument = steady(tmp_path, "ampeg_release=0.01")
    for off_data in (bytes((0x80, 60, 64)), bytes((0x90, 60, 0))):
        audio = play(instrument, [on(0, 60), (5000, off_data)])[0]
        assert audio[4999] == pytest.approx(audio[3000])
        assert not audio[5000 + RATE // 10 :].any()


def test_the_sustain_pedal_holds(tmp_path: Path) -> None:
    instrument = steady(tmp_path, "ampeg_release=0.01")
    messages = [on(0, 60), cc(100, 64, 127), off(4000, 60), cc(8000, 64, 0)]
    audio = play(instrument, messages)[0]
    assert audio[7999] == pytest.approx(audio[3000])
    assert not audio[8000 + RATE // 10 :].any()


def test_release_samples_sound_at_the_note_off(tmp_path: Path) -> None:
    write_wav(tmp_path / "a.wav", np.full(RATE, 0.5))
    write_wav(tmp_path / "r.wav", np.full(500, -0.5))
    text = "<region> sample=a.wav ampeg_release=0 <region> sample=r.wav trigger=release"
    audio = play(read_sfz(write_sfz(tmp_path / "a.sfz", text), False), [on(0, 60), off(4000, 60)])
    assert audio[0, 3900] > 0.05
    assert audio[0, 4300] < -0.02


@pytest.mark.parametrize(
    ("messages", "opcodes", "expected"),
    [
        ([], "", 0),
        ([bend(0, 4096)], "", 1),
        ([bend(0, -4096)], "", -1),
        ([bend(0, 8191)], "", 2),
        # RPN 0: the score's range, in semitones and cents, also when it is set after the wheel
        ([cc(0, 101, 0), cc(0, 100, 0), cc(0, 6, 1), bend(0, 8191)], "", 1),
        ([bend(0, 8191), cc(0, 101, 0), cc(0, 100, 0), cc(0, 6, 0), cc(0, 38, 50)], "", 0.5),
        ([cc(0, 101, 0), cc(0, 100, 0), cc(0, 6, 12), bend(0, 683)], "", 1),
        # beyond the range of the file
        ([cc(0, 101, 0), cc(0, 100, 0), cc(0, 6, 12), bend(0, 8191)], "", 2),
        ([cc(0, 101, 0), cc(0, 100, 0), cc(0, 6, 12), bend(0, 8191)], "bend_up=1200", 12),
        ([bend(0, 8191)], "bend_up=1200", 2),
        ([bend(0, -8192)], "bend_down=-1200", -2),
        ([bend(0, 8191)], "bend_up=0", 0),
        # other parameters are none of ours
        ([cc(0, 101, 0), cc(0, 100, 1), cc(0, 6, 12), bend(0, 4096)], "", 1),
        ([cc(0, 101, 0), cc(0, 100, 0), cc(0, 99, 1), cc(0, 6, 12), bend(0, 4096)], "", 1),
        ([bend(0, 4096), cc(0, 121, 0)], "", 0),
    ],
)
def test_the_wheel_bends_by_what_the_score_means(
    tmp_path: Path, messages: list[Message], opcodes: str, expected: float
) -> None:
    audio = play(tuned(tmp_path, opcodes), [*messages, on(0, 60)])[0]
    assert pitch_of(audio[2000:14_000]) == pytest.approx(60 + expected, abs=0.02)


def test_keys_without_a_region_are_not_sent(tmp_path: Path) -> None:
    # Key 24 would switch to the other articulation.
    write_wav(tmp_path / "a.wav", np.full(RATE, 0.5))
    write_wav(tmp_path / "b.wav", np.full(RATE, -0.5))
    text = """<global> sw_lokey=24 sw_hikey=25 sw_default=25 lokey=60 hikey=72
    <region> sw_last=25 sample=a.wav <region> sw_last=24 sample=b.wav"""
    instrument = read_sfz(write_sfz(tmp_path / "a.sfz", text), False)
    notes = [on(400 * i, 60 + i) for i in range(10)] + [on(50, 24), off(60, 24)]
    audio = play(instrument, notes, 4000)[0]
    assert audio.min() >= 0
    assert audio.max() > 0.05


def test_too_many_lost_notes_are_not_played(tmp_path: Path) -> None:
    instrument = steady(tmp_path, "lokey=60 hikey=72")
    notes = [on(10 * i, 60) for i in range(9)]
    assert play(instrument, [*notes, on(5, 40)], 2000).any()
    with pytest.raises(Unplayable, match=r"dc\.sfz: has no region for 2 of 11 notes, such as 2 of"):
        play(instrument, [*notes, on(5, 40), on(6, 40)], 2000)
    with pytest.raises(Unplayable, match="1 of 1 notes, such as 1 of key 59"):
        play(instrument, [on(0, 59)], 2000)


def test_round_robins_begin_anew_with_each_stem(tmp_path: Path) -> None:
    for i in (1, 2, 3):
        write_wav(tmp_path / f"{i}.wav", np.full(200, 0.1 * i))
    text = "<group> seq_length=3" + "".join(
        f"<region> sample={i}.wav seq_position={i} loop_mode=one_shot " for i in (1, 2, 3)
    )
    instrument = read_sfz(write_sfz(tmp_path / "a.sfz", text), False)
    notes = [on(1000 * i, 60) for i in range(4)]
    audio = play(instrument, notes, 5000)[0]
    levels = audio[100:4000:1000] / audio[100]
    np.testing.assert_allclose(levels, [1, 2, 3, 1], rtol=1e-3)
    np.testing.assert_array_equal(play(instrument, notes, 5000)[0], audio)


def test_a_kit_sounds_as_the_drum_it_has(tmp_path: Path) -> None:
    drums = read_sfz(kit(tmp_path), True)
    for asked, played in ((35, 36), (44, 42), (57, 49)):
        np.testing.assert_array_equal(
            play(drums, [on(300, asked), off(400, asked)]),
            play(drums, [on(300, played), off(400, played)]),
        )


def test_silence_is_skipped_without_a_trace(tmp_path: Path) -> None:
    skipping = read_sfz(strings(tmp_path), False)
    assert not skipping.has_effects
    whole = dataclasses.replace(skipping, has_effects=True)
    notes = [on(100, 60), off(2000, 60), cc(45_000, 7, 90), on(60_000, 50), off(61_000, 50)]
    audio = play(skipping, notes, 6 * RATE)
    np.testing.assert_array_equal(audio, play(whole, notes, 6 * RATE))
    assert audio[0, 60_000:].any()


SONG = [
    message
    for i in range(60)
    for message in (
        on(500 * i + 7 * (i % 5), (36, 38, 42, 46, 49)[i % 5], 40 + i),
        off(500 * i + 300, (36, 38, 42, 46, 49)[i % 5]),
    )
]
AGAIN = """
import hashlib, sys
sys.path.insert(0, sys.argv[1])
from pathlib import Path
import test_sfz_playing as t
for name in sys.argv[3:]:
    instrument = t.read_sfz(Path(sys.argv[2], name), name == "Kit.sfz")
    print(hashlib.sha256(t.play(instrument, t.SONG, 2 * t.RATE).tobytes()).hexdigest())
"""


def test_stems_are_the_same_in_every_process_and_order(tmp_path: Path) -> None:
    drums, melodic = read_sfz(kit(tmp_path), True), read_sfz(strings(tmp_path), False)
    chance = [play(drums, [on(0, 38, 60)] * k, 3000).tobytes() for k in (1, 2)]
    assert chance[0] != chance[1]  # otherwise chance would have nothing to choose
    first = {
        name: hashlib.sha256(play(instrument, SONG, 2 * RATE).tobytes()).hexdigest()
        for name, instrument in (("Kit.sfz", drums), ("Strings.sfz", melodic))
    }
    orders = [("Kit.sfz", "Strings.sfz"), ("Strings.sfz", "Kit.sfz", "Kit.sfz")]
    for names in orders:
        done = subprocess.run(
            [sys.executable, "-c", AGAIN, str(Path(__file__).parent), str(tmp_path), *names],
            capture_output=True,
            text=True,
            check=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        )
        assert done.stdout.split() == [first[name] for name in names]


def test_recordings_lie_where_the_instrument_says(tmp_path: Path) -> None:
    home = tmp_path / "a b/Kit #1"
    write_wav(home / "Samples/Deep er/C4.WAV", pluck(60))
    write_sfz(home / "Data/part.txt", "<region> sample=..\\samples/deep ER/c4.wav")
    path = write_sfz(home / "Programs/Nice one.sfz", '#include "../Data/part.txt"\n')
    deeper = write_sfz(
        home / "Programs/Sub/Nice.sfz", "<region> sample=../../Samples/Deep er/C4.WAV"
    )
    beside = write_sfz(home / "Samples/x.sfz", "<region> sample=../Samples/Deep er/C4.WAV")
    around = write_sfz(
        home / "y.sfz", "<region> sample=Data/../Programs/Sub/../../Samples/Deep er/C4.WAV"
    )
    paths = (path, deeper, beside, around)
    sounds = [play(read_sfz(p, False), [on(0, 60)]) for p in paths]
    assert sounds[0].any()
    for sound in sounds[1:]:
        np.testing.assert_array_equal(sounds[0], sound)
    assert sorted(p.name for p in home.iterdir()) == ["Data", "Programs", "Samples", "y.sfz"]


def test_an_instrument_that_has_changed_is_named(tmp_path: Path) -> None:
    instrument = steady(tmp_path)
    (tmp_path / "dc.wav").unlink()
    with pytest.raises(UsageError, match=r"dc\.sfz: sfizz cannot play it: ValueError: sfizz plays"):
        play(instrument, [on(0, 60)])
    (tmp_path / "dc.sfz").unlink()
    with pytest.raises(UsageError, match=r"dc\.sfz: sfizz cannot play it: "):
        play(instrument, [on(0, 60)])


def test_a_process_that_cannot_begin_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    instrument = steady(tmp_path)
    program = tmp_path / "program.py"
    monkeypatch.setattr(playing.sampler, "__file__", str(program))
    program.write_text("raise RuntimeError('no luck')")
    with pytest.raises(UsageError, match="sfizz cannot play it: RuntimeError: no luck"):
        play(instrument, [on(0, 60)])
    program.write_text("import os; os._exit(7)")
    with pytest.raises(UsageError, match="its process ends with 7"):
        play(instrument, [on(0, 60)])


def helpers(of: psutil.Process) -> list[psutil.Process]:
    return [p for p in of.children(recursive=True) if playing.sampler.__file__ in p.cmdline()]


def wait_until_gone(processes: Iterable[psutil.Process]) -> None:
    assert not psutil.wait_procs(list(processes), timeout=60)[1]


def test_the_process_ends_with_what_waits_for_it(tmp_path: Path) -> None:
    instrument, me = steady(tmp_path, "loop_mode=loop_continuous"), psutil.Process()
    with playing._mirrored(instrument) as (folder, mirror):
        order = (
            f'{{"path": "{mirror}", "n_regions": 1, "is_skipped": true,'
            f' "sample_rate": {RATE}, "n_samples": {1 << 40}, "n_messages": 1}}\n'
        )
        request = order.encode() + np.array([0, 1, 60, 100], np.int32).tobytes()
        pieces = playing._pieces(instrument, request, folder)
        next(pieces)
        found = helpers(me)
        assert len(found) == 1
        pieces.close()  # as an exception would, Ctrl-C among them
        wait_until_gone(found)


@pytest.mark.parametrize(
    "request_", [b"", b'{"path": ', b'{"n_messages": 1}\n', b'{"n_messages": 1}\n123']
)
def test_a_parent_that_ends_before_it_has_asked_leaves_no_links(
    tmp_path: Path, request_: bytes
) -> None:
    folder = tmp_path / "links"
    folder.mkdir()
    command = [sys.executable, "-P", playing.sampler.__file__, str(folder)]
    done = subprocess.run(command, input=request_, capture_output=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (1, b"", b"")
    assert not folder.exists()


PARENT = """
import sys
sys.path.insert(0, sys.argv[1])
from pathlib import Path
import test_sfz_playing as t
instrument = t.read_sfz(Path(sys.argv[2]), False)
t.play(instrument, [t.on(0, 60)], 3600 * t.RATE)
"""


@pytest.mark.parametrize("sign", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_the_process_dies_with_its_parent(tmp_path: Path, sign: signal.Signals) -> None:
    steady(tmp_path, "loop_mode=loop_continuous")
    links = tmp_path / "links"
    links.mkdir()
    path = os.pathsep.join(filter(None, sys.path))
    with subprocess.Popen(
        [sys.executable, "-c", PARENT, str(Path(__file__).parent), str(tmp_path / "dc.sfz")],
        env={**os.environ, "PYTHONPATH": path, "TMPDIR": str(links)},
        stderr=subprocess.DEVNULL,
    ) as parent:
        process = psutil.Process(parent.pid)
        while not (found := helpers(process)):
            assert parent.poll() is None
            time.sleep(0.02)
        assert list(links.iterdir())
        parent.send_signal(sign)
        parent.wait(60)
        wait_until_gone(found)
    assert not list(links.iterdir())
    assert (tmp_path / "dc.wav").exists()
