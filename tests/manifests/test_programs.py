"""General MIDI programs, Slakh's classes, and the players of a band."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import pretty_midi
import pytest
from stemsmith.manifests.programs import (
    DRUMS,
    OMITTED_PROGRAMS,
    PROGRAM_NAMES,
    RENDERING_CLASSES,
    inst_class_of,
    players,
    rendering_class_of,
)

INST_CLASSES = [  # `general_midi_inst_0.json` of slakh-generation: first, last, class
    (0, 7, "Piano"),
    (8, 15, "Chromatic Percussion"),
    (16, 23, "Organ"),
    (24, 31, "Guitar"),
    (32, 39, "Bass"),
    (40, 47, "Strings"),
    (48, 55, "Strings (continued)"),
    (56, 63, "Brass"),
    (64, 71, "Reed"),
    (72, 79, "Pipe"),
    (80, 87, "Synth Lead"),
    (88, 95, "Synth Pad"),
    (96, 103, "Sound Effects"),
    (104, 111, "Ethnic"),
    (112, 118, "Percussive"),
    (119, 127, "Sound effects"),
    (128, 128, "Drums"),
]


def test_there_are_128_programs_and_drums() -> None:
    assert len(PROGRAM_NAMES) == len(set(PROGRAM_NAMES)) == 129
    assert PROGRAM_NAMES[DRUMS] == "Drums"


def test_programs_have_the_names_of_pretty_midi() -> None:
    expected = [pretty_midi.program_to_instrument_name(program) for program in range(128)]
    assert expected[83] == "Lead 4 chiff"  # the only one of eight leads without brackets
    expected[83] = "Lead 4 (chiff)"
    assert list(PROGRAM_NAMES[:128]) == expected


@pytest.mark.parametrize(("first", "last", "name"), INST_CLASSES)
def test_inst_classes_have_the_borders_of_slakh(first: int, last: int, name: str) -> None:
    assert {inst_class_of(program) for program in range(first, last + 1)} == {name}


def test_there_are_17_inst_classes() -> None:
    assert len({inst_class_of(program) for program in range(129)}) == len(INST_CLASSES) == 17


def test_slakh_renders_34_classes() -> None:
    assert len(RENDERING_CLASSES) == 34


def test_slakh_never_renders_these_programs() -> None:
    never = {38, 39, 55, 62, 63, *range(96, 128)}
    assert never == OMITTED_PROGRAMS
    assert set(range(129)) - {p for ps in RENDERING_CLASSES.values() for p in ps} == never


def test_every_rendered_program_is_in_one_class() -> None:
    counts = Counter(program for programs in RENDERING_CLASSES.values() for program in programs)
    assert set(counts.values()) == {1}
    assert len(counts) == 92


def test_every_program_has_a_rendering_class() -> None:
    for program in range(129):
        is_omitted = program in OMITTED_PROGRAMS
        programs = RENDERING_CLASSES.get(rendering_class_of(program), ())
        assert (program in programs, programs == ()) == (not is_omitted, is_omitted)


@pytest.mark.parametrize(
    ("program", "name"),
    [
        (0, "Acoustic Piano"),  # Slakh has it twice
        (3, "Acoustic Piano"),
        (6, "Acoustic Piano"),
        (7, "Electric Piano"),
        (25, "Acoustic Guitar"),
        (28, "Clean Electric Guitar"),
        (30, "Distorted Electric Guitar"),
        (31, "Clean Electric Guitar"),
        (32, "Acoustic Bass"),
        (37, "Electric Bass"),
        (38, "Synth Bass"),
        (44, "String Ensemble"),
        (46, "Orchestral Harp"),
        (47, "Timpani"),
        (49, "String Ensemble"),
        (50, "Synth Strings"),
        (54, "Choir and Voice"),
        (55, "Orchestra Hit"),
        (59, "Trumpet"),
        (61, "Brass Section"),
        (62, "Synth Brass"),
        (65, "Soprano/Alto Sax"),
        (79, "Pipe"),
        (103, "Sound Effects"),
        (110, "Ethnic"),
        (118, "Percussive"),
        (119, "Sound Effects"),
        (128, "Drums"),
    ],
)
def test_rendering_classes_are_those_of_slakh(program: int, name: str) -> None:
    assert rendering_class_of(program) == name


@pytest.mark.parametrize(
    ("name", "programs"),
    [
        ("piano", range(8)),
        ("guitar", range(24, 32)),
        ("bass", range(32, 40)),
        ("drums", [128]),
        ("strings", range(40, 56)),
        ("sound-effects", [*range(96, 104), *range(119, 128)]),
        ("violin", [40]),
        ("clean-electric-guitar", [26, 27, 28, 31]),
        ("soprano-alto-sax", [64, 65]),
        ("synth-bass", [38, 39]),
        ("percussive", range(112, 119)),
    ],
)
def test_a_player_may_use_the_programs_of_its_class(name: str, programs: list[int]) -> None:
    assert players([name]) == {name: frozenset(programs)}


def test_players_keep_their_order() -> None:
    assert list(players(["drums", "bass", "piano"])) == ["drums", "bass", "piano"]


@pytest.mark.parametrize("name", ["Piano", " piano ", "PIANO"])
def test_players_are_named_in_any_case(name: str) -> None:
    assert players([name]) == {"piano": frozenset(range(8))}


@pytest.mark.parametrize("class_of", [inst_class_of, rendering_class_of])
def test_every_class_is_a_player(class_of: Callable[[int], str]) -> None:
    for program in range(129):
        (programs,) = players([class_of(program)]).values()
        assert program in programs


@pytest.mark.parametrize("name", ["theremin", "", "0"])
def test_an_unknown_player_is_refused_with_the_known_ones(name: str) -> None:
    with pytest.raises(KeyError) as refusal:
        players(["piano", name])
    text = str(refusal.value)
    assert repr(name) in text
    assert all(known in text for known in ("bass", "drums", "guitar", "piano", "violin"))
