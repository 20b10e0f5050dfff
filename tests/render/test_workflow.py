"""The workflows in Python: the same bytes as the commands', nothing printed, our own errors."""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from stemsmith.manifests import storage
from stemsmith.manifests.corpus import Corpus
from stemsmith.manifests.errors import NothingToDo, UsageError
from stemsmith.manifests.jobs import Died
from stemsmith.manifests.records import Reason, Rejection, ScannedSong
from stemsmith.render.checking import validate_corpus
from stemsmith.render.corpus.config import RenderConfig, RenderOptions, Splits
from stemsmith.render.midi.scan import ScanJob
from stemsmith.render.renditions.config import RenditionConfig, RenditionOptions
from stemsmith.render.renditions.factors import Rule, Tempo, TempoMode
from stemsmith.render.songs import mixdown
from stemsmith.render.sound import synth
from stemsmith.render.sound.patch_choice import PatchChoice
from stemsmith.render.workflow import make_bank, render_corpus, render_midi, render_renditions, scan

RATE = 16000
HALF_A_STEP = 0.5 / (1 << 15)


def hashes(root: Path) -> dict[str, str]:
    files = (path for path in root.rglob("*") if path.is_file())
    return {path.relative_to(root).as_posix(): storage.file_hash(path) for path in files}


@pytest.fixture(scope="module")
def rendered(tmp_path_factory: pytest.TempPathFactory, band_folder: Path) -> Corpus:
    """Return a corpus that Python made; read only."""
    folder = tmp_path_factory.mktemp("python") / "c"
    splits = Splits.parse("2,1,1")
    return render_corpus(band_folder, folder, splits=splits, seed=5, sample_rate=RATE, tail_s=1)


def test_a_corpus_has_the_bytes_of_the_commands(
    rendered: Corpus, band_folder: Path, tmp_path: Path, here
) -> None:
    done = here(
        "render", band_folder, tmp_path / "c", "--splits", "2,1,1", "--seed", 5,
        "--sample-rate", RATE, "--tail", 1, "--jobs", 0,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert hashes(rendered.root) == hashes(tmp_path / "c")


def test_nothing_is_printed(make_song, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = make_song(tmp_path / "midi" / "song.mid", n_notes=16)
    quick: dict[str, Any] = {"band": None, "sample_rate": 8000, "tail_s": 0}
    render_corpus(path.parent, tmp_path / "c", n_songs=7, **quick)
    render_renditions(path.parent, tmp_path / "r", sample_rate=8000, tail_s=0, headroom_db=30)
    validate_corpus(tmp_path / "c")
    scan(path.parent)
    render_midi(path, sample_rate=8000)
    assert capfd.readouterr() == ("", "")


def test_the_same_call_again_returns_the_same_corpus(rendered: Corpus, band_folder: Path) -> None:
    before = hashes(rendered.root)
    config = RenderConfig(splits=Splits.parse("2,1,1"), seed=0, sample_rate=RATE, tail_s=1.0)
    again = render_corpus(band_folder, rendered.root, config, seed=5)  # which wins over 0
    assert hashes(again.root) == before
    with pytest.raises(UsageError, match="was made with other arguments"):
        render_corpus(band_folder, rendered.root, config)


def test_renditions_have_the_bytes_of_the_commands(make_song, tmp_path: Path, here) -> None:
    make_song(tmp_path / "midi" / "song.mid", [(40, 0), (42, 1)], n_notes=6)
    made = render_renditions(
        tmp_path / "midi", tmp_path / "python", preset="miron-sibelius", n_renditions=2,
        tempos=[Tempo.parse("0.8")], tempo_mode="replace", jitter_s=0.01, sample_rate=8000,
    )  # fmt: skip
    done = here(
        "render", tmp_path / "midi", tmp_path / "command", "--preset", "miron-sibelius",
        "--renditions", 2, "--tempo", "0.8", "--tempo-mode", "replace", "--jitter", "0.01",
        "--sample-rate", 8000, "--jobs", 0,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert made.kind == "renditions"
    assert hashes(made.root) == hashes(tmp_path / "command")
    assert made.header["config"]["band"] is None


def test_a_song_in_memory_is_that_of_the_corpus(rendered: Corpus, band_folder: Path) -> None:
    for song in list(rendered.values())[:2]:
        path = band_folder / song.record.source
        stems = render_midi(path, seed=5, sample_rate=RATE, tail_s=1)
        assert list(stems) == list(song.stems)
        for name, audio in stems.items():
            written = song.stems[name].audio
            assert (audio.shape, audio.dtype) == (written.shape, np.float32)
            np.testing.assert_allclose(audio, written, rtol=0, atol=1.001 * HALF_A_STEP)
        total = np.sum(list(stems.values()), axis=0)
        atol = 1.001 * len(stems) * HALF_A_STEP
        np.testing.assert_allclose(total, song.mixture, rtol=0, atol=atol)
        peak_dbfs = 20 * np.log10(np.abs(total).max())
        assert peak_dbfs <= -1 + 0.01


def test_a_song_that_memory_does_not_hold_is_the_same(
    band_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = band_folder / "album0" / "song0.mid"
    stems = render_midi(path, sample_rate=8000)
    monkeypatch.setattr(mixdown, "_MAX_BYTES_IN_MEMORY", 0)
    for name, audio in render_midi(path, sample_rate=8000).items():
        np.testing.assert_array_equal(audio, stems[name])


def test_files_that_give_no_audio_are_one_line_errors(
    make_song, band_folder: Path, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=r"broken.mid: cannot be used"):
        render_midi(band_folder / "broken.mid")
    with pytest.raises(UsageError, match=r"nowhere.mid: cannot be used"):
        render_midi(tmp_path / "nowhere.mid")
    effects = make_song(tmp_path / "effects.mid", [(120, 0)])  # which Slakh leaves out
    with pytest.raises(UsageError, match=r"effects.mid: no part has a patch"):
        render_midi(effects)
    assert list(render_midi(effects, render_omitted=True, sample_rate=8000)) == ["S00"]
    bank = tmp_path / "bank.yaml"
    bank.write_text("Violin: [{soundfont: missing.sf2, preset: 40}]")
    with pytest.raises(UsageError, match=r"missing.sf2"):
        render_midi(effects, patches=bank)


def test_errors_are_the_commands(band_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(NothingToDo, match="no-band"):
        render_corpus(band_folder, tmp_path / "c", band=["violin"], min_notes=10_000)
    with pytest.raises(UsageError, match="--tail must be between 0 and 60"):
        render_corpus(band_folder, tmp_path / "c", tail_s=61)
    with pytest.raises(UsageError, match="--preset x: unknown; known: miron-rwc"):
        render_renditions(band_folder, tmp_path / "c", preset="x")
    with pytest.raises(UsageError, match="either --bank or --soundfont"):
        make_bank(["a.sf2"], "b.yaml")
    with pytest.raises(UsageError, match="either --patches or --soundfont"):
        make_bank(["a.sf2"], patches="b.yaml")
    with pytest.raises(UsageError, match="give either --bank or --patches"):
        make_bank((), "b.yaml", patches="b.yaml")
    with pytest.raises(UsageError, match="give either a bank or soundfonts"):
        render_corpus(band_folder, tmp_path / "c", bank=make_bank(), soundfonts=["a.sf2"])
    assert not (tmp_path / "c").exists()


def test_an_inventory_is_tables_and_records(band_folder: Path) -> None:
    inventory = scan(band_folder)
    assert len(inventory) == len(inventory.found) == 7
    songs = inventory.song_records()
    assert inventory.songs.column("path").to_pylist() == [song.path for song in songs]
    assert inventory.songs.column("path").to_pylist() == sorted(song.path for song in songs)
    assert inventory.rejections.to_pylist() == [
        {"id": r.id, "stage": "scan", "reason": "not-midi", "detail": r.detail}
        for r in inventory.rejection_records()
    ]
    parts = inventory.songs.column("parts").to_pylist()
    assert [len(p) for p in parts] == [len(song.parts) for song in songs]


class DeadlyWorkers:
    """Workers that a file kills, whatever job it is in."""

    def __init__(self, deadly: str) -> None:
        self._deadly = deadly
        self.jobs: list[ScanJob] = []

    def map(self, function: Callable[[Any], Any], jobs: Iterable[Any]) -> Iterator[Any]:
        for job in jobs:
            self.jobs.append(job)
            yield Died(job) if self._deadly in job.paths else function(job)


def test_a_file_that_kills_its_scanner_costs_no_other(band_folder: Path) -> None:
    workers = DeadlyWorkers("album0/song2.mid")
    inventory = scan(band_folder, jobs=workers)
    assert [len(job.paths) for job in workers.jobs] == [7, 1, 1, 1, 1, 1, 1, 1]
    whole = scan(band_folder).found
    for found, expected in zip(inventory.found, whole, strict=True):
        if isinstance(expected, ScannedSong) and expected.path == "album0/song2.mid":
            detail = "killed the scanning process twice"
            assert found == Rejection(expected.path, "scan", Reason.RENDERER_DIED, detail)
        else:
            assert found == expected


# ---------------------------------------------------------------------------------------------
# Options


@pytest.mark.parametrize(
    ("options", "config"), [(RenderOptions, RenderConfig), (RenditionOptions, RenditionConfig)]
)
def test_typed_options_are_the_fields(options: type, config: type) -> None:
    names = {field.name for field in dataclasses.fields(config)}
    assert set(typing.get_type_hints(options)) == names


def test_a_manifest_has_all_options_of_a_corpus_of_songs() -> None:
    config = RenderConfig(
        seed=3, n_songs=4, splits=Splits.parse("2,1,1"), band=None, patch_choice="program",
        mix_source="unsplit", tail_s=2,
    )  # fmt: skip
    assert config.patch_choice is PatchChoice.PROGRAM
    assert config.to_dict() == {
        "seed": 3,
        "songs": 4,
        "splits": "2,1,1",
        "band": None,
        "min_notes": 50,
        "patch_choice": "program",
        "render_omitted": False,
        "mix_source": "unsplit",
        "target_lufs": -13.0,
        "max_gain_db": 30.0,
        "target_peak_dbfs": -1.0,
        "tail_s": 2.0,
        "max_duration_s": 1200.0,
        "sample_rate": 44100,
        "near_duplicates": True,
        "min_stem_notes": 1,
        "licence": None,
        "licence_ok": None,
        "audit": True,
        "on_defect": "keep",
        "n_channels": 1,
        "pan": "score",
        "balance": "slakh",
        "drums": "tracks",
        "effects": "none",
        "room": "none",
        "equalise": False,
        "master": "none",
        "codec": None,
        "dry": False,
        "jitter_s": 0.0,
        "tuning_cents": 0.0,
        "humanise": False,
        "humanise_velocity": 8.0,
        "humanise_onset_s": 0.008,
        "drum_pieces": False,
        "dynamics": {},
    }
    assert str(config.to_dict()["tail_s"]) == "2.0"  # as the command would have it
    assert RenderConfig().to_dict()["splits"] == "0.7,0.2,0.1"
    assert RenderConfig().to_dict()["band"] == ["piano", "bass", "guitar", "drums"]


def test_a_manifest_has_all_options_of_a_corpus_of_renditions() -> None:
    config = RenditionConfig(
        n_renditions=None, tempos=(Tempo.parse("0.8"),), tempo_mode="replace",
        shifts_s=(0.0, 0.1), rule="distinct", jitter_s=0.01, tuning_cents=5,
    )  # fmt: skip
    assert (config.tempo_mode, config.rule) == (TempoMode.REPLACE, Rule.DISTINCT)
    shared = RenderConfig(band=None).to_dict()
    humanise = ("humanise", "humanise_velocity", "humanise_onset_s")
    production = ("effects", "room", "equalise", "master", "codec", "dry")
    for key in ("audit", "on_defect", "drum_pieces", *humanise, *production):
        del shared[key]
    assert config.to_dict() == {
        **shared,
        "renditions": None,
        "tempo": ["0.8"],
        "tempo_mode": "replace",
        "timbres": 1,
        "dynamics": {"as-written": None},
        "shift_s": [0.0, 0.1],
        "rule": "distinct",
        "jitter_s": 0.01,
        "tuning_cents": 5.0,
        "headroom_db": 18.0,
        "is_aligned": False,
    }
    aligned = RenditionConfig(aligned="scores")
    assert aligned.to_dict()["is_aligned"] is True
    assert aligned.aligned == str(Path("scores").resolve())
    with pytest.raises(UsageError, match="--on-defect: renditions are not audited"):
        RenditionConfig(on_defect="drop")


def test_choices_that_there_are_not_name_the_option() -> None:
    with pytest.raises(UsageError, match="--patch-choice x: unknown; known: class, program"):
        RenderConfig(patch_choice="x")
    with pytest.raises(UsageError, match="--tempo-mode x: unknown"):
        RenditionConfig(tempo_mode="x")


def test_the_manifest_has_the_polyphony_of_the_synthesiser(
    rendered: Corpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = {"reverb": False, "chorus": False, "polyphony": 256}
    assert rendered.header["synthesis"] == synth.synthesis() == said
    monkeypatch.setitem(synth._SETTINGS, "synth.polyphony", 17)
    assert synth.synthesis() == {**said, "polyphony": 17}
