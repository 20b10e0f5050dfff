"""The text of MIDI files is decoded as its writer meant it."""

from __future__ import annotations

import pytest
from stemsmith.render.midi.text import decoded

WESTERN = [
    "Piano", "Flöte", "Überraschung", "é", "Été à Genève", "naïve", "Señor", "Ça va", "Größe",
    "Gitarre für Ärzte", "Straße", "Trompète", "Première éé", "cœur", "“Lead”",
]  # fmt: skip
JAPANESE = [
    "笛", "ピアノ", "ドラム", "Piano ピアノ", "ギター1", "弦楽器", "ﾋﾟｱﾉ", "第1バイオリン",
    "メロディ", "サンプル曲 (c) 1998 Yamada", "ベース Bass",
]  # fmt: skip


@pytest.mark.parametrize("text", [*WESTERN, *JAPANESE, "Бас", "二胡", "♪"])
def test_utf_8_is_read_as_such(text: str) -> None:
    assert decoded(text.encode()) == text


@pytest.mark.parametrize("text", WESTERN)
def test_windows_text_is_read(text: str) -> None:
    assert decoded(text.encode("cp1252")) == text


@pytest.mark.parametrize("text", JAPANESE)
def test_shift_jis_is_read(text: str) -> None:
    assert decoded(text.encode("cp932")) == text


def test_any_bytes_are_some_text() -> None:
    for first in range(256):
        assert isinstance(decoded(bytes((0x81, first, 0x8D))), str)


def test_blanks_around_are_left_out() -> None:
    assert decoded(b"\0 Lead\r\n\0") == "Lead"
