"""Pages of mixtures, runs and results say what the folders say, and play what they hold."""

from __future__ import annotations

import contextlib
import csv
import dataclasses
import json
import math
import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from stemsmith.evaluate.benchmark.results import Results
from stemsmith.evaluate.benchmark.song import SongAudio
from stemsmith.evaluate.workflow import evaluate_system
from stemsmith.manifests.errors import UsageError
from stemsmith.manifests.mixtures import Mixture, MixtureSource
from stemsmith.manifests.records import Reason, Rejection
from stemsmith.mixing.mixtures import Mixtures
from stemsmith.mixing.workflow import mix
from stemsmith.share import export_dataset
from stemsmith.share.report import mixture_numbers, mixtures, results, run, scored_songs
from stemsmith.share.report.config import ReportConfig
from stemsmith.share.report.content import (
    Block,
    Chart,
    DataTable,
    Notice,
    Page,
    PageSection,
    PlayerMode,
    StemPlayer,
)
from stemsmith.share.report.page import render_page
from stemsmith.share.report.subjects import open_subject
from stemsmith.train.run import TrainedRun

HOSTILE = "<script>alert('x')</script>\u202e & \"song\""
CONFIG = ReportConfig(n_songs=2, clip_s=1.0)


@dataclass
class Told:
    """A `Progress` that remembers warnings."""

    warnings: list[str] = field(default_factory=list)

    @contextmanager
    def loop(
        self, title: str, total: int, *, n_done: int = 0, audio_s: float = 0.0
    ) -> Iterator[Told]:
        yield self

    def advance(self, n: int = 1, audio_s: float = 0.0) -> None:
        pass

    def warn(self, message: str) -> None:
        self.warnings.append(message)

    def note(self, message: str) -> None:
        raise AssertionError(message)


class Tables(HTMLParser):
    """The text of a page, and its tables by their captions."""

    def __init__(self, sections: Iterable[PageSection]) -> None:
        super().__init__()
        self.text = ""
        self.tables: dict[str, list[list[str]]] = {}
        self._caption = ""
        self._inside = ""
        self.feed(render_page(Page("title", "lead", list(sections))))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in ("caption", "th", "td", "script", "style"):
            self._inside = tag
        if tag == "caption":
            self._caption = ""
        if tag == "tr":
            self.tables.setdefault(self._caption, []).append([])
        if tag in ("th", "td"):
            self.tables[self._caption][-1].append("")

    def handle_endtag(self, tag: str) -> None:
        if tag == self._inside:
            self._inside = ""

    def handle_data(self, data: str) -> None:
        if self._inside == "caption":
            self._caption += data
        elif self._inside in ("th", "td"):
            self.tables[self._caption][-1][-1] += data
        if self._inside not in ("script", "style"):
            self.text += data

    def rows(self, caption: str) -> list[tuple[str, ...]]:
        """Return the rows of a table, without its head."""
        return [tuple(row) for row in self.tables[caption][1:]]


def blocks_of(sections: Iterable[PageSection]) -> Iterator[Block]:
    for section in sections:
        yield from section.blocks
        yield from blocks_of(section.sections)


def players_of(sections: Iterable[PageSection]) -> list[StemPlayer]:
    return [block for block in blocks_of(sections) if isinstance(block, StemPlayer)]


def notices_of(sections: Iterable[PageSection]) -> list[str]:
    return [block.text for block in blocks_of(sections) if isinstance(block, Notice)]


# Mixtures


def test_a_page_of_mixtures_says_what_its_recipes_say(workshop: Path) -> None:
    folder, told = Mixtures("mixtures"), Told()
    sections = mixtures.mixture_sections(folder, CONFIG, told)
    page = Tables(sections)
    recipes = folder.recipes.to_pylist()
    hours: Counter[str] = Counter()
    for recipe in recipes:
        hours[recipe["split"]] += recipe["n_samples"] / recipe["sample_rate"] / 3600
    by_split = Counter(recipe["split"] for recipe in recipes)
    assert page.rows("Splits") == [
        (split, str(by_split[split]), f"{hours[split]:.2f}")
        for split in ("train", "validation", "test")
    ]
    having = Counter(g for r in recipes for g in {s["group"] for s in r["sources"]})
    sources = Counter(s["group"] for r in recipes for s in r["sources"])
    assert [(row[0], row[2], row[4]) for row in page.rows("Targets")] == [
        (target, str(having[target]), str(sources[target])) for target in sorted(having)
    ]
    assert page.rows("How sources go together") == [("coherent", "6")]
    assert page.rows("Where stems come from") == [("corpus", "corpus", "../corpus")]
    assert "Coherent mixtures, with bass in all of them, mono at 16,000 Hz." in page.text
    assert "No augmentation was asked for." in page.text and told.warnings == []


def test_clips_are_played_with_their_sources_gains_and_notes(workshop: Path) -> None:
    folder = Mixtures("mixtures")
    sections = mixtures.mixture_sections(folder, ReportConfig(n_songs=3, clip_s=0.5), Told())
    players = players_of(sections)
    assert len(players) == 6  # two for each song that is asked for
    page = Tables(sections)
    for player, one in zip(players, folder, strict=True):
        record = one.record
        assert player.title == record.mixture_id and player.mode is PlayerMode.MIX
        # Together the tracks are the mixture.
        assert [track.name for track in player.tracks] == list(one.realise().addends)
        assert {track.clip.n_samples for track in player.tracks} == {8000}
        notes = [note for track in player.tracks for note in track.notes]
        assert notes and all(0 <= note.onset_s < note.offset_s <= 0.5 for note in notes)
        rows = page.rows(f"Sources of {record.mixture_id}")
        assert [(row[0], row[2], row[4]) for row in rows] == [
            (source.group, f"corpus: {source.path}", f"{source.gain_db:+.2f}")
            for source in record.sources
        ]


def test_a_songs_own_mixture_is_switched_to(unsplit: Path, tmp_path: Path) -> None:
    options = {"n_mixtures": 1, "clip_s": 1.0, "min_rms_dbfs": -60.0}
    folder = mix(unsplit, tmp_path / "m", **options)  # type: ignore[arg-type]
    sections = mixtures.mixture_sections(folder, ReportConfig(n_songs=3, clip_s=0.5), Told())
    for player, _one in zip(players_of(sections), folder, strict=True):
        assert player.mode is PlayerMode.SWITCH and player.tracks[0].name == "mixture"
        assert "the mixture is the song's own, and not the sum of its targets" in player.caption
    page = Tables(sections)
    assert "All mixtures are excerpts of their songs' own mixtures" in page.text
    bleeding = mix(unsplit, tmp_path / "b", augment=("gain",), **options)  # type: ignore[arg-type]
    page = Tables(mixtures.mixture_sections(bleeding, ReportConfig(n_songs=1), Told()))
    assert "own mixtures" not in page.text


def test_what_is_no_sum_of_its_targets_is_switched_to(workshop: Path) -> None:
    options = {"n_mixtures": 3, "clip_s": 1.0, "min_rms_dbfs": -60.0}
    bleeding = mix("corpus", "bleeding", augment=("bleed",), **options)  # type: ignore[arg-type]
    (player, *_) = players_of(mixtures.mixture_sections(bleeding, CONFIG, Told()))
    assert player.mode is PlayerMode.SWITCH and player.tracks[0].name == "mixture"
    basses = [track for track in player.tracks if track.name == "bass"]
    assert [track.label for track in basses] == [
        "as it is recorded, 1 source",
        "as it is, 1 source",
    ]
    assert basses[0].clip.mp3 != basses[1].clip.mp3 and basses[0].notes == basses[1].notes


def test_recipes_whose_sources_are_gone_are_a_line(workshop: Path) -> None:
    shutil.rmtree("corpus")
    told = Told()
    sections = mixtures.mixture_sections(Mixtures("mixtures"), CONFIG, told)
    (notice,) = notices_of(sections)
    assert "corpus: the root 'corpus' of mixtures is not there" in notice
    assert players_of(sections) == [] and len(told.warnings) == 1
    assert ("train", "2", "0.00") in Tables(sections).rows("Splits")


def test_a_recipe_whose_file_has_changed_is_a_line(workshop: Path) -> None:
    for path in Path("corpus").rglob("S01.flac"):  # the basses
        path.write_bytes(b"")
    sections = mixtures.mixture_sections(Mixtures("mixtures"), CONFIG, Told())
    assert len(notices_of(sections)) == 4 and players_of(sections) == []


def test_no_clips_are_made_where_none_are_wanted(workshop: Path) -> None:
    sections = mixtures.mixture_sections(Mixtures("mixtures"), ReportConfig(n_songs=0), Told())
    assert "Listen" not in [section.title for section in sections]


def source(group: str, **fields: Any) -> MixtureSource:
    known: dict[str, Any] = {
        "stem_id": "song/S00",
        "song_id": "song",
        "root": "corpus",
        "path": "a.flac",
        "stream": 0,
        "sha256": "",
        "group": group,
        "role": "source",
        "sample_rate": 8000,
        "n_stem_samples": 80000,
        "start": 4000,
        "n_read": 8000,
        "shift": 0,
        "is_shift_padded": False,
        "transforms": (),
        "target_lufs": None,
        "gain_db": 0.0,
    }
    return MixtureSource(**{**known, **fields})


class Folder:
    """Recipes as `Mixtures` has them."""

    def __init__(self, *recipes: Mixture) -> None:
        self._recipes = recipes

    def records(self) -> Iterator[Mixture]:
        return iter(self._recipes)

    def rejection_records(self) -> list[Rejection]:
        return [
            Rejection("a", "mix", Reason.TOO_QUIET, ""),
            Rejection("b", "mix", Reason.TOO_QUIET, ""),
        ]


def test_recipes_are_counted(workshop: Path) -> None:
    effect = json.dumps({"name": "gain", "db": 3})
    first = Mixture(
        "train-0",
        "incoherent",
        "train",
        8000,
        36000,
        1,
        -1.0,
        (
            source("bass", gain_db=2.0, transforms=(effect, "no JSON")),
            source("drums", song_id="b", stem_id="b/S00", shift=5, match="{}"),
            source("bass", song_id="b", stem_id="b/S00", gain_db=-2.0, transforms=(effect,)),
        ),
        master=json.dumps({"name": "master"}),
    )
    second = dataclasses.replace(
        first,
        mixture_id="test-0",
        mode="coherent",
        split="test",
        sources=(source("bass"),),
        master=None,
    )
    found = mixture_numbers.count_mixtures(Folder(first, second))  # type: ignore[arg-type]
    assert found.n_by_split == {"train": 1, "test": 1}
    assert found.hours_by_split == pytest.approx({"train": 4.5 / 3600, "test": 4.5 / 3600})
    assert found.n_by_mode == {"incoherent": 1, "coherent": 1}
    assert found.n_by_target == {"bass": 2, "drums": 1}
    assert found.sources_by_target == {"bass": 3, "drums": 1}
    assert (found.n_sources.tolist(), found.n_songs.tolist()) == ([3, 1], [2, 1])
    assert found.gain_db["bass"].tolist() == [2.0, -2.0, 0.0]
    assert found.n_by_effect == {"gain": 2, "no JSON": 1}
    assert (found.n_shifted, found.n_matched, found.n_masters) == (1, 1, 1)
    assert (found.n_stems, found.n_source_songs) == (2, 2)
    assert found.rejections == {("mix", "too-quiet"): 2}


def test_names_in_recipes_are_no_mark_up() -> None:
    transform = json.dumps({"name": HOSTILE, HOSTILE: HOSTILE})
    match = json.dumps({"anchor_song": HOSTILE, "anchor_group": HOSTILE})
    one = source(HOSTILE, path=HOSTILE, shift=-4000, transforms=(transform,), match=match)
    record = Mixture(HOSTILE, "coherent", "train", 8000, 8000, 1, -1.0, (one,))
    section = PageSection(HOSTILE, [mixtures._recipe(record)])
    assert "<script>alert" not in render_page(Page(HOSTILE, HOSTILE, [section]))
    (row,) = Tables([section]).rows(f"Sources of {HOSTILE}")
    assert (
        row[2] == f"corpus: {HOSTILE}" and "shifted by -0.500 s" in row[-1] and HOSTILE in row[-1]
    )


# Runs


def write_epochs(*rows: tuple[float, float, float | str]) -> None:
    """Write losses of training and validation, and SI-SDR."""
    with (Path("run") / "metrics.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        names = ("train_loss", "validation_loss", "learning_rate", "examples_per_s", "si_sdr_db")
        writer.writerow(("epoch", *names, "elapsed_s"))
        for number, (train, validation, ratio) in enumerate(rows):
            writer.writerow((number, train, validation, 0.001, 50.0, ratio, 1.5))


def test_a_page_of_a_run_says_what_its_files_say(workshop: Path) -> None:
    write_epochs((3.0, 2.5, 1.25), (2.0, 1.5, 4.5), (1.0, 1.75, 4.25))
    one = TrainedRun("run")
    page = Tables(run.run_sections(one, ReportConfig(n_songs=0), Told()))
    assert page.rows("All epochs") == [
        (
            str(e.epoch),
            f"{e.train_loss:g}",
            f"{e.validation_loss:g}",
            f"{e.si_sdr_db:.2f}",
            "0.001",
            "50",
        )
        for e in one.history
    ]
    for words in ("blstm", "5,481", "4.50 dB", "0:00:04"):
        assert words in page.text
    model = dict(row[:2] for row in page.rows("Model"))  # type: ignore[misc]
    assert model["n_units"] == "4" and model["targets"] == '["bass"]'
    assert dict(page.rows("Mixtures")) == {  # type: ignore[arg-type]
        "train": '["../mixtures"]',
        "validation": '["../mixtures"]',
    }


def test_losses_that_are_no_numbers_are_said_and_not_drawn(workshop: Path) -> None:
    write_epochs((math.nan, math.inf, ""), (1.0, 2.0, ""))
    sections = run.run_sections(TrainedRun("run"), ReportConfig(n_songs=0), Told())
    assert notices_of(sections) == ["A loss is not a finite number in 1 epochs: 0."]
    write_epochs((math.nan, math.nan, ""))
    sections = run.run_sections(TrainedRun("run"), ReportConfig(n_songs=0), Told())
    assert "Loss: there is no finite number to draw." in notices_of(sections)
    render_page(Page("t", "l", sections))


def test_a_run_without_an_epoch_has_a_page(workshop: Path) -> None:
    (workshop / "run" / "metrics.csv").unlink()
    sections = run.run_sections(TrainedRun("run"), CONFIG, Told())
    assert notices_of(sections) == ["No epoch of this run has ended yet."]
    assert [section.title for section in sections] == ["At a glance", "Settings"]


def test_validation_clips_are_played_beside_what_the_run_makes_of_them(workshop: Path) -> None:
    pytest.importorskip("torch")
    sections = run.run_sections(TrainedRun("run"), CONFIG, Told())
    players = players_of(sections)
    assert [player.title.partition(":")[0] for player in players] == [
        "validation-00000000",
        "validation-00000001",
    ]
    for player in players:
        assert player.mode is PlayerMode.SWITCH
        names = [track.name for track in player.tracks]
        assert names == ["mixture", "bass: true", "bass: estimate"]
    from stemsmith.evaluate.metrics.per_song.si_sdr import si_sdr_db
    from stemsmith.evaluate.separation.run import Run

    audio = Mixtures("mixtures")[2].realise(["bass"])
    estimate = Run("run").separate(audio["mixture"], 16000)["bass"]
    before, after = (si_sdr_db(audio["bass"], e) for e in (audio["mixture"], estimate))
    (row,) = Tables(sections).rows("SI-SDR of validation-00000000 in dB, mono at 16,000 Hz")
    assert row == ("bass", f"{before:.2f}", f"{after:.2f}", f"{after - before:.2f}")


def test_estimates_that_cannot_be_made_are_a_line(
    workshop: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def why() -> str:
        told = Told()
        sections = run.run_sections(TrainedRun("run"), CONFIG, told)
        (notice,) = notices_of(sections)
        assert players_of(sections) == [] and len(told.warnings) == 1
        assert "Loss" in Tables(sections).text  # the curves are there
        return notice

    def absent() -> None:
        raise UsageError("separating needs torch; pip install ...")

    with monkeypatch.context() as patch:
        patch.setattr(run, "require_torch", absent)
        assert why() == "No estimates can be played here: separating needs torch; pip install ..."
    pytest.importorskip("torch")
    shutil.move("mixtures", "elsewhere")
    assert "workshop/mixtures/manifest.json: missing" in why()
    shutil.copytree("elsewhere", "mixtures")
    (workshop / "run/checkpoints/best.ckpt").unlink()
    assert "best.ckpt" in why()
    content = json.loads(Path("run/run.json").read_text("utf-8"))
    content["config"]["data"]["validation"] = ["0" * 64]
    Path("run/run.json").write_text(json.dumps(content))
    assert "not the mixtures that the run was trained with" in why()


def test_a_run_as_one_file_has_its_page(workshop: Path) -> None:
    pytest.importorskip("torch")
    export_dataset("run", "model.ckpt", "checkpoint")
    subject = open_subject("model.ckpt")
    assert isinstance(subject, TrainedRun)
    sections = run.run_sections(subject, CONFIG, Told())
    (notice,) = notices_of(sections)
    assert notice.endswith("a run as one file does not say where its mixtures are")


# Results


SCORED = {"scored": "mixture", "masked": "oracle:irm"}


@pytest.fixture(scope="module")
def scores(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of results of the mixture and of an oracle, on all songs of the corpus."""
    folder = tmp_path_factory.mktemp("scores")
    splits = ("train", "validation", "test")
    with contextlib.chdir(Path(__file__).parents[2] / "data" / "0.1"):
        for name, system in SCORED.items():
            evaluate_system(system, "corpus", folder / name, bss="none", splits=splits)
    return folder


@pytest.fixture
def scored(workshop: Path, scores: Path) -> tuple[Results, Results]:
    """Return results of the mixture and of an oracle, beside the corpus that was scored."""
    for name in SCORED:
        shutil.copytree(scores / name, name)
    return Results("scored"), Results("masked")


def test_a_page_of_results_says_what_the_scores_say(scored: tuple[Results, Results]) -> None:
    sections = results.results_sections(scored, CONFIG, Told())
    page = Tables(sections)
    (caption,) = [name for name in page.tables if name.endswith("mean over songs")]
    rows = {row[0]: row[1:] for row in page.rows(caption)}
    for one in scored:
        for cell, (_, by_metric) in zip(
            rows[one.system], one.summary["scores"].items(), strict=True
        ):
            low, high = by_metric["SI-SDR"]["mean_interval"]
            assert cell == f"{by_metric['SI-SDR']['mean']:.2f} [{low:.2f}, {high:.2f}]"
    values = {
        (s.song, s.target, one.system): s.value for one in scored for s in one.score_records()
    }
    head, *songs = page.tables["All songs"]
    assert len(songs) == 3 and len(head) == 1 + 2 * 4
    for row in songs:
        for name, cell in zip(head[1:], row[1:], strict=True):
            target, _, system = name.partition(": ")
            assert cell == f"{values[row[0], target, system]:.2f}"
    means = [np.mean([float(cell) for cell in row[1:]]) for row in songs]
    assert means == sorted(means)  # from the worst to the best
    settings = dict(page.rows("How oracle:irm was scored"))  # type: ignore[arg-type]
    assert settings["oracle"] == "irm" and settings["data set"] == "corpus"


def test_the_worst_and_the_best_songs_are_played_beside_their_estimates(
    scored: tuple[Results, Results],
) -> None:
    told = Told()
    sections = results.results_sections(scored, CONFIG, told)
    worst, best = players_of(sections)
    songs = [row[0] for row in Tables(sections).rows("All songs")]
    assert worst.title.startswith(f"Worst: {songs[0]} (SI-SDR ")
    assert best.title.startswith(f"Best: {songs[-1]} (SI-SDR ")
    assert worst.mode is PlayerMode.SWITCH and told.warnings == []
    names = [track.name for track in worst.tracks]
    assert names[0] == "mixture" and len(names) == 1 + 4 * 2
    assert {"bass: true", "bass: oracle:irm", "drums: true"} <= set(names)
    score = next(
        s.value for s in scored[1].score_records() if (s.song, s.target) == (songs[0], "bass")
    )
    (track,) = [track for track in worst.tracks if track.name == "bass: oracle:irm"]
    assert track.label == f"SI-SDR {score:.1f} dB"
    assert {track.clip.n_samples for track in worst.tracks} == {16000}


def test_a_clip_begins_where_most_targets_sound() -> None:
    rate = 1000
    audio = np.zeros((2, 1, 20 * rate), np.float32)
    audio[0, :, 3 * rate :] = 0.1
    audio[1, :, 9 * rate : 15 * rate] = 0.1
    song = SongAudio(rate, audio.sum(axis=0), ("bass", "drums"), audio)
    assert results._busiest(song, 6.0) == slice(9 * rate, 15 * rate)
    assert results._busiest(song, 60.0) == slice(0, 20 * rate)
    silent = SongAudio(rate, 0 * audio[0], ("bass", "drums"), 0 * audio)
    assert results._busiest(silent, 2.5) == slice(0, 2500)


def test_songs_that_are_gone_are_a_line_beside_their_scores(
    scored: tuple[Results, Results],
) -> None:
    Path("corpus").rename("moved")
    told = Told()
    sections = results.results_sections(scored, CONFIG, told)
    (notice,) = notices_of(sections)
    assert notice.startswith("No song can be played here: corpus: no folder here")
    assert len(told.warnings) == 1 and "All songs" in Tables(sections).tables
    shutil.copytree("moved", "corpus")
    for path in Path("corpus").rglob("S01.flac"):
        path.unlink()
    sections = results.results_sections(scored, CONFIG, told)
    assert len(notices_of(sections)) == 2 and "missing" in notices_of(sections)[0]


def test_results_are_found_beside_what_they_were_made_of(
    scored: tuple[Results, Results], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    here = Path.cwd()
    monkeypatch.chdir(tmp_path)
    found = [Results(here / one.root) for one in scored]
    assert scored_songs.find_scored(found[0]).root == (here / "corpus").resolve()
    assert len(players_of(results.results_sections(found, CONFIG, Told()))) == 2


def test_estimates_are_those_that_were_scored(workshop: Path) -> None:
    names = ("bass", "drums")
    rng = np.random.default_rng(0)
    for song in ("Track00001", "Track00002", "Track00003"):
        for name in names:
            path = Path("theirs") / song / f"{name}.wav"
            path.parent.mkdir(parents=True, exist_ok=True)
            soundfile.write(path, 0.1 * rng.standard_normal(32000), 16000, subtype="FLOAT")
    one = evaluate_system("estimates:theirs", "corpus", "scored", bss="none")
    dataset = scored_songs.find_scored(one)
    (song,) = dataset.songs
    audio = scored_songs.read_scored(song, names)
    made = scored_songs.estimator_of(one)(song, audio, slice(100, 200))
    for name in names:
        whole, _ = soundfile.read(Path("theirs") / song.name / f"{name}.wav", dtype="float32")
        np.testing.assert_array_equal(made[name], whole[np.newaxis, 100:200])
    (player,) = players_of(results.results_sections([one], CONFIG, Told()))
    assert "bass: estimates:theirs" in [track.name for track in player.tracks]
    labelled = evaluate_system("estimates:theirs", "corpus", "named", bss="none", label="Ours")
    sections = results.results_sections([labelled], CONFIG, Told())
    assert "its label 'Ours' hides where estimates are" in notices_of(sections)[0]
    assert len(players_of(sections)) == 1  # of the mixture and what is true
    (Path("theirs") / song.name / "bass.wav").unlink()
    (player,) = players_of(results.results_sections([one], CONFIG, Told()))
    assert "estimates:theirs cannot be played: theirs/Track00003: no bass.wav" in player.caption
    shutil.rmtree("theirs")
    sections = results.results_sections([one], CONFIG, Told())
    assert "theirs: not a folder of estimates" in notices_of(sections)[0]


def test_estimates_are_found_by_a_pattern_and_summed_and_fitted(workshop: Path) -> None:
    rng = np.random.default_rng(0)
    flat = Path("flat")
    flat.mkdir()
    parts = {name: 0.1 * rng.standard_normal(31900).astype(np.float32) for name in ("low", "kick")}
    for name, audio in parts.items():
        soundfile.write(flat / f"Track00003_{name}.wav", audio, 16000, subtype="FLOAT")
    one = evaluate_system(
        "estimates:flat",
        "corpus",
        "scored",
        bss="none",
        pattern="{song}_{target}.wav",
        sums={"bass": ("low", "kick")},
        lengths="fit",
    )
    (song,) = scored_songs.find_scored(one).songs
    audio = scored_songs.read_scored(song, ("bass",))
    made = scored_songs.estimator_of(one)(song, audio, slice(31800, 32000))["bass"]
    np.testing.assert_allclose(made[0, :100], sum(part[31800:] for part in parts.values()))
    assert not made[0, 100:].any()


def test_a_run_separates_what_it_was_scored_on(workshop: Path) -> None:
    pytest.importorskip("torch")
    from stemsmith.evaluate.separation.run import Run

    one = evaluate_system("run:run", "corpus", "scored", bss="none")
    (song,) = scored_songs.find_scored(one).songs
    audio = scored_songs.read_scored(song, ("bass",))
    made = scored_songs.estimator_of(one)(song, audio, slice(0, 32000))
    assert list(made) == ["bass"]
    np.testing.assert_array_equal(made["bass"], Run("run").separate(audio.mixture, 16000)["bass"])


def test_each_song_is_separated_by_the_run_of_its_fold(workshop: Path) -> None:
    torch = pytest.importorskip("torch")
    from stemsmith.evaluate.separation.run import Run

    for fold in (1, 2):
        shutil.copytree("run", f"fold-{fold}")
    path = Path("fold-2/checkpoints/best.ckpt")
    content = torch.load(path, weights_only=True)
    for weights in content["state_dict"].values():
        if weights.is_floating_point():
            weights *= 0.5
    torch.save(content, path)
    splits = ("train", "validation", "test")
    one = evaluate_system(
        "run:fold-{fold}", "corpus", "scored", bss="none", splits=splits, n_folds=2
    )
    make = scored_songs.estimator_of(one)
    for song in scored_songs.find_scored(one).songs:
        audio = scored_songs.read_scored(song, ("bass",))
        run_of_song = Run(f"fold-{one.summary['folds'][song.name]}")
        expected = run_of_song.separate(audio.mixture, 16000)["bass"]
        np.testing.assert_array_equal(make(song, audio, slice(0, 32000))["bass"], expected)


def test_scores_of_any_kind_have_a_page(make_results: Callable[..., Path]) -> None:
    values = {"bass": [1.0, math.inf, -math.inf, math.nan], "drums": [math.nan] * 4}
    one, other = (Results(make_results(name, values)) for name in ("one", "other"))
    told = Told()
    sections = results.results_sections([one, other], CONFIG, told)
    page = Tables(sections)
    assert "4 values are infinite, and not drawn" in page.text
    rows = {row[0]: row[1:] for row in page.rows("All songs")}
    assert rows["s1"] == ("inf", "inf") and rows["s2"] == ("-inf", "-inf") and "s3" not in rows
    assert len(told.warnings) == 1  # the corpus is nowhere


def test_many_songs_are_drawn_in_part_and_listed_in_whole(
    make_results: Callable[..., Path],
) -> None:
    one = Results(make_results("one", {"bass": list(range(90))}))
    page = Tables(results.results_sections([one], CONFIG, Told()))
    assert "the 20 worst and the 20 best of 90" in page.text
    assert len(page.rows("All songs")) == 90


def test_heat_maps_have_a_width_that_can_be_read(make_results: Callable[..., Path]) -> None:
    targets = {name: [1.0, 2.0] for name in ("bass", "drums", "other", "vocals")}
    some = [Results(make_results(f"r{k}", targets)) for k in range(4)]
    sections = results.results_sections(some, ReportConfig(n_songs=0), Told())
    (songs,) = [section for section in sections if section.title == "Song by song"]
    captions = [block.caption for block in songs.blocks if isinstance(block, Chart)]
    assert [caption.split(": ")[1].split(" ")[0] for caption in captions] == list(targets)
    assert len(Tables(sections).tables["All songs"][0]) == 1 + 16


def test_results_that_do_not_go_together_stand_alone(make_results: Callable[..., Path]) -> None:
    one = Results(make_results("one", {"bass": [1.0]}))
    other = Results(make_results("other", {"bass": [2.0]}, taxonomy="slakh"))
    sections = results.results_sections([one, other], ReportConfig(n_songs=0), Told())
    assert "cannot stand side by side" in notices_of(sections)[0]
    assert [s.title.partition(" ")[0] for s in sections] == ["Scores", "Results", "Results"]


def test_results_without_a_number_have_a_page(make_results: Callable[..., Path]) -> None:
    one = Results(make_results("one", {"bass": [math.nan]}, rejected=["s9"]))
    sections = results.results_sections([one], CONFIG, Told())
    assert "There are no scores to show" in notices_of(sections)[0]
    assert Tables(sections).rows("Left out of one") == [("no-estimate", "evaluate", "1")]


def test_names_of_songs_and_systems_are_no_mark_up(make_results: Callable[..., Path]) -> None:
    folder = make_results("one", {HOSTILE: [1.0, 2.0]}, songs=[HOSTILE, "s"], system=HOSTILE)
    sections = results.results_sections([Results(folder)], CONFIG, Told())
    text = render_page(Page("t", "l", sections))
    assert "<script>alert" not in text
    assert HOSTILE in [row[0] for row in Tables(sections).rows("All songs")]


def test_pages_are_the_same_each_time_and_tables_have_a_cell_for_each_heading(
    scored: tuple[Results, Results],
) -> None:
    def make() -> list[PageSection]:
        config = ReportConfig(n_songs=1, clip_s=0.5)
        return [
            *mixtures.mixture_sections(Mixtures("mixtures"), config, Told()),
            *run.run_sections(TrainedRun("run"), config, Told()),
            *results.results_sections(scored, config, Told()),
        ]

    sections = make()
    assert render_page(Page("t", "l", sections)) == render_page(Page("t", "l", make()))
    tables = [block for block in blocks_of(sections) if isinstance(block, DataTable)]
    assert len(tables) > 10
    assert all(len(row) == len(table.headings) for table in tables for row in table.rows)
