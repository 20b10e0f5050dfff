"""How a part is played: closed forms of time, velocities, and deviations that are what they say."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import mido
import numpy as np
import numpy.typing as npt
import pytest
import soundfont_maker as maker
from hypothesis import given, settings
from hypothesis import strategies as st
from soundfont_maker import SAMPLE_MODES, Program, Zone, tone
from stemsmith.manifests.errors import UsageError
from stemsmith.render.midi.notes import BLOCK
from stemsmith.render.midi.playing import AS_WRITTEN, Deviations, Dynamic, parse_dynamics
from stemsmith.render.midi.score import Score, read_score
from stemsmith.render.renditions.config import parse_shifts, parse_tempos
from stemsmith.render.renditions.factors import Tempo, TempoMode
from stemsmith.render.renditions.performance import Performance, TimedNotes, perform
from stemsmith.render.sound.synth import Preset, Synth, on_grid

Row = tuple[int, int, int, int]  # onset and offset in ticks, pitch, velocity
Control = tuple[int, tuple[int, ...]]  # tick and bytes

RATE = 44100
TICKS = 480
NATIVE = Dynamic(AS_WRITTEN, None)
EXACT = Deviations()
# Quarter notes at 120, then 60, then 150 BPM.
TEMPOS = ((0, 500_000), (960, 1_000_000), (1920, 400_000))
MELODY: list[Row] = [
    (0, 480, 60, 50),
    (480, 900, 64, 90),
    (960, 1200, 60, 70),
    (1200, 1920, 67, 127),
    (1920, 2400, 62, 10),
    (2400, 3000, 64, 80),
]


def score_of(
    rows: Sequence[Row],
    tempos: Sequence[tuple[int, int]] = TEMPOS,
    controls: Sequence[Control] = (),
    channel: int = 0,
) -> Score:
    """Write a part with mido and read it again; controls come before notes of their tick."""
    happening = [(tick, 0, mido.Message.from_bytes(list(data))) for tick, data in controls]
    for onset, offset, pitch, velocity in rows:
        on = mido.Message("note_on", note=pitch, velocity=velocity, channel=channel)
        happening += [(onset, 2, on)]
        happening += [(offset, 1, mido.Message("note_off", note=pitch, channel=channel))]
    conductor = [(tick, 0, mido.MetaMessage("set_tempo", tempo=tempo)) for tick, tempo in tempos]
    file = mido.MidiFile(ticks_per_beat=TICKS)
    for messages in (conductor, sorted(happening, key=lambda item: item[:2])):
        track = mido.MidiTrack()
        now = 0
        for tick, _, message in messages:
            track.append(message.copy(time=tick - now))
            now = tick
        file.tracks.append(track)
    data = io.BytesIO()
    file.save(file=data)
    return read_score(data.getvalue())


def play(
    score: Score,
    tempo: str = AS_WRITTEN,
    mode: TempoMode = TempoMode.SCALE,
    dynamic: Dynamic = NATIVE,
    deviations: Deviations = EXACT,
    seed: int = 0,
    aligned: TimedNotes | None = None,
) -> Performance:
    tempo_map = Tempo.parse(tempo).of(score.tempo_map, mode)
    rng = np.random.default_rng(seed)
    return perform(score, 0, tempo_map, dynamic, deviations, RATE, rng, aligned)


def seconds_of(tick: int, tempos: Sequence[tuple[int, int]] = TEMPOS) -> float:
    """Add up the stretches of every tempo."""
    edges = [*(t for t, _ in tempos), 10**9]
    return sum(
        max(0, min(tick, end) - start) * tempo / (1e6 * TICKS)
        for (start, tempo), end in zip(tempos, edges[1:], strict=True)
    )


def assert_same_notes(a: Performance, b: Performance, *but: str) -> None:
    for name in a.notes._fields:
        is_same = np.array_equal(getattr(a.notes, name), getattr(b.notes, name))
        assert is_same != (name in but), name


# ---------------------------------------------------------------------------------------------
# Tempo


@pytest.mark.parametrize(
    ("text", "tempo"),
    [
        ("80", Tempo("80", bpm=80.0)),
        (" 100.5 ", Tempo("100.5", bpm=100.5)),
        ("8.1", Tempo("8.1", bpm=8.1)),
        ("8", Tempo("8", factor=8.0)),
        ("0.8", Tempo("0.8", factor=0.8)),
        ("as-written", Tempo("as-written")),
    ],
)
def test_tempi_by_name(text: str, tempo: Tempo) -> None:
    assert Tempo.parse(text) == tempo


@pytest.mark.parametrize("text", ["", "fast", "0", "-1", "nan", "inf", "1001", "0.05", "1,2"])
def test_what_is_no_tempo(text: str) -> None:
    with pytest.raises(UsageError, match=r"^--tempo .*: BPM"):
        Tempo.parse(text)


@pytest.mark.parametrize(
    ("tempo", "mode", "expected_s"),
    [
        (AS_WRITTEN, TempoMode.SCALE, lambda tick: seconds_of(tick)),
        (AS_WRITTEN, TempoMode.REPLACE, lambda tick: seconds_of(tick)),
        ("0.8", TempoMode.SCALE, lambda tick: seconds_of(tick) / 0.8),
        ("1.25", TempoMode.REPLACE, lambda tick: seconds_of(tick) / 1.25),
        # The first tempo of the score is 120 BPM: 90 makes everything last 4/3 as long.
        ("90", TempoMode.SCALE, lambda tick: seconds_of(tick) * 4 / 3),
        ("120", TempoMode.SCALE, lambda tick: seconds_of(tick)),
        ("90", TempoMode.REPLACE, lambda tick: tick / TICKS * 60 / 90),
        ("120", TempoMode.REPLACE, lambda tick: tick / TICKS / 2),
    ],
)
def test_times_in_closed_form(tempo: str, mode: TempoMode, expected_s) -> None:
    score = score_of(MELODY, controls=[(700, (0xB0, 11, 90)), (1000, (0xE0, 0, 70))])
    performance = play(score, tempo, mode)
    notes = performance.notes
    for column, place in ((notes.onset, 0), (notes.offset, 1)):
        expected = np.array([expected_s(row[place]) for row in MELODY]) * RATE
        assert np.abs(column - expected).max() <= BLOCK / 2 + 1e-6
        assert not np.any(column % BLOCK)
    assert notes.pitch.tolist() == [row[2] for row in MELODY]
    assert notes.velocity.tolist() == [row[3] for row in MELODY]
    assert not notes.cents.any()
    frames = {e.data: f for e, f in zip(performance.events, performance.frames, strict=True)}
    for tick, data in ((700, bytes((0xB0, 11, 90))), (1000, bytes((0xE0, 0, 70)))):
        assert abs(frames[data] - expected_s(tick) * RATE) <= BLOCK / 2 + 1e-6


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.integers(100_000, 2_000_000), min_size=1, max_size=5),
    st.floats(20, 300),
    st.sampled_from(list(TempoMode)),
)
def test_any_tempo_map_at_any_bpm(tempi: list[int], bpm: float, mode: TempoMode) -> None:
    changes = [(600 * i, tempo) for i, tempo in enumerate(tempi)]
    notes = play(score_of(MELODY, changes), repr(bpm), mode).notes
    for column, place in ((notes.onset, 0), (notes.offset, 1)):
        ticks = [row[place] for row in MELODY]
        if mode is TempoMode.REPLACE:
            expected = np.array(ticks) / TICKS * 60 / bpm
        else:
            written_bpm = 60e6 / tempi[0]
            expected = np.array([seconds_of(t, changes) for t in ticks]) * written_bpm / bpm
        np.testing.assert_array_less(np.abs(column / RATE - expected), 33 / RATE)


def test_a_tempo_changes_times_and_nothing_else() -> None:
    score = score_of(MELODY)
    deviations = Deviations(0.01, 20)
    slow, fast = (play(score, t, deviations=deviations) for t in ("60", "140"))
    assert_same_notes(slow, fast, "onset", "offset")
    assert [e.data for e in slow.events] == [e.data for e in fast.events]


# ---------------------------------------------------------------------------------------------
# Dynamics


@pytest.mark.parametrize("name", ["p", "m", "f"])
def test_a_dynamic_moves_the_median_and_keeps_accents(name: str) -> None:
    rng = np.random.default_rng(4)
    rows = [(240 * i, 240 * i + 200, 60, int(v)) for i, v in enumerate(rng.integers(60, 76, 31))]
    score = score_of(rows)
    (dynamic,) = parse_dynamics(name, None)
    played = play(score, dynamic=dynamic)
    assert np.median(played.notes.velocity) == {"p": 48, "m": 80, "f": 112}[name]
    written = np.array([row[3] for row in rows])
    assert len(set((played.notes.velocity - written).tolist())) == 1
    assert_same_notes(played, play(score), "velocity")
    sent = [e.data[2] for e in played.events if e.data[0] == 0x90]
    assert sent == played.notes.velocity.tolist()


def test_velocities_stay_in_their_range() -> None:
    score = score_of(MELODY)
    for velocity in (1, 127):
        played = play(score, dynamic=Dynamic("x", velocity)).notes.velocity
        median = int(np.median([row[3] for row in MELODY]))
        expected = np.clip([row[3] + velocity - median for row in MELODY], 1, 127)
        np.testing.assert_array_equal(played, expected)


def test_dynamics_by_name_and_velocities_of_ones_own() -> None:
    assert parse_dynamics("p, f", None) == (Dynamic("p", 48), Dynamic("f", 112))
    assert parse_dynamics("soft,as-written", "soft=30,f=9") == (Dynamic("soft", 30), NATIVE)


@pytest.mark.parametrize("velocities", ["p", "p=", "p=0", "p=128", "p=x", "p=-3", "p=²", "=5,"])
def test_what_is_no_velocity(velocities: str) -> None:
    with pytest.raises(UsageError, match=r"^--velocities "):
        parse_dynamics("p", velocities)


def test_a_dynamic_without_a_velocity() -> None:
    with pytest.raises(UsageError, match="--dynamics loud: give its velocity: --velocities loud="):
        parse_dynamics("p,loud", None)


def test_lists_of_tempi_and_shifts() -> None:
    assert [tempo.bpm for tempo in parse_tempos("80,100,120")] == [80, 100, 120]
    assert parse_shifts("0, 0.1,0.2,3") == (0.0, 0.1, 0.2, 3.0)


@pytest.mark.parametrize("text", ["", "0.05", "-0.1", "61", "nan", "inf", "1e999", "a", "0,,1"])
def test_what_is_no_shift(text: str) -> None:
    with pytest.raises(UsageError, match=r"^--shift .*: multiples of 0\.1 s"):
        parse_shifts(text)


# ---------------------------------------------------------------------------------------------
# Jitter

SCALE: list[Row] = [(480 * i, 480 * i + 240, 36 + i % 60, 80) for i in range(1, 601)]


def test_jitter_is_normal_clipped_and_keeps_durations() -> None:
    score = score_of(SCALE, [(0, 500_000)])
    sigma_s = 0.02
    exact, moved = play(score), play(score, deviations=Deviations(onset_s=sigma_s))
    # Half a second apart, notes keep their order.
    deviation_s = (moved.notes.onset - exact.notes.onset) / RATE
    assert np.abs(deviation_s).max() <= 3 * sigma_s + BLOCK / RATE  # both are rounded
    assert np.std(deviation_s) == pytest.approx(sigma_s, rel=0.1)
    assert np.mean(deviation_s) == pytest.approx(0, abs=4 * sigma_s / np.sqrt(len(SCALE)))
    duration_s = (moved.notes.offset - moved.notes.onset) / RATE
    assert np.abs(duration_s - 0.25).max() <= BLOCK / RATE
    assert_same_notes(exact, moved, "onset", "offset")
    assert not np.any(moved.notes.onset % BLOCK)


def test_jitter_that_is_clipped_at_three_sigma() -> None:
    score = score_of(SCALE, [(0, 500_000)])

    class Extremes:
        """Draws that are far out."""

        def standard_normal(self, n: int) -> npt.NDArray[np.float64]:
            return np.resize([100.0, -100.0, 3.0, -3.0, 0.5], n)

    exact = play(score).notes.onset
    deviations = Deviations(onset_s=0.02, cents=10)
    rng: np.random.Generator = Extremes()  # type: ignore[assignment]
    notes = perform(score, 0, score.tempo_map, NATIVE, deviations, RATE, rng).notes
    expected = np.resize([0.06, -0.06, 0.06, -0.06, 0.01], len(SCALE)) * RATE
    assert np.abs(notes.onset - exact - expected).max() <= BLOCK
    np.testing.assert_allclose(notes.cents, np.resize([30, -30, 30, -30, 5], len(SCALE)))


def test_jitter_is_that_of_the_seed_at_any_tempo_dynamic_and_tuning() -> None:
    score = score_of(SCALE, [(0, 500_000)])
    jitter = Deviations(onset_s=0.03)
    one = play(score, deviations=jitter, seed=5)
    assert_same_notes(one, play(score, deviations=jitter, seed=5))
    assert_same_notes(one, play(score, deviations=jitter, seed=6), "onset", "offset")
    loud = play(score, deviations=jitter, dynamic=Dynamic("f", 112), seed=5)
    assert_same_notes(one, loud, "velocity")
    tuned = play(score, deviations=Deviations(0.03, 10), seed=5)
    assert_same_notes(one, tuned, "cents")
    assert_same_notes(play(score, deviations=Deviations(0, 10), seed=5), tuned, "onset", "offset")
    # At half the tempo, notes are as much early or late.
    slow = play(score, "60", deviations=jitter, seed=5).notes.onset - play(score, "60").notes.onset
    late = one.notes.onset - play(score).notes.onset
    assert np.abs(slow - late).max() <= 2 * BLOCK


def test_no_note_begins_before_the_piece() -> None:
    score = score_of([(0, 480, 60 + i, 80) for i in range(40)])
    notes = play(score, deviations=Deviations(onset_s=0.5)).notes
    assert notes.onset.min() == 0
    half_s = (notes.offset - notes.onset) / RATE
    assert np.abs(half_s - 0.5).max() <= BLOCK / RATE


# ---------------------------------------------------------------------------------------------
# Tuning of the channel


def rpn(tick: int, number: int, msb: int) -> list[Control]:
    return [
        (tick, (0xB0, control, value)) for control, value in ((101, 0), (100, number), (6, msb))
    ]


GM_ON = (0xF0, 0x7E, 0x7F, 9, 1, 0xF7)
RHYTHM = [0xF0, 0x41, 0x10, 0x42, 0x12, 0x40, 0x11, 0x15, 0, 0x1A, 0xF7]  # channel 1 is melodic
TUNED = [*rpn(0, 2, 52), *rpn(950, 1, 96), (1900, (0xB0, 121, 0)), *rpn(2390, 2, 65)]


@pytest.mark.parametrize(
    ("controls", "semitones"),
    [
        ([], [0] * 6),
        (TUNED, [-12, -12, -11.5, -11.5, 0, 1]),
        ([*rpn(0, 2, 52), (900, GM_ON)], [-12, -12, 0, 0, 0, 0]),
        ([*rpn(0, 2, 52), (900, tuple(RHYTHM))], [-12, -12, 0, 0, 0, 0]),
        ([*rpn(0, 2, 52), (900, (*RHYTHM[:6], 0x12, 0x15, 0, 0x19, 0xF7))], [-12] * 6),
    ],
    ids=["none", "by RPN", "reset", "part mode", "part mode of another"],
)
def test_the_tuning_of_the_channel_is_that_of_songs(
    controls: Sequence[Control], semitones: Sequence[float]
) -> None:
    score = score_of(MELODY, controls=controls)
    written = score.notes(0)
    np.testing.assert_array_equal(written.sounding_pitch - written.pitch, semitones)
    for tempo, deviations in (("as-written", EXACT), ("0.7", EXACT), ("90", Deviations(0, 10))):
        performance = play(score, tempo, deviations=deviations)
        np.testing.assert_array_equal(performance.tuning, semitones)
        assert performance.tuning.dtype == np.float32


def test_a_note_that_is_early_has_the_tuning_of_its_time() -> None:
    rows = [(480 * k, 480 * k + 240, 60 + k, 90) for k in range(1, 40)]
    score = score_of(rows, [(0, 500_000)], rpn(480 * 20, 2, 52))
    performance = play(score, deviations=Deviations(onset_s=0.05), seed=3)
    tuned_at = int(on_grid(np.array([10.0]), RATE)[0])
    early = performance.notes.onset < tuned_at
    np.testing.assert_array_equal(performance.tuning, np.where(early, 0, -12))
    assert early.sum() in (19, 20)
    # Aligned notes that lie a second later move what the score sends along with them.
    written = score.notes(0)
    seconds = score.tempo_map.seconds
    late = TimedNotes(seconds(written.onset_tick) + 1, seconds(written.offset_tick) + 1,
                      written.pitch, written.velocity)  # fmt: skip
    tuning = play(score, aligned=late).tuning
    assert tuning.tolist() == [0] * 19 + [-12] * 20


# ---------------------------------------------------------------------------------------------
# Keys that are struck again


def heard(performance: Performance) -> dict[int, list[tuple[int, int]]]:
    """Return when each key sounds, by what a synthesiser does: the last strike holds the key."""
    sounding: dict[int, int] = {}
    found: dict[int, list[tuple[int, int]]] = {}
    for frame, event in zip(performance.frames.tolist(), performance.events, strict=True):
        kind, key = event.data[0] >> 4, event.data[1]
        if kind in (8, 9) and key in sounding:
            found.setdefault(key, []).append((sounding.pop(key), frame))
        if kind == 9:
            sounding[key] = frame
    assert not sounding, "a note hangs"
    return found


def assert_labels_are_heard(performance: Performance) -> None:
    """Every labelled note has a voice from its onset to its offset."""
    labels: dict[int, list[tuple[int, int]]] = {}
    notes = performance.notes
    for onset, offset, pitch in zip(notes.onset, notes.offset, notes.pitch, strict=True):
        labels.setdefault(int(pitch), []).append((int(onset), int(offset)))
    found = heard(performance)
    for pitch, spans in labels.items():
        # Two strikes at one moment are one voice.
        audible = {span for span in found[pitch] if span[0] < span[1]}
        assert set(spans) == audible


@settings(max_examples=150, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, 40), st.integers(0, 12), st.integers(60, 62)),
        min_size=1,
        max_size=25,
    ),
    st.sampled_from([0.0, 0.001, 0.05, 1.0]),
    st.sampled_from([0.0, 20.0]),
    st.integers(0, 5),
)
def test_repeated_keys_swallow_no_note(
    drawn: list[tuple[int, int, int]], onset_s: float, cents: float, seed: int
) -> None:
    rows = [(60 * at, 60 * (at + length), pitch, 80) for at, length, pitch in drawn]
    score = score_of(rows, [(0, 500_000)])
    n_notes = len(score.notes(0).pitch)
    performance = play(score, deviations=Deviations(onset_s, cents), seed=seed)
    notes = performance.notes
    assert len(notes.onset) == n_notes
    assert np.all(np.diff(notes.onset) >= 0)
    assert np.all(notes.offset - notes.onset >= BLOCK)
    assert_labels_are_heard(performance)


def test_a_key_struck_twice_at_once_sounds_to_its_end(tmp_path: Path) -> None:
    """Two voices of a piano part meet in a unison."""
    score = score_of([(0, 480, 69, 80), (0, 480, 69, 80), (960, 1200, 69, 80)], [(0, 500_000)])
    performance = play(score)
    audio = rendered(performance, write_sine(tmp_path / "sine.sf2"))
    level = np.abs(audio[: RATE // 2].reshape(-1, 2205)).max(axis=1)
    assert level[1:].min() > 0.95 * level[1:].max()  # the other voice is let go at once
    assert performance.notes.offset.tolist()[:2] == [on_grid(0.5, RATE)] * 2


# ---------------------------------------------------------------------------------------------
# Tuning


def write_sine(path: Path) -> Path:
    zones = [[Zone(0, generators={SAMPLE_MODES: 1})]]
    programs = [Program([Zone(0)]), Program([Zone(0)], bank=128)]
    return maker.write_sf2(path, [tone("sine")], zones, programs)


def rendered(
    performance: Performance, path: Path, n_samples: int = 4 * RATE, bank: int = 0
) -> npt.NDArray[np.float32]:
    out = np.zeros(n_samples, np.float32)
    synth = Synth(RATE, (str(path),))
    synth.render(performance.events, performance.frames, Preset(str(path), bank, 0), out)
    return out


def hertz(audio: npt.NDArray[np.float32]) -> float:
    """Return the frequency of a sine by the peak of its spectrum, interpolated."""
    spectrum = np.log(np.abs(np.fft.rfft(audio * np.blackman(len(audio)), 8 * len(audio))))
    peak = int(np.argmax(spectrum))
    before, here, after = spectrum[peak - 1 : peak + 2]
    fraction = 0.5 * (before - after) / (before - 2 * here + after)
    return float((peak + fraction) * RATE / (8 * len(audio)))


def cents_of_notes(performance: Performance, path: Path, bank: int = 0) -> list[float]:
    """Measure every note against equal temperament; the sine is at 441 Hz on key 69."""
    end = int(performance.notes.offset.max())
    audio = rendered(performance, path, end + RATE // 2, bank)
    measured = []
    for onset, offset, pitch in zip(*performance.notes[:3], strict=True):
        stretch = audio[onset + RATE // 20 : offset]
        tempered = 441 * 2 ** ((int(pitch) - 69) / 12)
        measured.append(1200 * np.log2(hertz(stretch) / tempered))
    return measured


GM_RESET = (0xF0, 0x7E, 0x7F, 0x09, 0x01, 0xF7)
GS_RESET = (0xF0, 0x41, 0x10, 0x42, 0x12, 0x40, 0x00, 0x7F, 0x00, 0x41, 0xF7)
XG_ON = (0xF0, 0x43, 0x10, 0x4C, 0x00, 0x00, 0x7E, 0x00, 0xF7)
SELECT_BEND_RANGE = ((0xB0, 101, 0), (0xB0, 100, 0))
HALVES: list[Row] = [(480 * i, 480 * i + 400, key, 100) for i, key in enumerate([69, 57, 69, 81])]


@pytest.mark.parametrize("channel", [0, 5, 9])
def test_rendered_notes_deviate_by_the_recorded_cents(tmp_path: Path, channel: int) -> None:
    keys = [69, 70, 69, 45, 69, 88, 60, 60, 60, 72]
    rows = [(480 * i, 480 * i + 480, key, 100) for i, key in enumerate(keys)]
    score = score_of(rows, [(0, 500_000)], channel=channel)
    path, bank = write_sine(tmp_path / "sine.sf2"), 128 if channel == 9 else 0
    performance = play(score, deviations=Deviations(cents=25), seed=3)
    cents = performance.notes.cents
    assert cents.min() < -10 < 10 < cents.max()
    assert np.abs(cents).max() <= 75
    measured = cents_of_notes(performance, path, bank)
    np.testing.assert_allclose(measured, cents, atol=1)
    np.testing.assert_allclose(cents_of_notes(play(score), path, bank), 0, atol=1)


@pytest.mark.parametrize(
    "controls",
    [
        [(0, GM_RESET)],
        [(240, GM_RESET)],
        [(240, GS_RESET)],
        [(240, XG_ON)],
        [(0, data) for data in SELECT_BEND_RANGE] + [(240, (0xB0, 6, 12))],
        [(0, (0xB0, 121, 0)), (500, (0xB0, 121, 0))],
        [(240, (0xB0, 6, 12))],
    ],
    ids=[
        "reset-first",
        "gm-later",
        "gs-later",
        "xg-later",
        "data-entry-later",
        "controllers-reset",
        "data-entry-alone",
    ],
)
def test_what_else_a_score_sends_leaves_the_tuning_alone(
    tmp_path: Path, controls: list[Control]
) -> None:
    rows = [(onset + 480, offset + 480, *rest) for onset, offset, *rest in HALVES]
    score = score_of(rows, [(0, 500_000)], controls)
    performance = play(score, deviations=Deviations(cents=25), seed=3)
    measured = cents_of_notes(performance, write_sine(tmp_path / "sine.sf2"))
    np.testing.assert_allclose(measured, performance.notes.cents, atol=1)


def test_the_range_of_bends_a_score_sets_is_kept(tmp_path: Path) -> None:
    """The selection of a tuning must not take what the score sends to its own parameter."""
    bend = [(0, data) for data in SELECT_BEND_RANGE] + [(240, (0xB0, 6, 12))]
    bend += [(300, (0xE0, 0, 96))]  # half of the range: 6 semitones
    rows = [(onset + 480, offset + 480, *rest) for onset, offset, *rest in HALVES]
    score = score_of(rows, [(0, 500_000)], bend)
    path = write_sine(tmp_path / "sine.sf2")
    performance = play(score, deviations=Deviations(cents=25), seed=3)
    bent = np.array(cents_of_notes(play(score), path))
    np.testing.assert_allclose(bent, 600, atol=10)  # FluidSynth divides by 128, not by 127
    measured = cents_of_notes(performance, path)
    np.testing.assert_allclose(measured, performance.notes.cents + bent, atol=1)


def test_tuning_changes_nothing_else() -> None:
    score = score_of(MELODY, controls=[(700, (0xB0, 11, 90))])
    exact, tuned = play(score), play(score, deviations=Deviations(cents=10))
    assert_same_notes(exact, tuned, "cents")
    assert [e for e in tuned.events if e in exact.events] == exact.events
    added = [e.data for e in tuned.events if e not in exact.events]
    assert all(data[0] in (0xB0, 0xF0) for data in added)


def test_pitches_at_the_ends_of_the_keyboard() -> None:
    rows = [(480 * i, 480 * i + 400, key, 100) for i, key in enumerate([0, 127] * 20)]
    performance = play(score_of(rows), deviations=Deviations(cents=50))
    assert all(max(e.data[1:-1]) < 128 for e in performance.events if e.data[0] == 0xF0)
    # What cannot be tuned is not recorded either.
    pitch, cents = performance.notes.pitch, performance.notes.cents
    assert cents[pitch == 0].min() == 0
    assert cents[pitch == 127].max() == 99


# ---------------------------------------------------------------------------------------------
# Controllers


def test_controllers_keep_their_place() -> None:
    controls = [
        (0, (0xB0, 7, 90)),
        (480, (0xC0, 0)),
        (480, (0xB0, 64, 127)),
        (480, (0xB0, 64, 0)),
        (961, (0xE0, 1, 2)),
        (2000, (0xD0, 3)),
    ]
    score = score_of(MELODY, controls=controls)
    for deviations in (EXACT, Deviations(0.2, 20)):
        performance = play(score, "0.5", deviations=deviations)
        expected = [
            (int(on_grid(2 * seconds_of(tick), RATE)), bytes(data)) for tick, data in controls
        ]
        sent = [
            (frame, e.data)
            for frame, e in zip(performance.frames.tolist(), performance.events, strict=True)
            if (frame, e.data) in expected
        ]
        assert sent == expected  # in order, once each
        assert np.all(np.diff(performance.frames) >= 0)


def test_of_one_moment_keys_end_first_then_controllers_then_keys_begin() -> None:
    controls = [(480, (0xB0, 7, 90)), (480, (0xB0, 10, 20))]
    score = score_of([(0, 480, 60, 80), (480, 960, 60, 80)], controls=controls)
    frame = int(on_grid(0.5, RATE))
    performance = play(score)
    data = [e.data for e in performance.events if e.tick == frame]
    assert data == [bytes(b) for b in ((0x80, 60, 0), *(c for _, c in controls), (0x90, 60, 80))]


# ---------------------------------------------------------------------------------------------
# Aligned notes

CONTROLS: list[Control] = [(0, (0xB0, 7, 1)), (480, (0xB0, 7, 2)), (720, (0xB0, 7, 3))]
CONTROLS += [(3500, (0xB0, 7, 4))]


def aligned_of(rows: Sequence[tuple[float, float, int]]) -> TimedNotes:
    onset_s, offset_s, pitch = map(np.array, zip(*rows, strict=True))
    velocity = np.full(len(rows), 80, np.uint8)
    return TimedNotes(onset_s, offset_s, pitch.astype(np.uint8), velocity)


def volumes(performance: Performance) -> dict[int, int]:
    pairs = zip(performance.frames.tolist(), performance.events, strict=True)
    return {e.data[2]: frame for frame, e in pairs if e.data[:2] == bytes((0xB0, 7))}


def test_aligned_notes_are_played_and_controllers_move_along() -> None:
    score = score_of(MELODY, controls=CONTROLS)
    times_s = [(0.1, 0.5), (0.7, 1.0), (1.3, 1.4), (1.5, 2.0), (2.6, 2.9), (3.0, 4.0)]
    aligned = aligned_of([(*t, row[2]) for t, row in zip(times_s, MELODY, strict=True)])
    for tempo in (AS_WRITTEN, "0.5"):
        performance = play(score, tempo, aligned=aligned)
        notes = performance.notes
        np.testing.assert_array_equal(notes.onset, on_grid([t[0] for t in times_s], RATE))
        np.testing.assert_array_equal(notes.offset, on_grid([t[1] for t in times_s], RATE))
        assert notes.pitch.tolist() == [row[2] for row in MELODY]
        assert notes.velocity.tolist() == [80] * len(MELODY)
        # Tick 480 is the second note, 720 half way to the third one.
        expected = {1: 0.0, 2: 0.7, 3: 1.0, 4: 4.0}
        assert volumes(performance) == {k: int(on_grid(s, RATE)) for k, s in expected.items()}


def test_aligned_notes_of_another_number_move_controllers_in_proportion() -> None:
    score = score_of(MELODY, controls=CONTROLS)
    performance = play(score, aligned=aligned_of([(0.5, 1.0, 60), (1.5, 2 * seconds_of(3000), 61)]))
    assert performance.notes.pitch.tolist() == [60, 61]
    expected = {i + 1: 2 * seconds_of(tick) for i, (tick, _) in enumerate(CONTROLS)}
    assert volumes(performance) == {k: int(on_grid(s, RATE)) for k, s in expected.items()}


def test_aligned_notes_have_dynamics_and_deviations_too() -> None:
    score = score_of(MELODY)
    aligned = aligned_of([(i, i + 0.5, row[2]) for i, row in enumerate(MELODY, 1)])
    exact = play(score, aligned=aligned)
    loud = play(score, aligned=aligned, dynamic=Dynamic("f", 112))
    assert loud.notes.velocity.tolist() == [112] * len(MELODY)
    assert_same_notes(exact, loud, "velocity")
    moved = play(score, aligned=aligned, deviations=Deviations(0.02, 5))
    assert_same_notes(exact, moved, "onset", "offset", "cents")
    assert np.abs(moved.notes.onset - exact.notes.onset).max() <= 0.06 * RATE + BLOCK
