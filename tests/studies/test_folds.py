"""Folds: every song is tested once, by what did not train on it."""

from collections import Counter

import pytest
from stemsmith.manifests.errors import UsageError
from stemsmith.studies.folds import artist_folds, in_fold, song_folds


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
