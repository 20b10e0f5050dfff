"""Parts that are played as by humans, and drawn dynamics, onsets and tunings of songs."""

from __future__ import annotations

from pathlib import Path

import mido
import numpy as np
import pretty_midi
import pytest
import soundfile
from stemsmith.manifests.corpus import Corpus
from stemsmith.manifests.errors import UsageError
from stemsmith.manifests.records import Stem
from stemsmith.render.checking import validate_corpus
from stemsmith.render.corpus.config import RenderConfig
from stemsmith.render.midi import smf
from stemsmith.render.midi.playing import Dynamic, Playing, parse_dynamics
from stemsmith.render.midi.score import Score, read_score
from stemsmith.render.songs.players import played
from stemsmith.render.workflow import render_corpus

RATE = 16000
QUARTER = 480
PLAIN = {"band": None, "min_notes": 1, "sample_rate": RATE, "patch_choice": "program", "tail_s": 1}

Note = tuple[int, int, int, int]  # onset and offset in ticks, key, velocity


def write(path: Path, parts: list[tuple[int, int, list[Note]]]) -> Path:
    """Write parts of program, channel and notes, at 120 quarter notes a minute."""
    file = mido.MidiFile(ticks_per_beat=QUARTER)
    for program, channel, notes in parts:
        events = [(0, 0, mido.Message("program_change", program=program, channel=channel))]
        for onset, offset, key, velocity in notes:
            on = mido.Message("note_on", note=key, velocity=velocity, channel=channel)
            off = mido.Message("note_off", note=key, channel=channel)
            events += [(onset, 2, on), (offset, 1, off)]
        track, now = mido.MidiTrack(), 0
        for tick, _, message in sorted(events, key=lambda event: event[:2]):
            track.append(message.copy(time=tick - now))
            now = tick
        file.tracks.append(track)
    path.parent.mkdir(parents=True, exist_ok=True)
    file.save(path)
    return path


def on_the_grid(n_notes: int, key: int = 60, step: int = QUARTER, velocity: int = 90) -> list[Note]:
    return [(k * step, k * step + step // 2, key, velocity) for k in range(1, n_notes + 1)]


def by_hand(n_notes: int, seed: int = 0) -> list[Note]:
    rng = np.random.default_rng(seed)
    onsets = np.cumsum(rng.integers(100, 140, n_notes))
    return [(int(t), int(t) + 80, 60 + k % 12, 60 + k % 50) for k, t in enumerate(onsets)]


def rendered(tmp_path: Path, parts: list[tuple[int, int, list[Note]]], **options) -> Corpus:
    write(tmp_path / "midi" / "song.mid", parts)
    corpus = render_corpus(tmp_path / "midi", tmp_path / "corpus", **{**PLAIN, **options})
    validate_corpus(corpus)
    return corpus


def audio_of(corpus: Corpus, stem: Stem) -> np.ndarray:
    return soundfile.read(corpus.root / stem.path)[0]


def test_humanised_labels_are_where_the_audio_begins(tmp_path: Path) -> None:
    corpus = rendered(tmp_path, [(12, 0, on_the_grid(24, step=2 * QUARTER))], humanise=True)
    (stem,) = corpus.stem_records()
    audio = audio_of(corpus, stem)
    written = np.arange(1, 25) * RATE
    assert 0.003 < np.std(stem.note_onset - written) / RATE < 0.016
    for onset in stem.note_onset:
        around = np.abs(audio[onset - RATE // 10 : onset + RATE // 10])
        first = np.flatnonzero(around > 0.05 * around.max())[0] - RATE // 10
        assert 0 <= first <= 0.003 * RATE  # a marimba is struck


def test_deviations_have_the_size_that_is_asked_for(tmp_path: Path) -> None:
    chord = [(12, 0, on_the_grid(600, step=120)), (11, 1, on_the_grid(600, step=120, key=72))]
    path = write(tmp_path / "song.mid", chord)
    score = read_score(path.read_bytes(), is_fine=True)
    config = RenderConfig(humanise=True, humanise_velocity=5, humanise_onset_s=0.006)
    moved = played(score, config, "md5")
    late_s, harder = [], []
    for part in range(2):
        notes = moved.notes(part)
        written_s = np.arange(1, 601) / 8
        late_s.append(moved.tempo_map.seconds(notes.onset_tick) - written_s)
        harder.append(notes.velocity.astype(int) - 90)
        length_s = moved.tempo_map.seconds(notes.offset_tick) - written_s - late_s[-1]
        np.testing.assert_allclose(length_s, 1 / 16, atol=2e-4)
    # Of 1200 draws the standard deviation is within 8 % with 99.99 %; three times it is the most.
    assert np.std(harder) == pytest.approx(5, rel=0.08)
    assert np.max(np.abs(harder)) <= 15
    own_s = (late_s[0] - late_s[1]) / np.sqrt(2)
    assert np.std(own_s) == pytest.approx(0.00225, rel=0.12)
    assert np.std(late_s) == pytest.approx(np.hypot(0.006, 0.00225), rel=0.12)
    assert abs(np.corrcoef(*harder)[0, 1]) < 0.15


def test_only_what_a_machine_wrote_is_humanised(tmp_path: Path) -> None:
    uneven = [(on, off, key, 40 + k) for k, (on, off, key, _) in enumerate(on_the_grid(40))]
    late = [(on + 11, off + 11, key, velocity) for on, off, key, velocity in on_the_grid(40)]
    parts = [(0, 0, by_hand(40)), (1, 1, uneven), (2, 2, late)]
    corpus = rendered(tmp_path, parts, humanise=True)
    hand, grid, one_velocity = corpus.stem_records()
    assert (hand.velocity_sd, hand.onset_sd_s, hand.ensemble_sd_s) == (None, None, None)
    np.testing.assert_array_equal(hand.note_velocity, [v for *_, v in by_hand(40)])
    for stem in (grid, one_velocity):
        assert (stem.velocity_sd, stem.onset_sd_s, stem.ensemble_sd_s) == (8.0, 0.003, 0.008)
        assert (stem.dynamic, stem.note_cents) == (None, None)
        assert len(set(stem.note_velocity.tolist())) > 10
    plain = render_corpus(tmp_path / "midi", tmp_path / "plain", **PLAIN)
    written = plain.stem_records()[0]
    np.testing.assert_array_equal(written.note_onset, hand.note_onset)
    assert corpus.song_records()[0].midi_sha256 == plain.song_records()[0].midi_sha256


def test_the_midi_of_a_stem_has_the_notes_as_they_are_played(tmp_path: Path) -> None:
    corpus = rendered(tmp_path, [(12, 0, on_the_grid(40))], humanise=True)
    (stem,) = corpus.stem_records()
    (instrument,) = pretty_midi.PrettyMIDI(str(corpus.root / stem.midi_path)).instruments
    onsets = np.array([note.start for note in instrument.notes]) * RATE
    assert np.max(np.abs(onsets - stem.note_onset)) <= 33  # half of the synthesiser's block
    assert [note.velocity for note in instrument.notes] == stem.note_velocity.tolist()


def test_tunings_are_heard_as_they_are_recorded(tmp_path: Path) -> None:
    notes = on_the_grid(12, key=69, step=3 * QUARTER)
    corpus = rendered(tmp_path, [(80, 0, notes)], tuning_cents=20)
    (stem,) = corpus.stem_records()
    assert stem.tuning_sd_cents == 20
    assert 8 < stem.note_cents.std() < 35
    np.testing.assert_allclose(stem.note_sounding_pitch, 69 + stem.note_cents / 100, atol=0.31)
    audio = audio_of(corpus, stem)
    measured = [_frequency(audio[onset + 800 : onset + 8800]) for onset in stem.note_onset]
    cents = 1200 * np.log2(np.array(measured) / measured[0])
    np.testing.assert_allclose(cents, stem.note_cents - stem.note_cents[0], atol=1.5)


def _frequency(tone: np.ndarray) -> float:
    """Return the frequency of a tone near 440 Hz: a parabola through the peak of its spectrum."""
    spectrum = np.log(np.abs(np.fft.rfft(tone * np.hanning(len(tone)), 1 << 17)) + 1e-12)
    low, high = (round(f * (1 << 17) / RATE) for f in (400, 480))
    peak = low + int(np.argmax(spectrum[low:high]))
    left, middle, right = spectrum[peak - 1 : peak + 2]
    return (peak + (left - right) / (2 * (left - 2 * middle + right))) * RATE / (1 << 17)


def test_dynamics_and_jitter_are_of_every_part(tmp_path: Path) -> None:
    parts = [(program, channel, by_hand(60, channel)) for channel, program in enumerate((0, 1, 2))]
    dynamics = parse_dynamics("p,f")
    corpus = rendered(tmp_path, parts, dynamics=dynamics, jitter_s=0.01)
    assert corpus.header["config"]["dynamics"] == {"p": 48, "f": 112}
    for channel, stem in enumerate(corpus.stem_records()):
        assert stem.dynamic in ("p", "f")
        middle = int(np.median([velocity for *_, velocity in by_hand(60, channel)]))
        expected = [
            min(max(v + dict(dynamics)[stem.dynamic] - middle, 1), 127)
            for *_, v in by_hand(60, channel)
        ]
        assert sorted(stem.note_velocity.tolist()) == sorted(expected)
        assert (stem.onset_sd_s, stem.ensemble_sd_s) == (0.01, 0.0)
        assert stem.audit == ()


def test_the_unsplit_mixture_is_of_the_same_moved_score(tmp_path: Path) -> None:
    """Solo strings have no pan: stems add up to what is rendered at once."""
    parts = [(40, 0, on_the_grid(20)), (42, 1, on_the_grid(20, key=48))]
    corpus = rendered(tmp_path, parts, humanise=True, mix_source="unsplit")
    (song,) = corpus.song_records()
    total = sum(audio_of(corpus, stem) for stem in corpus.stem_records())
    mix = soundfile.read(corpus.root / song.mix_path)[0]
    assert np.abs(mix).max() > 0.3
    assert np.abs(mix - total).max() < 0.005 * np.abs(mix).max()


def test_the_same_bytes_whoever_renders(tmp_path: Path) -> None:
    for k in range(2):
        parts = [(12, 0, on_the_grid(10 + k)), (0, 1, by_hand(20, k))]
        write(tmp_path / "midi" / f"song{k}.mid", parts)
    found = []
    for n_jobs in (0, 2):
        corpus = render_corpus(
            tmp_path / "midi", tmp_path / f"c{n_jobs}", **PLAIN, humanise=True, jobs=n_jobs
        )
        found.append([(s.sha256, s.midi_sha256) for s in corpus.stem_records()])
    assert found[0] == found[1]


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"humanise": True, "jitter_s": 0.01}, "--humanise cannot be with --jitter"),
        ({"humanise": True, "tuning_cents": 5}, "--humanise cannot be with --jitter"),
        ({"humanise": True, "dynamics": "p"}, "--humanise cannot be with --jitter"),
        ({"humanise_velocity": 3}, "--humanise-velocity needs --humanise"),
        ({"humanise_onset_s": 0.1}, "--humanise-onset needs --humanise"),
        ({"humanise": True, "humanise_velocity": 41}, "--humanise-velocity must be"),
        ({"humanise": True, "humanise_onset_s": -1}, "--humanise-onset must be"),
        ({"jitter_s": 2}, "--jitter must be between 0 and 1 s"),
        ({"tuning_cents": 51}, "--tuning must be between 0 and 50 cents"),
        ({"dynamics": "p,p"}, "--dynamics names one twice"),
        (
            {"tuning_cents": 5, "mix_source": "unsplit", "patch_choice": "program"},
            "--tuning cannot be with --mix-source unsplit",
        ),
    ],
)
def test_what_makes_no_sense_is_one_line(options: dict[str, object], complaint: str) -> None:
    with pytest.raises(UsageError, match=complaint):
        RenderConfig(**options)


def test_renditions_are_not_humanised(tmp_path: Path, here) -> None:
    write(tmp_path / "midi" / "song.mid", [(12, 0, on_the_grid(4))])
    arguments = (tmp_path / "midi", tmp_path / "c", "--renditions", 1, "--humanise", "--jobs", 0)
    done = here("render", *arguments)
    assert done.returncode == 2
    assert "--humanise: renditions have --jitter, --tuning and --dynamics" in done.stderr


def test_dynamics_of_the_command_have_velocities(tmp_path: Path, here) -> None:
    write(tmp_path / "midi" / "song.mid", [(12, 0, on_the_grid(4))])
    arguments = ("--no-band", "--min-notes", 1, "--sample-rate", 8000, "--jobs", 0, "-q")
    dynamics = ("--dynamics", "soft", "--velocities", "soft=30")
    done = here("render", tmp_path / "midi", tmp_path / "c", *arguments, *dynamics)
    assert done.returncode == 0, done.stderr
    (stem,) = Corpus(tmp_path / "c").stem_records()
    assert (stem.dynamic, set(stem.note_velocity.tolist())) == ("soft", {30})
    done = here("render", tmp_path / "midi", tmp_path / "d", *arguments, "--velocities", "p=30")
    assert "--velocities needs --dynamics" in done.stderr


CONTROLS = [(64, 127), (64, 0), (66, 127), (66, 0), (123, 0), (121, 0), (120, 0), (11, 90)]
MODES = [*CONTROLS, (68, 127), (68, 0), (126, 1), (127, 0)]


@pytest.mark.parametrize("seed", range(12))
def test_moved_notes_end_as_their_messages_say(seed: int) -> None:
    """Read again, the messages of a moved part give its moved notes: pedals and modes hold."""
    rng = np.random.default_rng(seed)
    events = []
    for _ in range(150):
        onset = int(rng.integers(0, 3000))
        key, velocity = int(rng.integers(60, 66)), int(rng.integers(1, 128))
        events.append((onset, bytes((0x90, key, velocity))))
        events.append((onset + int(rng.integers(0, 300)), bytes((0x80, key, 0))))
    messages = MODES if seed % 2 else CONTROLS
    for _ in range(60):
        number, value = messages[int(rng.integers(len(messages)))]
        events.append((int(rng.integers(0, 3000)), bytes((0xB0, number, value))))
    events.sort(key=lambda event: event[0])
    track = [smf.Event(0, bytes((0xC0, 12))), *(smf.Event(*event) for event in events)]
    score = Score(smf.RawFile(480, (track,), ()), is_fine=True)
    config = RenderConfig(jitter_s=0.03, dynamics=(Dynamic("f", 112),), seed=seed)
    moved = played(score, config, "md5")
    assert moved.playing(0) != Playing()
    notes = moved.notes(0)
    again = Score(smf.RawFile(moved.ticks_per_quarter, (moved.events(0),), ())).notes(0)
    for field, before, after in zip(notes._fields, notes, again, strict=True):
        np.testing.assert_array_equal(before, after, field)
    assert (notes.onset_tick >= 0).all()
    assert (notes.offset_tick >= notes.onset_tick).all()
    written = score.notes(0)
    for key in range(60, 66):
        was, now = (n.onset_tick[n.pitch == key] for n in (written, notes))
        np.testing.assert_array_equal(np.diff(was) > 0, np.diff(now) > 0)
