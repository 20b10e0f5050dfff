"""The text of MIDI files, which do not say how it is encoded."""

from __future__ import annotations

import re
import unicodedata
from typing import Final

__all__ = ["decoded"]

_STRAY: Final = "\0 \t\r\n"


def decoded(data: bytes) -> str:
    """Return the text of a meta event, without blanks around it.

    Parameters
    ----------
    data : bytes
        UTF-8 where it decodes as such. Else Shift-JIS, where it decodes and most of what is not
        ASCII are Japanese letters; else CP1252, whose five holes are read as Latin-1.

    Examples
    --------
    >>> decoded("Flöte".encode()), decoded("Flöte".encode("cp1252")), decoded("笛".encode("cp932"))
    ('Flöte', 'Flöte', '笛')
    """
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        text = _japanese(data) or _western(data)
    return text.strip(_STRAY)


def _western(data: bytes) -> str:
    try:
        return data.decode("cp1252")
    except UnicodeDecodeError:
        return data.decode("latin-1")


def _japanese(data: bytes) -> str | None:
    """Return Shift-JIS text, or None for what is more plausibly Western.

    An accented letter between two ASCII letters (``Flöte``) also decodes as Shift-JIS, as one
    kanji or as halfwidth katakana that stands alone amid Latin letters.
    """
    try:
        text = data.decode("cp932")
    except UnicodeDecodeError:
        return None
    foreign = [letter for letter in text if ord(letter) > 0x7F]
    n_wide = sum(unicodedata.east_asian_width(letter) in "WF" for letter in foreign)
    n_latin = sum(letter.isalpha() for letter in text if ord(letter) <= 0x7F)
    n_kana = sum("\u3040" <= c <= "\u30ff" or "\uff66" <= c <= "\uff9f" for c in foreign)
    is_private = any(unicodedata.category(letter) == "Co" for letter in foreign)
    if is_private or (not n_kana and re.search(r"[a-z][^\0-\x7f]", text)):
        return None
    is_wide = 2 * n_wide >= len(foreign) and (n_kana > 0 or n_wide >= 2 or n_latin == 0)
    is_narrow = n_kana == len(foreign) >= 3 and n_latin <= n_kana
    return text if (is_wide and n_latin <= 4 * n_wide) or is_narrow else None
