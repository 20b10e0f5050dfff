"""Taxonomies: General MIDI's own ranges, MUSDB18's four sources, and files a user writes."""

from __future__ import annotations

import itertools
import re
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stemsmith.manifests.errors import UsageError
from stemsmith.manifests.programs import DRUMS, inst_class_of, rendering_class_of, slug
from stemsmith.mixing.sources.taxonomy import (
    TAXONOMIES,
    Taxonomy,
    known_classes,
    read_taxonomy,
)

# General MIDI level 1, 0-based programs.
GM_TARGETS = {
    "piano": range(8),
    "guitar": range(24, 32),
    "bass": range(32, 40),
    "drums": [DRUMS],
}


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("Piano", "piano"),
        ("Strings (continued)", "strings-continued"),
        ("Soprano/Alto Sax", "soprano-alto-sax"),
        ("  synth__lead ", "synth-lead"),
        ("Sound effects", slug("Sound Effects")),
        ("lead 2", "lead-2"),
    ],
)
def test_names_are_compared_in_lower_case_with_hyphens(name: str, expected: str) -> None:
    assert slug(name) == expected


@given(st.text())
def test_a_slug_has_few_characters_and_is_its_own_slug(name: str) -> None:
    assert re.fullmatch(r"([a-z0-9]+(-[a-z0-9]+)*)?", slug(name))
    assert slug(slug(name)) == slug(name)


def test_slakhs_targets_are_the_ranges_of_general_midi() -> None:
    for program in range(DRUMS + 1):
        classes = (slug(inst_class_of(program)), slug(rendering_class_of(program)))
        expected = next((t for t, members in GM_TARGETS.items() if program in members), "residual")
        assert TAXONOMIES["slakh"].target_of(classes) == expected, program


@pytest.mark.parametrize(
    ("taxonomy", "classes", "expected"),
    [
        ("musdb", ("vocals",), "vocals"),
        ("musdb", ("bass", "electric-bass"), "bass"),
        ("musdb", ("violin",), "other"),
        ("violin-piano", ("strings", "violin"), "violin"),
        ("violin-piano", ("piano", "electric-piano"), "piano"),
        ("violin-piano", ("strings", "viola"), None),
        ("bach10", ("saxophone",), "saxophone"),
        ("bach10", ("drums",), None),
    ],
)
def test_built_in_targets(taxonomy: str, classes: tuple[str, ...], expected: str | None) -> None:
    assert TAXONOMIES[taxonomy].target_of(classes) == expected


def test_built_in_taxonomies_have_their_names_and_no_class_in_two_targets() -> None:
    for name, taxonomy in TAXONOMIES.items():
        assert taxonomy.name == name
        assert len(set(taxonomy.targets)) == len(taxonomy.targets)
        members = list(itertools.chain(*taxonomy.classes.values()))
        assert len(set(members)) == len(members)
        assert read_taxonomy(name) is taxonomy


CLASSES = st.sampled_from(["a", "b", "c", "d", "*"])


@given(
    st.dictionaries(st.sampled_from("xyz"), st.lists(CLASSES, min_size=1), min_size=1),
    st.lists(st.sampled_from(["a", "b", "c", "d", "e"]), min_size=1, unique=True),
)
def test_the_first_target_that_lists_a_class_wins(
    targets: dict[str, list[str]], own: list[str]
) -> None:
    taxonomy = Taxonomy("t", targets)
    expected = None
    for target in reversed(targets):
        if "*" in targets[target] or any(name in targets[target] for name in own):
            expected = target
    assert taxonomy.target_of(own) == expected
    assert taxonomy.target_of(reversed(own)) == expected
    assert taxonomy.targets == tuple(targets)


def test_a_file_names_classes_as_people_write_them(tmp_path: Path) -> None:
    path = tmp_path / "band.toml"
    path.write_text('[targets]\nsolo = ["Soprano/Alto Sax", "violin"]\nkeys-2 = ["Piano"]\n')
    taxonomy = read_taxonomy(str(path))
    assert taxonomy.name == "band.toml"
    assert taxonomy.targets == ("solo", "keys-2")
    assert taxonomy.target_of(("reed", "soprano-alto-sax")) == "solo"
    assert taxonomy.target_of(("piano", "electric-piano")) == "keys-2"
    assert taxonomy.target_of(("reed", "oboe")) is None


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"[targets\n", "not valid TOML"),
        (b'[targets]\na = ["\xff"]\n', "not valid TOML"),
        (b"", "one table"),
        (b"[targets]\n", "one table"),
        (b'[targets]\na = "piano"\n', "one table"),
        (b"[targets]\na = []\n", "one table"),
        (b"[targets]\na = [1]\n", "one table"),
        (b'[targets]\na = ["piano"]\n[more]\n', "one table"),
        (b'[targets]\nmixture = ["piano"]\n', "target 'mixture'"),
        (b'[targets]\nPiano = ["piano"]\n', "target 'Piano'"),
        (b'[targets]\n"a/b" = ["piano"]\n', "target 'a/b'"),
        (b'[targets]\n"a.b" = ["piano"]\n', "target 'a.b'"),
        (b'[targets]\n"" = ["piano"]\n', "target ''"),
    ],
)
def test_a_file_that_is_no_taxonomy_is_refused_by_name(
    tmp_path: Path, content: bytes, reason: str
) -> None:
    path = tmp_path / "wrong.toml"
    path.write_bytes(content)
    with pytest.raises(UsageError, match=r"wrong\.toml") as error:
        read_taxonomy(str(path))
    assert reason in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", ["slahk", "", ".", "no/such.toml", "a\0b"])
def test_an_unknown_taxonomy_is_refused_with_those_known(name: str) -> None:
    with pytest.raises(UsageError, match="slakh, musdb, violin-piano, bach10"):
        read_taxonomy(name)


OWN = Taxonomy("own", {"strings": ["Violin", "viola"], "rest": ["*"]})


def test_a_module_may_have_a_taxonomy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "taxonomies_of_a_test", sys.modules[__name__])
    assert read_taxonomy("taxonomies_of_a_test:OWN") is OWN
    assert OWN.class_names == {"violin", "viola"}
    for name, message in (
        ("taxonomies_of_a_test:nothing", "cannot be imported"),
        ("no_such_module_of_a_test:OWN", "cannot be imported"),
        ("taxonomies_of_a_test:slug", "not a stemsmith.mixing.sources.taxonomy:Taxonomy"),
    ):
        with pytest.raises(UsageError, match=message):
            read_taxonomy(name)


def test_known_classes_are_those_of_general_midi_and_of_the_data_sets() -> None:
    assert {"violin", "electric-bass", "vocals", "other", "saxophone", "drums"} <= known_classes()
    assert "*" not in known_classes()
    assert all(slug(name) == name for name in known_classes())
