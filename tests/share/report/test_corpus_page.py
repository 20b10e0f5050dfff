"""The page of a corpus says what its Parquet says; and what else a page can be of."""

from __future__ import annotations

import dataclasses
import itertools
import json
import shutil
from collections import Counter
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import stemsmith
from stemsmith.manifests import shards
from stemsmith.manifests.audio.read import decode
from stemsmith.manifests.errors import InvalidCorpus, UsageError
from stemsmith.manifests.jobs import Quiet
from stemsmith.manifests.records import (
    Defect,
    DefectKind,
    Reason,
    Rejection,
    Song,
    Stem,
)
from stemsmith.share import write_report
from stemsmith.share.report.config import ReportConfig
from stemsmith.share.report.content import PlayerMode, StemPlayer
from stemsmith.share.report.listening import chosen, corpus_players

FIXTURES = Path(__file__).parents[2] / "data" / "0.1"


class Reader(HTMLParser):
    """Reads facts, tables and all other text back out of a page."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.facts: dict[str, str] = {}
        self.tables: dict[str, list[list[str]]] = {}
        self.texts: list[str] = []
        self.players: list[str] = []
        self._open: list[str] = []
        self._rows: list[list[str]] = []
        self._text = self._label = self._caption = ""
        self.feed(path.read_text("utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in ("caption", "th", "td", "dt", "dd"):
            self._text = ""
        elif tag == "table":
            self._rows = []
        elif tag == "tr":
            self._rows.append([])

    def handle_endtag(self, tag: str) -> None:
        if tag == "caption":
            self._caption = self._text
        elif tag in ("th", "td"):
            self._rows[-1].append(self._text)
        elif tag == "dt":
            self._label = self._text
        elif tag == "dd":
            self.facts[self._label] = self._text
        elif tag == "table":
            self.tables[self._caption] = self._rows

    def handle_data(self, data: str) -> None:
        self._text += data
        self.texts.append(data)

    def table(self, caption: str) -> dict[str, list[str]]:
        """Return the rows of a table whose caption contains some words, by their first cell."""
        (name,) = (name for name in self.tables if caption in name)
        return {row[0]: row[1:] for row in self.tables[name][1:]}


class Warned(Quiet):
    """Keeps what it is warned of."""

    def __init__(self) -> None:
        self.warnings: list[str] = []

    def warn(self, message: str) -> None:
        self.warnings.append(message)


def rewrite(corpus: Path, **changed: Any) -> None:
    """Give a corpus other records, with a manifest that says so."""
    kinds = {"songs": Song, "stems": Stem, "rejections": Rejection}
    header = json.loads((corpus / "manifest.json").read_text())
    entries = []
    for entry in header["shards"]:
        kind = entry["file"].split("-")[0]
        records = changed.get(kind, shards.read_records(corpus / entry["file"], kinds[kind]))
        shards.write_records(corpus / entry["file"], kinds[kind], records)
        entries.append(shards.shard_entry(corpus / entry["file"]))
    (corpus / "manifest.json").write_text(json.dumps({**header, "shards": entries}))


@pytest.fixture
def spoiled(tmp_path: Path) -> Path:
    """Return a corpus with defects, licences, rejections, and strange names in all of them."""
    folder = tmp_path / "corpus"
    shutil.copytree(FIXTURES / "corpus", folder)
    opened = stemsmith.Corpus(folder)
    found = (
        Defect(DefectKind.MISSING_NOTE, 0, 10, -20.0),
        Defect(DefectKind.MISSING_NOTE, 20, 30, -20.0),
        Defect(DefectKind.CLIPPING, 0, 10, 0.1),
    )
    stems = [
        dataclasses.replace(stem, audit=found[: k % 4], patch=f"<b>{k % 3}</b> \u202e&amp;")
        for k, stem in enumerate(opened.stem_records())
    ]
    licences = ("CC0-1.0", "<script>alert(1)</script>", None)
    songs = [
        dataclasses.replace(song, licence=licences[k % 3], source="</script>\u202e'\".mid")
        for k, song in enumerate(opened.song_records())
    ]
    rejections = [
        Rejection("<img src=x>.mid", "scan", Reason.NO_BAND, "no <b>"),
        Rejection("b.mid", "scan", Reason.NO_BAND, "no band"),
    ]
    rewrite(folder, songs=songs, stems=stems, rejections=rejections)
    return folder


def test_a_page_says_what_the_parquet_says(spoiled: Path, tmp_path: Path) -> None:
    page = Reader(write_report(spoiled, tmp_path / "page.html", n_songs=1))
    corpus = stemsmith.Corpus(spoiled)
    songs, stems = corpus.songs.to_pylist(), corpus.stems.to_pylist()
    hours = sum(song["n_samples"] / song["sample_rate"] for song in songs) / 3600
    assert page.facts["songs"] == str(len(songs))
    assert page.facts["stems"] == str(len(stems))
    assert page.facts["hours of mixtures"] == f"{hours:.2f}"
    assert page.facts["notes"] == f"{sum(stem['n_notes'] for stem in stems):,}"
    ours = page.table("Size beside published data sets")["corpus"]
    assert ours[:2] == [str(len(songs)), f"{hours:.2f}"]
    classes = Counter(
        name
        for song in songs
        for name in {s["inst_class"] for s in stems if s["song_id"] == song["song_id"]}
    )
    assert page.facts["instrument classes"] == str(len(classes))
    table = page.table("at least one stem of a class")
    assert {name: int(row[0]) for name, row in table.items()} == classes
    patches = Counter(stem["patch"] for stem in stems)
    table = page.table("a patch plays")
    assert {name: int(row[0]) for name, row in table.items()} == patches
    defects = Counter(defect["kind"] for stem in stems for defect in stem["audit"])
    defective = Counter(kind for s in stems for kind in {d["kind"] for d in s["audit"]})
    assert {kind: list(map(int, row)) for kind, row in page.table("Defects").items()} == {
        kind: [defective[kind], count] for kind, count in defects.items()
    }
    n_defective = sum(bool(stem["audit"]) for stem in stems)
    assert any(text.startswith(f"{n_defective} of {len(stems)} audited") for text in page.texts)
    licences = Counter(song["licence"] or "unknown" for song in songs)
    table = page.table("Licences of the scores")
    assert {name: int(row[0]) for name, row in table.items()} == licences
    assert page.table("left out, by reason") == {"no-band": ["scan", "2"]}
    assert page.table("All of them")["<img src=x>.mid"] == ["no-band", "no <b>"]
    splits = Counter(song["split"] for song in songs)
    assert {name: int(row[0]) for name, row in page.table("Splits").items()} == splits


def test_a_mixture_that_was_rendered_as_a_whole_is_played_beside_its_stems(
    unsplit: Path, tmp_path: Path
) -> None:
    corpus = stemsmith.Corpus(unsplit)
    for player in corpus_players(corpus, ReportConfig(n_songs=3, clip_s=0.5), Warned()):
        assert isinstance(player, StemPlayer) and player.mode is PlayerMode.SWITCH
        first, *stems = player.tracks
        assert first.name == "mixture" and len(stems) == len(corpus[player.title].stems)
        assert {track.clip.n_samples for track in player.tracks} == {first.clip.n_samples}
    page = write_report(unsplit, tmp_path / "page.html", n_songs=1, clip_s=0.5).read_text("utf-8")
    assert "the mixture was rendered as a whole, and is not quite their sum" in page
    assert "together they are the mixture" not in page


def test_a_loudness_that_nobody_measured_is_called_an_estimate(tmp_path: Path) -> None:
    page = write_report(FIXTURES / "corpus", tmp_path / "page.html", n_songs=0).read_text("utf-8")
    assert "loudness of mixtures, estimated from the levels of their stems" in page


def test_the_same_songs_are_drawn_with_the_same_seed(spoiled: Path, tmp_path: Path) -> None:
    first = write_report(spoiled, tmp_path / "a.html", n_songs=1, clip_s=0.5).read_bytes()
    again = write_report(spoiled, tmp_path / "a.html", n_songs=1, clip_s=0.5).read_bytes()
    assert first == again
    players: set[str] = set()
    for seed in range(4):
        if len(players) > 1:
            break
        page = write_report(spoiled, tmp_path / "b.html", n_songs=1, clip_s=0.5, seed=seed)
        text = page.read_text("utf-8")
        players.add(next(n for n in stemsmith.Corpus(spoiled) if f"<bdi>{n}</bdi></p>" in text))
    assert len(players) > 1


def test_renditions_have_a_page(tmp_path: Path) -> None:
    page = Reader(write_report(FIXTURES / "renditions", tmp_path / "page.html", n_songs=2))
    corpus = stemsmith.Corpus(FIXTURES / "renditions")
    assert page.facts["renditions"] == str(len(corpus))
    seconds = [r.n_samples / r.sample_rate for r in corpus.rendition_records()]
    assert page.facts["hours of mixtures"] == f"{sum(seconds) / 3600:.2f}"


def test_what_was_not_audited_is_not_called_sound(tmp_path: Path) -> None:
    page = Reader(write_report(FIXTURES / "corpus", tmp_path / "page.html", n_songs=0))
    assert any("have not been audited" in text for text in page.texts)
    assert page.table("Licences of the scores") == {"unknown": ["3"]}


def test_a_song_that_cannot_be_read_is_left_out(spoiled: Path, tmp_path: Path) -> None:
    corpus = stemsmith.Corpus(spoiled)
    gone, damaged, _ = (next(iter(track.stems.values())).record for track in corpus.values())
    (spoiled / gone.path).unlink()
    (spoiled / damaged.path).write_bytes(b"fLaC and no more")
    warned = Warned()
    page = Reader(write_report(spoiled, tmp_path / "page.html", progress=warned, n_songs=3))
    assert len(warned.warnings) == 2
    assert "Track00001 cannot be played on the page" in warned.warnings[0]
    assert gone.path in warned.warnings[0]
    said = [text for text in page.texts if "cannot be played here" in text]
    assert len(said) == 2 and damaged.path in said[1]
    assert page.facts["songs"] == "3"


def test_an_empty_corpus_has_a_page(tmp_path: Path) -> None:
    folder = tmp_path / "corpus"
    shutil.copytree(FIXTURES / "corpus", folder)
    rewrite(folder, songs=[], stems=[])
    warned = Warned()
    page = Reader(write_report(folder, tmp_path / "page.html", progress=warned))
    assert any("no songs in this corpus" in text for text in page.texts)


def test_corpora_and_data_sets_stand_side_by_side(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for song in ("one", "two"):
        for stem in ("bass", "drums"):
            path = tmp_path / "real" / song / f"{stem}.wav"
            path.parent.mkdir(parents=True, exist_ok=True)
            soundfile.write(path, 0.1 * rng.standard_normal((16000, 2)), 16000)
    sources = [FIXTURES / "corpus", FIXTURES / "renditions", f"folder:{tmp_path / 'real'}"]
    page = Reader(write_report(sources, tmp_path / "page.html", n_songs=1))
    sizes = page.table("Size beside published data sets")
    assert sizes["corpus"][0] == "3" and "renditions" in sizes and sizes["Slakh2100"][0] == "2,100"
    assert any("folder:real: 2 of 2 songs" in text for text in page.texts)


def separated(folder: Path, n_samples: int = 8000) -> Path:
    for name in ("song", "</script>\u202e", "x" * 120):
        for target in ("bass", "rest"):
            path = folder / name.replace("/", "-") / f"{target}.wav"
            path.parent.mkdir(parents=True, exist_ok=True)
            soundfile.write(path, np.full((n_samples, 2), 0.1), 16000, subtype="FLOAT")
    return folder


def test_a_folder_of_separated_recordings_can_be_remixed(tmp_path: Path) -> None:
    page = Reader(write_report(separated(tmp_path / "s"), tmp_path / "page.html"))
    rows = page.table("What was separated")
    assert rows["song"] == ["2", "bass, rest"] and len(rows) == 3
    text = (tmp_path / "page.html").read_text("utf-8")
    assert text.count('data-mode="remix"') == 3 and '"samples":8000' in text
    write_report(tmp_path / "s", tmp_path / "page.html", clip_s=0.5, n_songs=1)
    assert (tmp_path / "page.html").read_text("utf-8").count('data-mode="remix"') == 1


def test_a_recording_without_samples_is_left_out(tmp_path: Path) -> None:
    folder = separated(tmp_path / "s")
    soundfile.write(folder / "song" / "bass.wav", np.zeros((0, 2)), 16000)
    warned = Warned()
    write_report(folder, tmp_path / "page.html", progress=warned)
    assert len(warned.warnings) == 1 and "holds no samples" in warned.warnings[0]


def deep(folder: Path) -> Path:
    separated(folder / "a" / "b")
    return folder


WRONG: dict[str, tuple[Callable[[Path], object], str]] = {
    "nothing": (lambda folder: folder / "none", "is not there"),
    "a file": (lambda folder: FIXTURES / "README.md", "is a file"),
    "an empty folder": (lambda folder: folder, "is an empty folder"),
    "a folder above": (lambda folder: FIXTURES, "did you mean .*corpus or .*mixtures or"),
    "scores": (lambda folder: FIXTURES / "scores" / "duets", "holds MIDI files"),
    "deep audio": (lambda folder: deep(folder), "none as RECORDING/TARGET.wav.* folder:"),
    "a data set": (lambda folder: f"musdb:{folder / 'none'}", "not a folder"),
    "an address": (lambda folder: "http://host/corpus", "is an address"),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_what_no_page_can_be_of_is_said(wrong: str, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    path, message = WRONG[wrong]
    with pytest.raises(UsageError, match=message):
        write_report([path(tmp_path / "empty")], tmp_path / "page.html")
    assert not (tmp_path / "page.html").exists()


def test_a_folder_that_is_given_twice_is_refused(
    spoiled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(spoiled.parent)
    for twice in ([spoiled.name, spoiled.name], [spoiled, f"./{spoiled.name}/"]):
        with pytest.raises(UsageError, match="given twice"):
            write_report(twice, tmp_path / "page.html")


def test_a_damaged_corpus_is_no_page(spoiled: Path, tmp_path: Path) -> None:
    (spoiled / "stems-00000.parquet").write_bytes(b"PAR1")
    with pytest.raises(InvalidCorpus, match="stems-00000"):
        write_report(spoiled, tmp_path / "page.html")


def test_a_page_replaces_a_page_and_nothing_else(tmp_path: Path, here: Any) -> None:
    out = tmp_path / "page.html"
    arguments = ("report", FIXTURES / "corpus", "--songs", 0, "--out")
    assert here(*arguments, out).returncode == 0
    done = here(*arguments, out)
    assert done.returncode == 0 and done.stdout.startswith(f"{out}: ")
    out.write_text("mine")
    for path, message in (
        (out, "is there already, and no page"),
        (tmp_path, "is a folder"),
        (tmp_path / "none" / "page.html", "its folder is not there"),
    ):
        done = here(*arguments, path)
        assert done.returncode == 2 and message in done.stderr, done.stderr
    assert out.read_text() == "mine"


def test_options_that_make_no_sense(here: Any) -> None:
    for option, value in (("--songs", -1), ("--clip-seconds", 0), ("--clip-seconds", "nan")):
        done = here("report", FIXTURES / "corpus", option, value)
        assert done.returncode == 2 and option in done.stderr
    done = here("report", "--json", "--songs", 0)
    assert done.returncode == 2


def test_the_summary_is_json(tmp_path: Path, here: Any) -> None:
    out = tmp_path / "page.html"
    done = here("report", FIXTURES / "corpus", "--songs", 0, "--json", "--out", out)
    values = json.loads(done.stdout)
    assert values["page"] == str(out) and values["n_bytes"] == out.stat().st_size


@pytest.mark.parametrize("kind", ["corpus", "renditions"])
def test_what_is_heard_is_what_is_in_the_corpus(kind: str) -> None:
    """The clips of a player add up to the mixture, shifts and gains of renditions included."""
    corpus = stemsmith.Corpus(FIXTURES / kind)
    players = corpus_players(corpus, ReportConfig(n_songs=len(corpus), clip_s=1.0), Quiet())
    assert [player.title for player in players] == list(corpus)
    for player in players:
        track = corpus[player.title]
        start, n = round(player.start_s * track.sample_rate), track.sample_rate
        clips = [decode(part.clip.mp3, part.name)[0][:, :n] for part in player.tracks]
        mixture = track.mixture[:, start : start + n]
        error = np.mean((np.sum(clips, axis=0) - mixture) ** 2) / np.mean(mixture**2)
        assert error < 0.06  # of the codec alone
        for part, stem in zip(player.tracks, track.stems.values(), strict=True):
            audio = stem.audio[:, start : start + n]
            measured = np.sqrt(np.mean(audio.reshape(10, -1) ** 2, axis=1))
            np.testing.assert_allclose(part.clip.waveform, measured, rtol=0.1, atol=2e-3)
            wanted = [
                (max(note["onset"] - start, 0) / n, note["pitch"])
                for note in stem.notes.to_pylist()
                if note["onset"] < start + n and (note["sounding_offset"] or note["offset"]) > start
            ]
            assert [round(note.onset_s, 6) for note in part.notes] == [
                round(onset, 6) for onset, _ in wanted
            ]


def test_a_clip_is_where_most_stems_sound(tmp_path: Path) -> None:
    folder = tmp_path / "corpus"
    shutil.copytree(FIXTURES / "corpus", folder)
    stems = stemsmith.Corpus(folder).stem_records()
    late = np.concatenate([np.zeros(10, np.float32), np.full(10, 0.01, np.float32)])
    rewrite(folder, stems=[dataclasses.replace(stem, power=late, gain_db=0.0) for stem in stems])
    config = ReportConfig(n_songs=1, clip_s=1.0)
    (player,) = corpus_players(stemsmith.Corpus(folder), config, Quiet())
    assert player.start_s == 1.0


def test_more_songs_are_those_and_others() -> None:
    names = [f"Track{k:05d}" for k in range(50)]
    drawn = [chosen(names, str, ReportConfig(n_songs=n, seed=5)) for n in range(51)]
    assert all(set(a) < set(b) for a, b in itertools.pairwise(drawn))
    assert all(one == sorted(one) for one in drawn) and drawn[50] == names
