"""Names of files that every file system takes."""

from __future__ import annotations

import pytest
from stemsmith.manifests.names import portable_name


@pytest.mark.parametrize(
    ("name", "portable"),
    [
        ("A - One", "A - One"),
        ("../up", "_.._up"),
        ("a/b\\c", "a_b_c"),
        ("CON", "_CON"),
        ("com1.wav", "_com1.wav"),
        ("x. ", "x"),
        ("", "_"),
        ("\ud800", "_"),
        ("Fl\u00f6te", "Fl\u00f6te"),
    ],
)
def test_names_fit_every_file_system(name: str, portable: str) -> None:
    assert portable_name(name) == portable
