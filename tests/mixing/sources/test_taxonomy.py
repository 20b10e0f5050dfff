"""Taxonomies: General MIDI's own ranges, MUSDB18's four sources, and files a user writes."""

from __future__ import annotations

import itertools
import re
import sys
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stemsmith.manifests.errors import UsageError
from stemsmith.manifests.names import distinct_slugs, slug
from stemsmith.manifests.programs import DRUMS, inst_class_of, rendering_class_of
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


@given(st.text(st.characters(max_codepoint=127)))
def test_a_slug_of_ascii_has_few_characters_and_keeps_its_form(name: str) -> None:
    assert re.fullmatch(r"([a-z0-9]+(-[a-z0-9]+)*)?", slug(name))
    assert slug(name) == re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")


@given(st.text())
def test_a_slug_has_letters_digits_and_single_hyphens_and_is_its_own_slug(name: str) -> None:
    made = slug(name)
    assert slug(made) == made == unicodedata.normalize("NFC", made)
    for word in made.split("-") if made else ():
        assert {unicodedata.category(character)[0] for character in word} <= set("LMN"), word
        assert unicodedata.category(word[0])[0] in "LN"
    assert slug(unicodedata.normalize("NFD", name)) == made
    assert slug(name.swapcase().swapcase()) == made or not name.isascii()


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("\u94a2\u7434", "\u94a2\u7434"),  # piano and violin, in Chinese
        ("\u5c0f\u63d0\u7434 1", "\u5c0f\u63d0\u7434-1"),
        (
            "\u0421\u043a\u0440\u0438\u043f\u043a\u0430",
            "\u0441\u043a\u0440\u0438\u043f\u043a\u0430",
        ),
        ("Fl\u00f6te", "fl\u00f6te"),
        ("Flo\u0308te", "fl\u00f6te"),  # the same, decomposed
        (
            "\u0938\u093f\u0924\u093e\u0930",
            "\u0938\u093f\u0924\u093e\u0930",
        ),  # sitar: vowels are marks
        ("STRASSE", slug("stra\u00dfe")),
        ("C#", "c"),
        ("\U0001f3b8\ufe0f", ""),  # a picture of a guitar
    ],
)
def test_letters_of_every_script_are_kept(name: str, expected: str) -> None:
    assert slug(name) == expected


def test_slakhs_targets_are_the_ranges_of_general_midi() -> None:
    for program in range(DRUMS + 1):
        classes = (slug(inst_class_of(program)), slug(rendering_class_of(program)))
        expected = next((t for t, members in GM_TARGETS.items() if program in members), "residual")
        assert TAXONOMIES["slakh"].target_of(classes) == expected, program


@pytest.mark.parametrize(
    ("taxonomy", "classes", "expected"),
    [
        ("musdb", ("vocals",), "vocals"),
        ("vocals-accompaniment", ("vocals",), "vocals"),
        ("vocals-accompaniment", ("drums",), "accompaniment"),
        ("vocals-accompaniment", ("accompaniment",), "accompaniment"),
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
    with pytest.raises(UsageError, match=re.escape(f"({', '.join(TAXONOMIES)})")):
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


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (("C#", "C"), r"'C#' and 'C' are both the class 'c'"),
        (("drums", "drums!"), r"'drums' and 'drums!' are both the class 'drums'"),
        (("violin", "\u2669\u2669"), r"'\u2669\u2669' has no letter or digit"),
    ],
)
def test_names_that_lose_their_difference_are_refused(names: tuple[str, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        distinct_slugs(names)
    with pytest.raises(UsageError, match=message) as error:
        Taxonomy("own", {"a": names[:1], "b": names[1:]})
    assert "\n" not in str(error.value)


def test_case_composition_and_spaces_make_no_other_name() -> None:
    names = ("Clean_Electric Guitar", "clean-electric  guitar", "Fl\u00f6te", "flo\u0308te")
    assert set(distinct_slugs(names).values()) == {"clean-electric-guitar", "fl\u00f6te"}
    taxonomy = Taxonomy("own", {"flo\u0308te": ["FLO\u0308TE"], "rest": ["*"]})
    assert taxonomy.targets == ("fl\u00f6te", "rest")
    assert taxonomy.target_of((slug("Fl\u00f6te"),)) == "fl\u00f6te"


def test_a_file_may_name_targets_in_any_script_and_either_form(tmp_path: Path) -> None:
    path = tmp_path / "band.toml"
    path.write_text(
        '[targets]\n"flo\u0308te" = ["Flo\u0308te"]\n"\u94a2\u7434" = ["\u94a2\u7434"]\n', "utf-8"
    )
    assert read_taxonomy(str(path)).targets == ("fl\u00f6te", "\u94a2\u7434")
    path.write_text('[targets]\n"flo\u0308te" = ["a"]\n"fl\u00f6te" = ["b"]\n', "utf-8")
    with pytest.raises(UsageError, match="is there twice"):
        read_taxonomy(str(path))
