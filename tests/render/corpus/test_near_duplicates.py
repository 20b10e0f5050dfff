"""Near duplicates: which pairs are found, which are not, and what they hold together."""

from __future__ import annotations

import random
import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
from stemsmith.manifests.arrays import Int64s
from stemsmith.manifests.records import Part, ScannedSong
from stemsmith.render.corpus.near_duplicates import (
    LEAST_CONTAINED,
    LEAST_SHARED,
    duplicate_groups,
    near_pairs,
)
from stemsmith.render.midi.signature import N_HASHES, MelodicSignature, melodic_signature


def random_voices(seed: int, n_voices: int, n_notes: int = 150) -> list[tuple[Int64s, Int64s]]:
    rng = np.random.default_rng(seed)
    return [
        (np.cumsum(rng.integers(60, 480, n_notes)), rng.integers(40, 90, n_notes))
        for _ in range(n_voices)
    ]


def text_of(voices: list[tuple[Int64s, Int64s]]) -> str:
    return str(melodic_signature(voices))


def pairs_of(signatures: list[str | None]) -> set[tuple[int, int]]:
    found = near_pairs(signatures)
    return set(zip(found.first.tolist(), found.second.tolist(), strict=True))


def test_copies_in_other_keys_and_without_parts_are_found_and_other_songs_are_not() -> None:
    rng = random.Random(0)
    songs = [random_voices(seed, n_voices=2 + seed % 6) for seed in range(200)]
    copies = []
    for voices in songs:
        kept = rng.sample(voices, len(voices) - 1)
        semitones, tempo = rng.choice([-6, -5, 5, 6]), rng.uniform(0.8, 1.25)
        copies.append([(np.round(on * tempo).astype(np.int64), p + semitones) for on, p in kept])
    expected = {(k, k + 200) for k in range(200)}
    assert pairs_of([text_of(voices) for voices in songs + copies]) == expected


def test_a_quotation_is_no_copy() -> None:
    quoted, *rest = random_voices(0, n_voices=6)
    assert pairs_of([text_of([quoted, *rest]), text_of([quoted, *random_voices(1, 5)])]) == set()


def test_songs_without_a_signature_are_like_no_other() -> None:
    assert pairs_of([]) == set()
    assert pairs_of([None, None]) == set()
    text = text_of(random_voices(0, 1))
    assert pairs_of([None, text, None, text]) == {(1, 3)}


def test_estimates_are_those_of_the_sets() -> None:
    voices = random_voices(0, n_voices=4)
    found = near_pairs([text_of(voices), text_of(voices[:3])])
    assert found.shared[0] == pytest.approx(0.75, abs=4 * (0.75 * 0.25 / N_HASHES) ** 0.5)
    assert found.contained[0] == pytest.approx(1, abs=0.1)
    assert found.shared[0] >= LEAST_SHARED
    assert found.contained[0] >= LEAST_CONTAINED


def test_many_copies_of_one_song_form_a_chain() -> None:
    text = text_of(random_voices(0, 2))
    pairs = pairs_of([text] * 100)
    assert {(k, k + 1) for k in range(99)} <= pairs
    assert len(pairs) < 100 * 9  # not all 4950


def test_what_many_songs_have_in_common_does_not_keep_copies_apart() -> None:
    # Every song has the same minimum in the first half of the hashes, none of them is a copy of
    # another but for one pair: popular bands are of no use, and must not be needed.
    rng = np.random.default_rng(0)
    minima = rng.integers(0, 1 << 16, (60, N_HASHES), dtype=np.uint16)
    minima[:, : N_HASHES // 2] = np.arange(N_HASHES // 2)
    sizes = [200] * 60
    minima[50] = minima[3]
    texts = [str(MelodicSignature(n, row)) for n, row in zip(sizes, minima, strict=True)]
    assert (3, 50) in pairs_of(list(texts))


def test_memory_is_linear_in_the_number_of_songs() -> None:
    rng = np.random.default_rng(0)
    rows = rng.integers(0, 1 << 16, (5000, N_HASHES), dtype=np.uint16)
    texts: list[str | None] = [str(MelodicSignature(500, row)) for row in rows]
    tracemalloc.start()
    assert len(near_pairs(texts).first) == 0
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 5000 * 4096


def song(name: str, notes: str, signature: str | None) -> ScannedSong:
    part = Part(0, 0, 0, 0, 0, 100, "")
    return ScannedSong(
        f"{name}.mid", name, notes, 60.0, 100, (part,), (), melodic_signature=signature
    )


def groups_of(songs: list[ScannedSong], with_near: bool = True) -> dict[str, str]:
    """Return the notes that the group of each song's notes is called by."""
    places = duplicate_groups(songs, with_near).tolist()
    pairs = zip(songs, places, strict=True)
    found = [(one.notes_sha256, songs[place].notes_sha256) for one, place in pairs]
    assert len(set(found)) == len(dict(found))
    return dict(found)


def test_groups_have_the_name_of_their_least_content_and_are_transitive() -> None:
    voices = random_voices(0, n_voices=8)
    songs = [
        song("a", "9", text_of(voices)),
        song("b", "5", text_of(voices[:6])),
        song("c", "7", text_of(voices[:5])),
        song("d", "1", text_of(random_voices(1, 3))),
        song("e", "1", text_of(random_voices(1, 3))),
        song("f", "3", None),
    ]
    expected = {"9": "5", "5": "5", "7": "5", "1": "1", "3": "3"}
    assert groups_of(songs) == expected
    for seed in range(5):
        shuffled = random.Random(seed).sample(songs, len(songs))
        assert groups_of(shuffled) == expected
    alone = {notes: notes for notes in expected}
    assert groups_of(songs, with_near=False) == alone
    unsigned = [replace(s, melodic_signature=None) for s in songs]
    assert groups_of(unsigned) == alone
