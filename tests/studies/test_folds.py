"""Folds: every song is tested once, by what did not train on it."""

from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from stemsmith.manifests.errors import UsageError
from stemsmith.manifests.jobs import QUIET, InProcess
from stemsmith.studies import folds as folds_module
from stemsmith.studies import perform as perform_module
from stemsmith.studies.folds import artist_folds, in_fold, piece_of, pieces_of, song_folds
from stemsmith.studies.perform import StudyMachine, perform
from stemsmith.studies.stages import StageKind, StudyStage


def test_songs_are_divided_evenly() -> None:
    names = [f"song {number}" for number in range(23)]
    folds = song_folds(names, 5)
    assert sorted(Counter(folds.values()).values()) == [4, 4, 5, 5, 5]
    assert song_folds(names[::-1], 5) == folds
    assert sorted(song_folds(names[:3], 10).values()) == [1, 2, 3]


def test_no_artist_is_in_two_folds() -> None:
    artists = {f"{artist}{n}": artist for artist in "abcdefg" for n in range(ord(artist) - 94)}
    folds = artist_folds(artists, 3)
    assert set(folds.values()) == {1, 2, 3}
    for artist in "abcdefg":
        assert len({fold for song, fold in folds.items() if artists[song] == artist}) == 1
    sizes = Counter(folds.values()).values()
    assert max(sizes) - min(sizes) <= 4


def test_more_folds_than_artists_are_refused() -> None:
    with pytest.raises(UsageError, match="3 folds by artist: from 2 to 2"):
        artist_folds({"a": "x", "b": "y", "c": "y"}, 3)


@pytest.mark.parametrize("song", ["01-Ach", "01-Ach_fast", "01-Ach-17"])
def test_what_was_made_of_a_piece_is_in_its_fold(song: str) -> None:
    folds = {"01-Ach": 2, "02-Die": 1}
    assert in_fold(song, folds, 2)
    assert not in_fold(song, folds, 1)
    assert not in_fold("03-Other_fast", folds, 2)


# The same three scores in corpora of three seeds, which number them in other orders; "other" has
# scores of its own under the same numbers.
_SCORES = {
    "played": ["0a1b2c3d-one.mid", "1a1b2c3d-two.mid", "2a1b2c3d-@three.mid"],
    "renditions": ["1a1b2c3d-two.mid", "2a1b2c3d-@three.mid", "0a1b2c3d-one.mid"],
    "other": ["3a1b2c3d-four.mid", "4a1b2c3d-five.mid", "5a1b2c3d-six.mid"],
}


class _Corpus:
    """What folds ask of a corpus."""

    def __init__(self, path: Path) -> None:
        self._name = path.name
        self.kind = "renditions" if path.name == "renditions" else "songs"

    def song_records(self) -> list[SimpleNamespace]:
        return [
            SimpleNamespace(track=f"Track0000{number}", source=score, split="test")
            for number, score in enumerate(_SCORES[self._name], 1)
        ]

    rendition_records = song_records


class _Dataset:
    """What folds ask of songs to test on."""

    def __init__(self, songs: list[str]) -> None:
        self.songs = [SimpleNamespace(name=name) for name in songs]

    def of_songs(self, names: list[str]) -> "_Dataset":
        return _Dataset([song.name for song in self.songs if not names or song.name in names])


@pytest.fixture
def performed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """Return a function that does a stage and returns the options of its workflow."""
    given: dict[str, Any] = {}

    def songs(place: str, *_: object) -> _Dataset:
        ending = "-0" if place.endswith("renditions") else ""
        return _Dataset([f"Track0000{number}{ending}" for number in (1, 2, 3)])

    def workflow(*_: object, **options: object) -> None:
        given.update(options)

    monkeypatch.setattr(folds_module, "parse_source", lambda place: ("corpus", Path(place)))
    monkeypatch.setattr(folds_module, "Corpus", _Corpus)
    monkeypatch.setattr(perform_module, "find_dataset", songs)
    monkeypatch.setattr(perform_module, "mix", workflow)
    monkeypatch.setattr(perform_module, "evaluate_system", workflow)
    machine = StudyMachine(tmp_path, tmp_path, InProcess(), "cpu", QUIET)

    def do(kind: StageKind, number: int, **work: Any) -> dict[str, Any]:
        given.clear()
        of = {"of": [{"stage": "corpora/played"}], "splits": [], "count": 3, "artists": None}
        work = {"options": {}, **work, "fold": {**of, "number": number}}
        perform(StudyStage(kind=kind, name=f"stage-{number}", work=work), machine)
        return dict(given)

    return do


def test_the_piece_of_a_song_is_its_score_and_not_its_number(performed: Any) -> None:
    assert pieces_of("played") == {"Track00001": "one", "Track00002": "two", "Track00003": "@three"}
    pieces = pieces_of("renditions")
    assert [piece_of(f"Track0000{n}-0", pieces) for n in (1, 2, 3)] == ["two", "@three", "one"]
    assert piece_of("a song", pieces) == "a song"


@pytest.mark.parametrize("dataset", ["played", "renditions"])
def test_no_fold_is_tested_on_a_score_that_it_trained_on(performed: Any, dataset: str) -> None:
    folds = song_folds(["one", "two", "@three"], 3)
    tested = []
    for number in (1, 2, 3):
        sources = [{"stage": "corpora/played"}]
        left_out = performed(StageKind.MIXTURES, number, sources=sources)["left_out"]
        system = {"system": "mixture", "targets": ["bass"]}
        place = {"stage": f"corpora/{dataset}"}
        songs = performed(StageKind.RESULTS, number, dataset=place, **system)["songs"]
        played, scored = pieces_of("played"), pieces_of(dataset)
        out = {played[name] for name in left_out}
        assert out == {piece_of(name, scored) for name in songs}
        assert out == {piece for piece, fold in folds.items() if fold == number}
        tested += songs
    assert len(tested) == len(set(tested)) == 3


def test_songs_that_share_a_number_by_accident_are_tested_by_all_folds(performed: Any) -> None:
    work = {"dataset": {"stage": "corpora/other"}, "system": "mixture", "targets": ["bass"]}
    for number in (1, 2, 3):
        assert "songs" not in performed(StageKind.RESULTS, number, **work)


def test_a_fold_adds_to_the_songs_that_are_left_out_or_chosen_anyway(performed: Any) -> None:
    sources = [{"stage": "corpora/played"}, {"given": "/solos"}]
    options = {"left_out": ["held back"]}
    for number in (1, 2, 3):
        mixed = performed(StageKind.MIXTURES, number, sources=sources, options=options)
        assert len(mixed["left_out"]) == 2
        assert mixed["left_out"][0] == "held back"
    work = {"dataset": {"stage": "corpora/played"}, "system": "mixture", "targets": ["bass"]}
    chosen = [
        performed(StageKind.RESULTS, n, options={"songs": ["Track00002"]}, **work).get("songs")
        for n in (1, 2, 3)
    ]
    assert chosen.count(None) == 2  # of folds without the song
    assert ["Track00002"] in chosen


def test_the_artist_of_every_song_has_to_be_known(
    performed: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = tmp_path / "artists.tsv"
    table.write_text("song\tartist\none\tA\ntwo\t\n@three\tB\n")
    monkeypatch.setattr(perform_module, "pieces_of", lambda *_: {"x": "one", "y": "two"})
    fold = {"of": [{"given": "/songs"}], "splits": [], "count": 2, "artists": str(table)}
    work = {"sources": [], "options": {}, "fold": {**fold, "number": 1}}
    machine = StudyMachine(tmp_path, tmp_path, InProcess(), "cpu", QUIET)
    with pytest.raises(UsageError, match=r"artists\.tsv: does not name the artist of two"):
        perform(StudyStage(kind=StageKind.MIXTURES, name="mixed", work=work), machine)
