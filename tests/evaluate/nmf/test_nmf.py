"""`nmf:` as a system: chorales that are rendered, scores beside stems, and what is refused."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import mido
import numpy as np
import pytest
import soundfile
import stemsmith
import torch
from stemsmith.evaluate.benchmark.datasets import find_dataset
from stemsmith.evaluate.benchmark.systems import Kind, parse_system
from stemsmith.evaluate.nmf.bases import NoteBases
from stemsmith.evaluate.nmf.options import NmfConfig
from stemsmith.evaluate.nmf.scores import ScorePart, read_parts
from stemsmith.evaluate.nmf.separator import (
    LearnedBases,
    NmfSeparator,
    NoteRows,
    transform_of,
)
from stemsmith.manifests.errors import NothingToDo, UsageError
from stemsmith.manifests.paths import local_path
from stemsmith.render.corpus.config import Splits
from stemsmith.train.models.stft import Stft

RATE = 16000
QUARTERS = {  # of two voices in F major, tick after tick: violin and bassoon
    40: (72, 74, 76, 77, 79, 77, 76, 74, 72, 72),
    70: (53, 46, 48, 50, 48, 53, 55, 58, 48, 53),
}
Command = Callable[..., Any]


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """Two wait for each other where a core is busy."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def write_chorale(path: Path) -> Path:
    """Write the two voices, five seconds at 120 quarter notes a minute."""
    file = mido.MidiFile(ticks_per_beat=480)
    for channel, (program, pitches) in enumerate(QUARTERS.items()):
        track = mido.MidiTrack()
        track.append(mido.Message("program_change", channel=channel, program=program))
        for pitch in pitches:
            track.append(mido.Message("note_on", channel=channel, note=pitch, velocity=80))
            track.append(mido.Message("note_off", channel=channel, note=pitch, time=480))
        file.tracks.append(track)
    path.parent.mkdir(parents=True, exist_ok=True)
    file.save(path)
    return path


@pytest.fixture(scope="module")
def chorale(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a corpus of one song, which is for testing."""
    root = tmp_path_factory.mktemp("chorale")
    write_chorale(root / "midi" / "chorale.mid")
    stemsmith.render_corpus(
        root / "midi", root / "corpus", band=None, min_notes=1, sample_rate=RATE,
        splits=Splits.parse("0,0,1"), tail_s=0.2, audit=False,
    )  # fmt: skip
    return root / "corpus"


@pytest.fixture(scope="module")
def bases() -> LearnedBases:
    """Return the bases of TimGM6mb."""
    return LearnedBases(stemsmith.make_bank())


@pytest.fixture(scope="module")
def heard(chorale: Path) -> tuple[dict[str, np.ndarray], dict[str, list[ScorePart]]]:
    """Return the stems of the song, and what they play."""
    (track,) = stemsmith.Corpus(chorale).values()
    names = {40: "violin", 70: "bassoon"}
    stems = {names[s.record.program]: s for s in track.stems.values()}
    audio = {name: stem.audio for name, stem in stems.items()}
    root = stemsmith.Corpus(chorale).root
    return audio, {name: read_parts(root / s.record.midi_path) for name, s in stems.items()}


@pytest.mark.parametrize("is_informed", [False, True])
def test_estimates_sum_to_the_mixture(heard: Any, bases: LearnedBases, is_informed: bool) -> None:
    audio, parts = heard
    mono = sum(audio.values())
    mixture = np.concatenate([mono, -0.5 * mono])  # which cancel each other in part
    config = NmfConfig(n_updates=5)
    separator = NmfSeparator(parts, bases, config, is_informed, "cpu")
    estimates = separator.separate(mixture, RATE)
    assert list(estimates) == list(parts)
    np.testing.assert_allclose(sum(estimates.values()), mixture, atol=2e-6)
    pieces = np.array_split(mixture, 7, axis=1)
    stream = separator.stream(RATE)
    found = [*map(stream.push, pieces), stream.finish(mixture[:, :0])]
    joined = np.concatenate([piece["violin"] for piece in found], axis=1)
    np.testing.assert_allclose(joined, estimates["violin"], atol=1e-5)


def test_it_is_3_db_better_than_the_mixture(chorale: Path, tmp_path: Path) -> None:
    taxonomy = tmp_path / "duo.toml"
    taxonomy.write_text('[targets]\nviolin = ["violin"]\nbassoon = ["bassoon"]\n')
    means = {}
    for system in ("mixture", "nmf:", "nmf:,informed"):
        results = stemsmith.evaluate_system(
            system, chorale, tmp_path / f"results {system[-8:].strip(':,')}",
            taxonomy=str(taxonomy), si_sdr_rate=RATE,
        )  # fmt: skip
        scores = results.summary["scores"]
        means[system] = {target: scores[target]["SDR"]["median"] for target in scores}
    for target, of_mixture in means["mixture"].items():
        assert means["nmf:"][target] > of_mixture + 3
        assert means["nmf:,informed"][target] > of_mixture + 3
    header = stemsmith.Results(tmp_path / "results informed").header
    assert header["system"] == "nmf:,informed"
    nmf = header["config"]["nmf"]
    assert (nmf["n_updates"], nmf["tolerance_s"], nmf["is_informed"]) == (50, 0.2, True)
    assert [font["file"] for font in nmf["soundfonts"]] == ["TimGM6mb.sf2"]
    assert "nmf" not in stemsmith.Results(tmp_path / "results mixture").header["config"]


def test_rows_are_the_notes_of_the_score_whenever_they_are_played(
    heard: Any, bases: LearnedBases
) -> None:
    parts = heard[1]
    rows = NoteRows(parts, bases.at(RATE))
    wanted = {"violin": set(QUARTERS[40]), "bassoon": set(QUARTERS[70])}
    counts = [len(wanted[target]) for target in parts]
    assert [own.stop - own.start for own in rows.of_target] == counts
    assert rows.bases.shape == (transform_of(RATE).n_bins, sum(counts))
    times_s = np.array([0.0, 0.26, 0.74, 4.9])
    is_open = rows.are_open(times_s, 0.25)
    first = dict(zip(parts, rows.of_target, strict=True))["violin"]
    keys = sorted(wanted["violin"])
    # 72 is played from 0 to 0.5 s and from 4 to 5 s, 74 from 0.5 to 1 s and from 3.5 to 4 s.
    assert is_open[first][keys.index(72)].tolist() == [True, True, True, True]
    assert is_open[first][keys.index(74)].tolist() == [False, True, True, False]


@pytest.mark.parametrize(
    ("rate", "n_fft"), [(8000, 1024), (16000, 2048), (22050, 2048), (44100, 4096), (48000, 4096)]
)
def test_the_window_is_as_long_at_every_rate(rate: int, n_fft: int) -> None:
    assert (transform_of(rate).n_fft, transform_of(rate).hop) == (n_fft, n_fft // 8)


def test_a_base_is_that_of_its_note(bases: LearnedBases) -> None:
    for pitch in (45, 57, 69):
        base = bases.at(RATE).base(73, 0, pitch)
        assert base is not None and base.max() == 1 and (base >= 0).all()
        found_hz = int(base.argmax()) * RATE / transform_of(RATE).n_fft
        fundamental_hz = 440 * 2 ** ((pitch - 69) / 12)
        harmonic = found_hz / fundamental_hz
        assert abs(harmonic - round(harmonic)) < 0.5 * RATE / 2048 / fundamental_hz + 0.02
    assert bases.at(RATE).base(128, 0, 36) is not None  # a bass drum
    assert bases.at(RATE) is bases.at(RATE)


def test_notes_that_no_patch_plays_have_no_row(heard: Any, tmp_path: Path) -> None:
    folder = tmp_path / "notes"
    folder.mkdir()
    tone = 0.3 * np.sin(2 * np.pi * 523.25 * np.arange(RATE) / RATE)
    soundfile.write(folder / "72.wav", tone, RATE)
    (tmp_path / "bank.yaml").write_text("Violin:\n  - folder: notes\n")
    bank = stemsmith.make_bank(bank=tmp_path / "bank.yaml")
    notes = NoteBases(bank, Stft(transform_of(RATE)), RATE)
    rows = NoteRows({"violin": heard[1]["violin"]}, notes)
    assert rows.bases.shape[1] == 2  # 72 and 74: two semitones are as far as a recording reaches
    with pytest.raises(UsageError, match=r"bassoon: the patch bank has no sound for .* Bassoon"):
        NoteRows(heard[1], notes)


@pytest.mark.parametrize(
    ("text", "folder", "is_informed"),
    [
        ("nmf:", None, False),
        ("nmf:,informed", None, True),
        ("nmf:informed", None, True),
        ("nmf:a,b", "a,b", False),
        ("nmf:a,b,informed", "a,b", True),
        ("nmf:./informed,informed", "./informed", True),
    ],
)
def test_systems_are_spelled_so(text: str, folder: str | None, is_informed: bool) -> None:
    system = parse_system(text)
    assert (system.name, system.kind, system.is_informed) == (text, Kind.NMF, is_informed)
    assert system.folders == ((local_path(folder),) if folder else ())


@pytest.fixture
def songs(heard: Any, tmp_path: Path) -> Path:
    """Return somebody's folder: the chorale with a score beside its stems, and a song without."""
    for song in ("One", "Two"):
        (tmp_path / "songs" / song).mkdir(parents=True)
        for name, audio in heard[0].items():
            path = tmp_path / "songs" / song / f"{name}.wav"
            soundfile.write(path, audio.T, RATE, subtype="FLOAT")
    write_chorale(tmp_path / "songs" / "One" / "score.mid")
    (tmp_path / "duo.toml").write_text('[targets]\nviolin = ["violin"]\nbassoon = ["bassoon"]\n')
    return tmp_path / "songs"


QUICK = ("--bss", "none", "--si-sdr-rate", RATE, "--updates", 2, "--split", "test", "--jobs", 0)


def test_songs_without_a_score_are_left_out_and_a_folder_may_have_them(
    songs: Path, tmp_path: Path, here: Command
) -> None:
    options = (*QUICK, "--taxonomy", tmp_path / "duo.toml", "--json")
    done = here("evaluate", "nmf:", f"folder:{songs}", tmp_path / "r", *options)
    assert done.returncode == 0, done.stderr
    values = json.loads(done.stdout)
    assert values["n_scored"] == 1
    rows = stemsmith.Results(tmp_path / "r").rejection_records()
    details = [row.detail for row in rows if row.id == "Two"]
    assert details and "Two: no score of Two; expected <stem>.mid or .txt" in details[0]
    for song in ("One", "Two"):
        write_chorale(tmp_path / "scores" / f"{song}.mid")
    (songs / "One" / "score.mid").unlink()
    system = f"nmf:{tmp_path / 'scores'}"
    done = here("evaluate", system, f"folder:{songs}", tmp_path / "r2", *options)
    assert json.loads(done.stdout)["n_scored"] == 2
    done = here("evaluate", "nmf:", f"folder:{songs}", tmp_path / "r3", *options)
    assert done.returncode == 2
    assert "no score of One" in done.stderr and len(done.stderr.splitlines()) == 1


def test_a_recording_is_separated_by_its_score(heard: Any, tmp_path: Path, here: Command) -> None:
    mixture = sum(heard[0].values())
    soundfile.write(tmp_path / "song.wav", mixture.T, RATE, subtype="FLOAT")
    score = write_chorale(tmp_path / "song.mid")
    system, audio = f"nmf:{score},informed", tmp_path / "song.wav"
    done = here("separate", system, audio, tmp_path / "out", "--updates", 3, "--device", "cpu")
    assert done.returncode == 0, done.stderr
    estimates = [soundfile.read(tmp_path / "out/song" / f"{n}.wav")[0] for n in heard[0]]
    np.testing.assert_allclose(sum(estimates), mixture[0], atol=2e-6)
    again = stemsmith.separate_files(
        system, [audio], tmp_path / "again", nmf=NmfConfig(n_updates=3), device="cpu"
    )
    assert again.targets == ("violin", "bassoon")
    read = soundfile.read(tmp_path / "again/song/violin.wav")[0]
    np.testing.assert_array_equal(read, soundfile.read(tmp_path / "out/song/violin.wav")[0])


def test_what_cannot_be_separated_by_a_score_is_said_in_a_line(
    songs: Path, tmp_path: Path, here: Command
) -> None:
    audio, score = songs / "One" / "violin.wav", songs / "One" / "score.mid"
    solo = mido.MidiFile(score)
    del solo.tracks[1]
    solo.save(tmp_path / "solo.mid")
    for arguments, message in (
        ((f"nmf:{score}", audio, audio), "needs one recording and its score"),
        (("nmf:,informed", audio), "needs one recording and its score"),
        ((f"nmf:{tmp_path}/solo.mid", audio), "solo.mid: violin plays alone"),
        ((f"nmf:{score}x", audio), "score.midx: cannot be used as a score"),
        ((f"nmf:{score}", audio, "--mask-exponent", 1), "has no options of trained runs"),
        (("run", audio, "--updates", 1), "--updates: only with nmf:"),
    ):
        n = 2 if len(arguments) > 2 and not str(arguments[2]).startswith("--") else 1
        done = here("separate", *arguments[: 1 + n], tmp_path / "out", *arguments[1 + n :])
        assert done.returncode == 2, done.stdout
        assert message in done.stderr and len(done.stderr.splitlines()) == 1, done.stderr
        assert not (tmp_path / "out").exists()


def test_it_goes_on_and_ends_with_the_same_bytes(
    chorale: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from stemsmith.evaluate import workflow

    options: dict[str, Any] = {"bss": "none", "si_sdr_rate": RATE, "n_updates": 2}
    stemsmith.evaluate_system("nmf:", chorale, tmp_path / "at once", **options)

    def killed(job: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(workflow, "score_song", killed)
        stemsmith.evaluate_system("nmf:", chorale, tmp_path / "killed", **options)
    stemsmith.evaluate_system("nmf:", chorale, tmp_path / "killed", **options)
    for file in ("scores.parquet", "summary.json", "manifest.json"):
        assert (tmp_path / "killed" / file).read_bytes() == (
            tmp_path / "at once" / file
        ).read_bytes()
    with pytest.raises(UsageError):  # another tolerance is another evaluation
        stemsmith.evaluate_system(
            "nmf:", chorale, tmp_path / "killed", **{**options, "tolerance_s": 0.1}
        )


@pytest.mark.parametrize(
    ("system", "options", "message"),
    [
        ("mixture", {"n_updates": 3}, "--updates: only with nmf:"),
        ("mixture", {"soundfonts": ["x.sf2"]}, "--soundfont: only with nmf:"),
        ("nmf:", {"mask_exponent": 1}, "--mask-exponent: only with run:"),
        ("nmf:", {"sums": {"residual": ["piano"]}}, "--map: only with"),
        ("nmf:", {"bank": "general", "soundfonts": ["x.sf2"]}, "either --bank or --soundfont"),
        ("nmf:", {"n_updates": 0}, "--updates 0: at least 1"),
        ("nmf:", {"tolerance_s": -1}, "--tolerance -1: 0 s or more"),
        ("nmf:", {"soundfonts": "nowhere.sf2"}, "nowhere.sf2"),
        ("nmf:nowhere", {}, "nowhere: not a folder of scores"),
    ],
)
def test_what_makes_no_sense_is_refused_in_a_line(
    chorale: Path, tmp_path: Path, system: str, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        stemsmith.evaluate_system(system, chorale, tmp_path / "r", **options)
    assert not (tmp_path / "r").exists()


def test_a_corpus_says_where_the_scores_of_its_stems_are(chorale: Path, tmp_path: Path) -> None:
    (song,) = find_dataset(str(chorale), None, ("test",)).songs
    assert all(Path(stem.score).is_file() for stem in song.stems)
    moved = tmp_path / "corpus"
    shutil.copytree(chorale, moved)
    for stem in find_dataset(str(moved), None, ("test",)).songs[0].stems:
        Path(stem.score).write_bytes(b"no MIDI")
    with pytest.raises(NothingToDo, match="cannot be used as a score"):
        stemsmith.evaluate_system("nmf:", moved, tmp_path / "r", bss="none", n_updates=1)
