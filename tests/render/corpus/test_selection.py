"""Which songs make a corpus: band, duplicates, splits, numbers and patches."""

from __future__ import annotations

import hashlib
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from stemsmith.manifests.errors import UsageError
from stemsmith.manifests.programs import DRUMS, OMITTED_PROGRAMS, rendering_class_of
from stemsmith.manifests.records import Part, Reason, Rejection, ScannedSong
from stemsmith.manifests.splits import SPLITS
from stemsmith.render.corpus.config import RenderConfig, Splits
from stemsmith.render.corpus.selection import Selection, patches_of, select
from stemsmith.render.midi.signature import melodic_signature
from stemsmith.render.sound.compass import Compass
from stemsmith.render.sound.patch_choice import PatchChoice
from stemsmith.render.sound.patches import Bank, Patch
from stemsmith.render.sound.synth import Preset

PROGRAMS = [*range(DRUMS), DRUMS]


def make_bank(n_patches: int = 4) -> Bank:
    """Return a bank of some patches of every class, with every program's own preset in bank 0."""
    patches = []
    for program in PROGRAMS:
        bank, number = (128, 0) if program == DRUMS else (0, program)
        for variation in range(n_patches):
            preset = Preset("font.sf2", bank + (variation if program != DRUMS else 0), number)
            name = f"{program} variation {variation}"
            patches.append(Patch(name, rendering_class_of(program), preset))
    return Bank(tuple(patches), ())


BANK = make_bank()


def md5_of(name: str) -> str:
    return hashlib.md5(name.encode()).hexdigest()


def make_part(program: int, n_notes: int = 50, channel: int = 0, name: str = "") -> Part:
    channel = 9 if program == DRUMS else channel
    return Part(0, channel, program, 0, 0, n_notes, name)


def make_song(
    name: str,
    parts: Sequence[tuple[int, int]] = ((0, 50), (33, 50), (27, 50), (DRUMS, 50)),
    notes: str | None = None,
    md5: str | None = None,
) -> ScannedSong:
    """Return a song of (program, number of notes) parts."""
    return ScannedSong(
        path=f"{name}.mid",
        md5=md5 or md5_of(name),
        notes_sha256=hashlib.sha256((notes or name).encode()).hexdigest(),
        duration_s=60.0,
        n_notes=sum(n for _, n in parts),
        parts=tuple(make_part(program, n, channel=k) for k, (program, n) in enumerate(parts)),
        repairs=(),
    )


def make_songs(n_songs: int, prefix: str = "song") -> list[ScannedSong]:
    return [make_song(f"{prefix}{k:03d}") for k in range(n_songs)]


def splits_of(selection: Selection) -> dict[str, str]:
    return {chosen.song.path: chosen.split for chosen in selection.chosen}


def counts_of(selection: Selection) -> tuple[int, ...]:
    counts = Counter(chosen.split for chosen in selection.chosen)
    return tuple(counts[split] for split in SPLITS)


def reasons(selection: Selection) -> dict[str, Reason]:
    assert all(r.stage == "select" and r.detail for r in selection.rejections)
    found = {rejection.id: rejection.reason for rejection in selection.rejections}
    assert len(found) == len(selection.rejections)
    return found


def fractions(text: str, **kwargs: int) -> RenderConfig:
    return RenderConfig(splits=Splits.parse(text), band=None, **kwargs)


# The band.


def outcome(config: RenderConfig, *parts: tuple[int, int]) -> str | None:
    """Return why a song of these parts is refused, or None."""
    selection = select([make_song("song", parts)], config, BANK)
    if selection.chosen:
        assert (selection.rejections, selection.n_fitting) == ((), 1)
        return None
    (rejection,) = selection.rejections
    assert (rejection.id, rejection.stage) == ("song.mid", "select")
    assert rejection.reason is Reason.NO_BAND
    assert selection.n_fitting == 0
    return rejection.detail


SLAKH = RenderConfig()


def test_slakhs_band_is_50_notes_each_of_piano_bass_guitar_and_drums() -> None:
    assert outcome(SLAKH, (0, 50), (33, 50), (27, 50), (DRUMS, 50)) is None
    detail = outcome(SLAKH, (0, 50), (33, 49), (DRUMS, 50))
    assert detail == "bass has 49 notes, guitar has 0 notes; 50 wanted"


def test_notes_of_a_player_are_summed_over_parts_and_programs() -> None:
    assert outcome(SLAKH, (0, 20), (0, 20), (5, 10), (33, 50), (27, 50), (DRUMS, 50)) is None
    assert outcome(SLAKH, (0, 20), (0, 20), (5, 9), (33, 50), (27, 50), (DRUMS, 50)) is not None


@pytest.mark.parametrize(("first", "last", "player"), [(0, 7, 0), (24, 31, 2), (32, 37, 1)])
def test_every_program_of_a_player_counts_and_no_other(first: int, last: int, player: int) -> None:
    for program in range(DRUMS):
        parts = [(0, 50), (33, 50), (27, 50), (DRUMS, 50)]
        parts[player] = (program, 50)
        assert (outcome(SLAKH, *parts) is None) == (first <= program <= last), program


@pytest.mark.parametrize("program", [38, 39])
def test_synth_basses_count_only_if_they_are_rendered(program: int) -> None:
    parts = ((0, 50), (program, 80), (27, 50), (DRUMS, 50))
    assert outcome(SLAKH, *parts) == "bass has 0 notes; 50 wanted"
    assert outcome(replace(SLAKH, render_omitted=True), *parts) is None


def test_the_least_number_of_notes_is_an_option() -> None:
    parts = ((0, 7), (33, 7), (27, 7), (DRUMS, 7))
    assert outcome(replace(SLAKH, min_notes=7), *parts) is None
    assert outcome(replace(SLAKH, min_notes=8), *parts) is not None


def test_another_band_can_be_asked_for() -> None:
    quartet = RenderConfig(band=("violin", "viola", "cello"))
    assert outcome(quartet, (40, 50), (41, 50), (42, 50)) is None
    assert outcome(quartet, (40, 99), (42, 50)) == "viola has 0 notes; 50 wanted"
    strings = RenderConfig(band=("strings",))
    assert outcome(strings, (40, 20), (48, 30)) is None


def test_without_a_band_any_song_is_taken() -> None:
    assert outcome(RenderConfig(band=None), (73, 1)) is None


def test_a_song_that_nothing_renders_is_refused() -> None:
    song = make_song("song", ((55, 100), (120, 100)))
    selection = select([song], RenderConfig(band=None), BANK)
    assert reasons(selection) == {"song.mid": Reason.NO_PATCH}
    assert select([song], RenderConfig(band=None, render_omitted=True), BANK).chosen


def test_a_part_without_a_patch_does_not_count() -> None:
    no_guitar = Bank(tuple(p for p in BANK.patches if "Guitar" not in p.rendering_class), ())
    selection = select([make_song("song")], SLAKH, no_guitar)
    assert reasons(selection) == {"song.mid": Reason.NO_BAND}
    assert selection.rejections[0].detail == "guitar has 0 notes; 50 wanted"


# Duplicates and splits.


def test_the_same_bytes_are_taken_once() -> None:
    twins = [make_song(name, notes="same", md5="0" * 32) for name in ("c", "a", "b")]
    selection = select([*twins, make_song("d")], fractions("0.7,0.2,0.1"), BANK)
    assert set(splits_of(selection)) == {"a.mid", "d.mid"}
    assert selection.rejections == tuple(
        Rejection(f"{name}.mid", "select", Reason.DUPLICATE_FILE, "the same bytes as a.mid")
        for name in ("b", "c")
    )
    assert selection.n_fitting == 2


def test_songs_that_share_their_notes_are_counted() -> None:
    songs = [*make_songs(5), *(make_song(f"twin{k}", notes="same") for k in range(3))]
    assert select(songs, fractions("0.7,0.2,0.1"), BANK).n_grouped == 3
    assert select(make_songs(5), fractions("0.7,0.2,0.1"), BANK).n_grouped == 0


# A song's notes by its place in the list; few different ones make large groups.
GROUPS = st.lists(st.integers(0, 6), max_size=40)
SEEDS = st.integers(0, 2**64)


def grouped_songs(groups: Sequence[int]) -> list[ScannedSong]:
    return [make_song(f"song{k}", notes=f"notes{g}") for k, g in enumerate(groups)]


def check_groups(selection: Selection) -> None:
    split_of_notes: dict[str, str] = {}
    for chosen in selection.chosen:
        split = split_of_notes.setdefault(chosen.song.notes_sha256, chosen.split)
        assert split == chosen.split


@given(GROUPS, SEEDS, st.sampled_from(("0.7,0.2,0.1", "1/3,1/3,1/3", "0.5,0,0.5")))
@settings(deadline=None)
def test_equal_notes_never_cross_splits_with_fractions(
    groups: list[int], seed: int, text: str
) -> None:
    selection = select(grouped_songs(groups), fractions(text, seed=seed), BANK)
    check_groups(selection)
    assert len(selection.chosen) == len(groups)
    assert selection.rejections == ()


@given(GROUPS, SEEDS, st.tuples(*[st.integers(0, 9)] * 3).filter(lambda counts: sum(counts) > 1))
@settings(deadline=None)
def test_equal_notes_never_cross_splits_with_counts(
    groups: list[int], seed: int, counts: tuple[int, int, int]
) -> None:
    text = ",".join(map(str, counts))
    selection = select(grouped_songs(groups), fractions(text, seed=seed), BANK)
    check_groups(selection)
    found = counts_of(selection)
    assert all(n <= wanted for n, wanted in zip(found, counts, strict=True))
    assert set(reasons(selection).values()) <= {Reason.SPLIT_FULL}
    if len(set(groups)) >= sum(counts):
        assert found == counts
    assert selection.n_fitting == len(groups)
    # A song is left out only where all places are taken, or its notes have a split that is full.
    if sum(found) < sum(counts):
        assert len(selection.chosen) + len(selection.rejections) == len(groups)


@pytest.mark.parametrize("counts", [(14, 4, 2), (1, 1, 1), (0, 3, 0), (2, 0, 0), (20, 20, 20)])
def test_counts_are_exact_when_there_are_enough_songs(counts: tuple[int, int, int]) -> None:
    text = ",".join(map(str, counts))
    selection = select(make_songs(60), fractions(text), BANK)
    assert counts_of(selection) == counts
    assert selection.rejections == ()
    assert selection.n_fitting == 60


def test_too_few_songs_fill_what_they_can() -> None:
    assert counts_of(select(make_songs(5), fractions("14,4,2"), BANK)) == (5, 0, 0)


def test_members_of_a_group_beyond_its_split_are_refused() -> None:
    group = [make_song(f"twin{k}", notes="same") for k in range(5)]
    selection = select(group, fractions("2,1,1"), BANK)
    assert counts_of(selection) == (2, 0, 0)
    assert selection.n_grouped == 2
    taken = set(splits_of(selection))
    assert reasons(selection) == {
        song.path: Reason.SPLIT_FULL for song in group if song.path not in taken
    }
    first = selection.chosen[0].song.path
    assert {r.detail for r in selection.rejections} == {f"the notes of {first}; train is full"}


def test_a_group_goes_where_all_of_it_has_room() -> None:
    group = [make_song(f"twin{k}", notes="same") for k in range(3)]
    selection = select(group, fractions("1,2,3"), BANK)
    assert counts_of(selection) == (0, 0, 3)
    assert selection.rejections == ()


def test_with_fractions_adding_songs_moves_no_other() -> None:
    few, many = make_songs(40), make_songs(400)
    config = fractions("0.7,0.2,0.1")
    before, after = splits_of(select(few, config, BANK)), splits_of(select(many, config, BANK))
    assert before == {path: after[path] for path in before}
    assert set(before.values()) == set(SPLITS)


def test_fractions_are_met_on_average() -> None:
    counts = counts_of(select(make_songs(2000), fractions("0.7,0.2,0.1"), BANK))
    for n, share in zip(counts, (0.7, 0.2, 0.1), strict=True):
        assert abs(n - 2000 * share) < 4 * (2000 * share * (1 - share)) ** 0.5


def test_a_split_of_no_share_is_empty() -> None:
    assert counts_of(select(make_songs(50), fractions("0,1,0"), BANK)) == (0, 50, 0)


def test_another_seed_is_another_corpus() -> None:
    songs = make_songs(50)
    one, two = (select(songs, fractions("0.7,0.2,0.1", seed=seed), BANK) for seed in (1, 2))
    assert splits_of(one) != splits_of(two)
    assert [c.song.path for c in one.chosen] != [c.song.path for c in two.chosen]


@pytest.mark.parametrize("splits", ["0.7,0.2,0.1", "6,3,2"])
def test_the_order_of_the_songs_changes_nothing(splits: str) -> None:
    songs = [*make_songs(20), *(make_song(f"twin{k}", notes="same") for k in range(4))]
    songs += [make_song("copy", md5=songs[3].md5), make_song("thin", ((0, 3),))]
    config = RenderConfig(splits=Splits.parse(splits))
    expected = select(songs, config, BANK)
    assert expected.chosen
    assert Reason.NO_BAND in reasons(expected).values()
    for seed in range(10):
        shuffled = list(songs)
        random.Random(seed).shuffle(shuffled)
        assert select(shuffled, config, BANK) == expected


def test_some_of_the_songs_can_be_drawn() -> None:
    songs = make_songs(50)
    selection = select(songs, fractions("0.7,0.2,0.1", n_songs=12), BANK)
    assert len(selection.chosen) == 12
    assert (selection.rejections, selection.n_fitting) == ((), 50)
    everything = splits_of(select(songs, fractions("0.7,0.2,0.1"), BANK))
    assert splits_of(selection).items() <= everything.items()
    names = [chosen.song.path for chosen in selection.chosen]
    assert sorted(names) != sorted(song.path for song in songs)[:12]


def test_a_larger_draw_has_the_smaller_one() -> None:
    songs = make_songs(50)
    small, large = (select(songs, fractions("0.7,0.2,0.1", n_songs=n), BANK) for n in (8, 30))
    assert splits_of(small).items() <= splits_of(large).items()


def test_more_songs_than_there_are_is_all_of_them() -> None:
    assert len(select(make_songs(3), fractions("0.7,0.2,0.1", n_songs=10), BANK).chosen) == 3


def test_no_songs_are_no_corpus() -> None:
    assert select([], SLAKH, BANK) == Selection((), (), 0, 0)


@pytest.mark.parametrize("splits", ["0.5,0.3,0.2", "7,5,3"])
def test_tracks_are_numbered_from_1_by_split(splits: str) -> None:
    chosen = select(make_songs(40), fractions(splits), BANK).chosen
    assert [c.track for c in chosen] == [f"Track{k:05d}" for k in range(1, len(chosen) + 1)]
    order = [SPLITS.index(c.split) for c in chosen]
    assert order == sorted(order)
    assert set(order) == {0, 1, 2}


# Splits as an option.


@pytest.mark.parametrize(
    ("text", "sizes", "are_counts"),
    [
        ("0.7,0.2,0.1", (Fraction(7, 10), Fraction(1, 5), Fraction(1, 10)), False),
        ("1/3, 1/3, 1/3", (Fraction(1, 3),) * 3, False),
        ("1,0,0", (Fraction(1), Fraction(0), Fraction(0)), False),
        ("14,4,2", (Fraction(14), Fraction(4), Fraction(2)), True),
        ("2,0,0", (Fraction(2), Fraction(0), Fraction(0)), True),
    ],
)
def test_splits_are_fractions_or_counts(
    text: str, sizes: tuple[Fraction, ...], are_counts: bool
) -> None:
    splits = Splits.parse(text)
    assert (splits.sizes, splits.are_counts) == (sizes, are_counts)
    assert Splits.parse(str(splits)) == splits


# Patches.


def test_parts_that_are_not_rendered_have_no_patch() -> None:
    song = make_song("song", [(program, 9) for program in PROGRAMS])
    for part, patch in zip(song.parts, patches_of(song, SLAKH, BANK), strict=True):
        assert (patch is None) == (part.program in OMITTED_PROGRAMS)
    everything = patches_of(song, replace(SLAKH, render_omitted=True), BANK)
    for part, patch in zip(song.parts, everything, strict=True):
        assert patch is not None
        assert patch.rendering_class == rendering_class_of(part.program)


def test_one_program_has_one_patch_in_a_song() -> None:
    for k in range(30):
        song = make_song(f"song{k}", ((0, 5), (33, 5), (0, 90), (33, 7), (0, 1)))
        first, bass, second, other_bass, third = patches_of(song, SLAKH, BANK)
        assert first == second == third
        assert bass == other_bass


def test_programs_of_one_class_are_drawn_apart() -> None:
    pairs = [patches_of(make_song(f"song{k}", ((0, 5), (1, 5))), SLAKH, BANK) for k in range(30)]
    assert any(one != other for one, other in pairs)


def test_a_songs_patches_depend_on_nothing_but_the_song_and_the_seed() -> None:
    songs = make_songs(30)
    alone = {s.path: select([s], SLAKH, BANK).chosen[0].patches for s in songs}
    together = {c.song.path: c.patches for c in select(songs, SLAKH, BANK).chosen}
    assert alone == together
    moved = replace(songs[0], path="elsewhere/renamed.mid")
    assert patches_of(moved, SLAKH, BANK) == alone[songs[0].path]
    assert len(set(alone.values())) > 20
    reseeded = {c.song.path: c.patches for c in select(songs, replace(SLAKH, seed=1), BANK).chosen}
    assert reseeded != together


def test_the_number_of_other_parts_changes_no_patch() -> None:
    for k in range(20):
        few, many = make_song(f"s{k}", ((33, 5),)), make_song(f"s{k}", ((0, 9), (5, 9), (33, 5)))
        assert patches_of(few, SLAKH, BANK)[0] == patches_of(many, SLAKH, BANK)[2]


def test_by_program_every_part_has_its_own_preset() -> None:
    config = replace(SLAKH, patch_choice=PatchChoice.PROGRAM)
    for seed in (0, 1):
        patches = patches_of(make_song("song"), replace(config, seed=seed), BANK)
        presets = [patch.preset for patch in patches if patch is not None]
        assert presets == [
            Preset("font.sf2", b, n) for b, n in ((0, 0), (0, 33), (0, 27), (128, 0))
        ]


# Near duplicates.


def signature_of(seed: int, n_voices: int = 3) -> str:
    voices = []
    for voice in range(n_voices):
        rng = np.random.default_rng([seed, voice])
        voices.append((np.cumsum(rng.integers(60, 480, 100)), rng.integers(40, 90, 100)))
    return str(melodic_signature(voices))


def signed_songs(n_songs: int) -> list[ScannedSong]:
    """Return songs of which each has near duplicates without a part, but every third."""
    return [
        replace(song, melodic_signature=signature_of(k // 3, n_voices=2 + k % 2))
        if k % 3
        else replace(song, melodic_signature=signature_of(1000 + k))
        for k, song in enumerate(make_songs(n_songs))
    ]


@pytest.mark.parametrize("splits", ["0.5,0.3,0.2", "14,10,6", "5,4,3"])
def test_near_duplicates_lie_in_one_split(splits: str) -> None:
    songs = signed_songs(60)
    for seed in range(10):
        selection = select(songs, fractions(splits, seed=seed), BANK)
        split_of = splits_of(selection)
        for k in range(0, 60, 3):
            pair = {split_of.get(songs[k + 1].path), split_of.get(songs[k + 2].path)}
            assert len(pair - {None}) <= 1
        groups = Counter(chosen.group for chosen in selection.chosen)
        assert selection.n_grouped == sum(n for n in groups.values() if n > 1)
    apart = select(songs, replace(fractions("0.5,0.3,0.2"), near_duplicates=False), BANK)
    assert apart.n_grouped == 0
    split_of = splits_of(apart)
    assert any(split_of[songs[k + 1].path] != split_of[songs[k + 2].path] for k in range(0, 60, 3))


def test_songs_that_have_no_near_duplicate_keep_their_splits() -> None:
    songs = signed_songs(60)
    with_near = splits_of(select(songs, fractions("0.5,0.3,0.2"), BANK))
    without = splits_of(
        select(songs, replace(fractions("0.5,0.3,0.2"), near_duplicates=False), BANK)
    )
    assert all(with_near[song.path] == without[song.path] for song in songs[::3])
    assert with_near != without


def test_a_near_duplicate_that_finds_its_split_full_is_named() -> None:
    songs = [
        replace(song, melodic_signature=signature_of(0, n_voices=2 + k % 2))
        for k, song in enumerate(make_songs(4))
    ]
    selection = select(songs, fractions("1,1,1"), BANK)
    (kept,) = selection.chosen
    details = {rejection.detail for rejection in selection.rejections}
    assert set(reasons(selection).values()) == {Reason.SPLIT_FULL}
    assert details == {f"nearly the music of {kept.song.path}; train is full"}


# Licences.


def licensed(licence: str | None, wanted: str | None, default: str | None = None) -> Selection:
    config = RenderConfig(band=None, licence=default, licence_ok=wanted)  # type: ignore[arg-type]
    return select([replace(make_song("song"), licence=licence)], config, BANK)


def test_only_songs_of_the_wanted_licences_are_taken() -> None:
    assert licensed("CC0-1.0", "CC0-1.0,CC-BY-4.0").rejections == ()
    assert licensed("MIT OR cc-by-4.0", "CC0-1.0,CC-BY-4.0").rejections == ()
    (rejection,) = licensed("GPL-2.0-only", "CC0-1.0,CC-BY-4.0").rejections
    assert (rejection.id, rejection.reason) == ("song.mid", Reason.LICENCE)
    assert rejection.detail == "its licence is GPL-2.0-only; CC0-1.0 or CC-BY-4.0 wanted"
    (rejection,) = licensed(None, "CC0-1.0").rejections
    assert rejection.detail == "its licence is not known; CC0-1.0 wanted"


def test_the_licence_of_the_folder_holds_where_no_other_is_known() -> None:
    assert licensed(None, "CC0-1.0", "CC0-1.0").chosen[0].song.licence == "CC0-1.0"
    assert licensed("MIT", None, "CC0-1.0").chosen[0].song.licence == "MIT"
    assert licensed(None, None).chosen[0].song.licence is None
    assert reasons(licensed("MIT", "CC0-1.0", "CC0-1.0")) == {"song.mid": Reason.LICENCE}


def test_what_is_no_licence_is_refused() -> None:
    for text in ("", "free to use", "CC0-1.0,", "(MIT)", "public domain!"):
        with pytest.raises(UsageError, match="--licence"):
            RenderConfig(licence_ok=text)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="--licence-ok 'gratis!': not an SPDX licence"):
        RenderConfig(licence_ok=("MIT", "gratis!"))
    with pytest.raises(UsageError, match="--licence 'gratis!': not an SPDX licence"):
        RenderConfig(licence="gratis!")


# Patches that cannot play a part.

ANY_BAND = RenderConfig(band=None)


def strikes(*notes: tuple[int, int, int]) -> npt.NDArray[np.uint8]:
    """Return what is asked of a patch: key, velocity, number of notes."""
    return np.array(notes, np.uint8).ravel()


def playing(keys: range, out_of_tune: range = range(0)) -> Compass:
    """Return the compass of a preset that is heard at some keys, and in tune at most of them."""
    levels = np.full((1, 128), -np.inf, np.float32)
    levels[0, list(keys)] = -12
    errors = np.zeros((1, 128), np.float32)
    errors[0, list(out_of_tune)] = -875
    return Compass(np.array([1], np.int32), levels, errors)


def bank_of(*compasses: Compass | None, program: int = 73) -> Bank:
    """Return a bank of one class, with a preset for each compass."""
    patches = [
        Patch(f"patch {k}", rendering_class_of(program), Preset("font.sf2", k, program))
        for k in range(len(compasses))
    ]
    found = zip(patches, compasses, strict=True)
    return Bank(tuple(replace(patch, compass=compass) for patch, compass in found), ())


def song_of(*parts: tuple[int, npt.NDArray[np.uint8]], name: str = "song") -> ScannedSong:
    """Return a song of parts: program and strikes."""
    song = make_song(name, [(program, 50) for program, _ in parts])
    asked = zip(song.parts, parts, strict=True)
    return replace(song, parts=tuple(replace(part, strikes=s) for part, (_, s) in asked))


def names(song: ScannedSong, bank: Bank, config: RenderConfig = ANY_BAND) -> list[str]:
    return [patch.name for patch in patches_of(song, config, bank) if patch is not None]


MANY = [f"song {k}" for k in range(40)]


def test_a_part_draws_among_the_patches_that_play_all_of_its_notes() -> None:
    bank = bank_of(*[playing(range(36, 80))] * 3, *[playing(range(36, 97))] * 3)
    high = strikes((60, 100, 3), (90, 80, 1))
    drawn = {names(song_of((73, high), name=name), bank)[0] for name in MANY}
    assert drawn == {"patch 3", "patch 4", "patch 5"}


def test_a_part_whose_patch_plays_its_notes_keeps_it() -> None:
    bank = bank_of(*[playing(range(36, 80))] * 3, *[playing(range(36, 97))] * 3)
    unmeasured = bank_of(*[None] * 6)
    low, high = strikes((60, 100, 3)), strikes((90, 100, 3))
    for name in MANY:
        as_before = names(song_of((73, low), name=name), unmeasured)
        assert names(song_of((73, low), name=name), bank) == as_before
        if as_before[0] in {"patch 3", "patch 4", "patch 5"}:
            assert names(song_of((73, high), name=name), bank) == as_before


def test_a_patch_that_is_out_of_tune_does_not_play() -> None:
    bank = bank_of(playing(range(128), out_of_tune=range(40, 80)), playing(range(128)))
    for name in MANY[:10]:
        assert names(song_of((73, strikes((60, 100, 3))), name=name), bank) == ["patch 1"]


def test_where_no_patch_plays_all_the_nearest_one_does() -> None:
    bank = bank_of(playing(range(60)), playing(range(85)), playing(range(40)))
    asked = strikes((50, 100, 9), (80, 100, 2), (100, 100, 1))
    assert {names(song_of((73, asked), name=name), bank)[0] for name in MANY} == {"patch 1"}


def test_a_class_is_never_left_and_neither_is_a_program() -> None:
    silent, fine = playing(range(0)), playing(range(128))
    flutes, violins = bank_of(silent), bank_of(fine, program=40)
    both = Bank((*flutes.patches, *(replace(p, name="violin") for p in violins.patches)), ())
    song = song_of((73, strikes((60, 100, 3))))
    assert names(song, both) == ["patch 0"]
    by_program = RenderConfig(patch_choice=PatchChoice.PROGRAM, band=None)
    # Of bank 0 and of bank 1: a preset that makes no sound is as good as none.
    assert names(song, bank_of(silent, fine), by_program) == []
    lacking = bank_of(playing(range(40)), fine)
    assert names(song, lacking, by_program) == ["patch 0"]


def test_parts_of_one_program_share_a_patch_that_plays_all_of_them() -> None:
    bank = bank_of(*[playing(range(36, 80))] * 3, *[playing(range(36, 97))] * 2)
    low, high = strikes((60, 100, 3)), strikes((90, 100, 3))
    for name in MANY:
        first, second = names(song_of((73, low), (73, high), name=name), bank)
        assert first == second
        assert first in {"patch 3", "patch 4"}


def test_parts_of_one_program_that_no_patch_plays_together_have_one_each() -> None:
    bank = bank_of(playing(range(64)), playing(range(64, 128)))
    low, high = strikes((50, 100, 3)), strikes((90, 100, 3))
    for name in MANY[:10]:
        assert names(song_of((73, low), (73, high), name=name), bank) == ["patch 0", "patch 1"]
