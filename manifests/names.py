"""Names as they are compared: those of songs and stems, and those of classes of instruments.

One name has several spellings. macOS hands out decomposed file names (NFD) where Linux and Windows
keep what was typed, mostly composed (NFC), and both look alike; `normal_name` makes one of them.
Names of classes differ further in case and in what stands between words, which `slug` evens out.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from typing import Final

__all__ = ["distinct_slugs", "normal_name", "portable_name", "slug"]

_BETWEEN_WORDS: Final = re.compile(r"[\s_-]+")
_FORBIDDEN: Final = re.compile(r'[\x00-\x1f\x7f<>:"/\\|?*\ud800-\udfff]')
_RESERVED: Final = re.compile(r"(con|prn|aux|nul|com[0-9]|lpt[0-9])(\..*)?", re.IGNORECASE)


def normal_name(name: str) -> str:
    r"""Return the name of a song, a stem or a target as names are compared: in Unicode's NFC.

    Examples
    --------
    >>> [len(normal_name(name)) for name in ("Fl\u00f6te", "Flo\u0308te")]
    [5, 5]
    """
    return unicodedata.normalize("NFC", name)


def slug(name: str) -> str:
    """Return the name of a class as it is compared.

    Case and composition are evened out, and what is no letter or digit of any script becomes one
    hyphen. Marks belong to the letter before them: without its vowel signs, much of Devanagari
    would be one name.

    Examples
    --------
    >>> slug("Soprano/Alto Sax"), slug("Strings (continued)"), slug("!?")
    ('soprano-alto-sax', 'strings-continued', '')
    """
    kept = ""
    for character in normal_name(_folded(name)):
        kind = unicodedata.category(character)[0]
        is_kept = kind in "LN" or (kind == "M" and kept[-1:] not in ("", "-"))
        if is_kept or kept[-1:] != "-":
            kept += character if is_kept else "-"
    return kept.strip("-")


def portable_name(name: str) -> str:
    r"""Return a name that any file system takes for a file or a folder.

    What Windows, macOS or Linux forbid becomes an underscore: separators, control characters, dots
    and spaces at the end, dots at the beginning (such files are hidden), and the names of devices.
    Length is no concern here; see `stemsmith.manifests.storage.short_name`.

    Examples
    --------
    >>> portable_name("AC/DC: Live?"), portable_name("con"), portable_name(" ..")
    ('AC_DC_ Live_', '_con', '_')
    """
    kept = _FORBIDDEN.sub("_", normal_name(name)).strip().rstrip(". ")
    if not kept:
        return "_"
    return f"_{kept}" if kept.startswith(".") or _RESERVED.fullmatch(kept) else kept


def distinct_slugs(names: Iterable[str]) -> dict[str, str]:
    """Return the slug of every name, which must tell apart what the names tell apart.

    Names that differ in case, in composition or in what stands between their words are one name.

    Parameters
    ----------
    names : iterable of str
        Names of classes, as people wrote them.

    Raises
    ------
    ValueError
        If nothing is left of a name, or the same of two that differ; the text names them.
    """
    found: dict[str, str] = {}
    first_with: dict[str, str] = {}
    for name in names:
        found[name] = key = slug(name)
        if not key:
            raise ValueError(f"the name {name!r} has no letter or digit to tell its class by")
        other = first_with.setdefault(key, name)
        if _words(name) != _words(other):
            raise ValueError(
                f"the names {other!r} and {name!r} are both the class {key!r}; rename one of them"
            )
    return found


def _folded(name: str) -> str:
    """Return a name without case, by Unicode's canonical caseless matching."""
    return unicodedata.normalize("NFD", name).casefold()


def _words(name: str) -> str:
    return _BETWEEN_WORDS.sub(" ", normal_name(_folded(name))).strip()
