"""What a page consists of: sections of text, figures, tables, charts and players.

These are plain values; `stemsmith.share.report.page` makes HTML of them. All text may come from
files of strangers, and is escaped there; only the SVG of a chart is taken as it is.
"""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, ClassVar, Final, TypeAlias

from stemsmith.share.report.clips import AudioClip

__all__ = [
    "Block",
    "Chart",
    "DataTable",
    "Facts",
    "Notice",
    "Page",
    "PageSection",
    "PlayerMode",
    "PlayerNote",
    "PlayerTrack",
    "Prose",
    "StemPlayer",
    "TableCell",
    "isolated",
    "setting_rows",
]

_TURNING: Final = {"R", "AL", "AN", "LRE", "RLE", "LRO", "RLO", "LRI", "RLI", "FSI", "PDF", "PDI"}
_ISOLATES: Final = dict.fromkeys(map(ord, "\u2066\u2067\u2068\u2069"))
TableCell: TypeAlias = str | int | float | None


@dataclass(frozen=True, slots=True)
class Prose:
    """A paragraph.

    Attributes
    ----------
    text : str
        What it says, as plain text.
    """

    kind: ClassVar[str] = "prose"
    text: str


@dataclass(frozen=True, slots=True)
class Notice:
    """A paragraph that stands out: something is missing, or to be read with care.

    Attributes
    ----------
    text : str
        What it says, as plain text.
    """

    kind: ClassVar[str] = "notice"
    text: str


@dataclass(frozen=True, slots=True)
class Facts:
    """A row of large figures, each with what it counts below it.

    Attributes
    ----------
    items : sequence of (str, str)
        Label and figure of each, such as ``("songs", "2,100")``.
    """

    kind: ClassVar[str] = "facts"
    items: Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class DataTable:
    """A table with one row of headings; the first cell of every row is the heading of the row.

    Attributes
    ----------
    caption : str
        What the table shows.
    headings : sequence of str
        A heading for every column.
    rows : sequence of sequence of str, int, float or None
        Cells. Numbers and texts that are numbers stand at the right; write floats as text, with
        as many digits as they deserve. None is an empty cell.
    note : str
        What stands below the table in small print.
    is_folded : bool
        Whether the table is hidden behind its caption until the reader opens it.
    """

    kind: ClassVar[str] = "table"
    caption: str
    headings: Sequence[str]
    rows: Sequence[Sequence[TableCell]]
    note: str = ""
    is_folded: bool = False


@dataclass(frozen=True, slots=True)
class Chart:
    """A picture that is drawn in lines: SVG.

    Attributes
    ----------
    svg : str
        What a function of `stemsmith.share.charts` returned: an element with a title, whose text
        has been escaped.
    caption : str
        What the chart shows.
    is_wide : bool
        Whether it takes the width of the page; others stand side by side where there is room.
    """

    kind: ClassVar[str] = "chart"
    svg: str
    caption: str
    is_wide: bool = False


@dataclass(frozen=True, slots=True)
class PlayerNote:
    """One note of a piano roll.

    Attributes
    ----------
    onset_s, offset_s : float
        Begin and end in seconds from the begin of the clip.
    pitch : float
        MIDI number of the pitch that sounds.
    velocity : int
        MIDI velocity, 1 to 127.
    """

    onset_s: float
    offset_s: float
    pitch: float
    velocity: int


@dataclass(frozen=True, slots=True)
class PlayerTrack:
    """One of the sounds that a player plays together.

    Attributes
    ----------
    name : str
        What it is called; names may be strange and long.
    clip : AudioClip
        The sound; all tracks of a player are equally long.
    label : str
        Further words, such as class and patch.
    notes : sequence of PlayerNote
        For the piano roll; empty where nobody knows.
    is_drums : bool
        Whether the piano roll shows hits instead of held notes.
    gain_db : float
        Level in dB that the track has when the page is opened.
    """

    name: str
    clip: AudioClip
    label: str = ""
    notes: Sequence[PlayerNote] = ()
    is_drums: bool = False
    gain_db: float = 0.0


class PlayerMode(StrEnum):
    """What a player is for."""

    MIX = "mix"  # all tracks sound together, each with mute, solo and level
    REMIX = "remix"  # as mix, with pan, and the new mix can be downloaded
    SWITCH = "switch"  # one track sounds, the others can be switched to at the same place


@dataclass(frozen=True, slots=True)
class StemPlayer:
    """A player of several tracks, which stay in sync.

    Attributes
    ----------
    title : str
        What is played.
    tracks : sequence of PlayerTrack
        At least one.
    mode : PlayerMode
        What it is for.
    caption : str
        What to listen to, or where in the song the clip begins.
    start_s : float
        Where in the song the clip begins, in seconds: the clock of the player begins there.
    """

    kind: ClassVar[str] = "player"
    title: str
    tracks: Sequence[PlayerTrack]
    mode: PlayerMode = PlayerMode.MIX
    caption: str = ""
    start_s: float = 0.0


Block: TypeAlias = Prose | Notice | Facts | DataTable | Chart | StemPlayer


@dataclass(frozen=True, slots=True)
class PageSection:
    """A part of a page with a heading, which the list of contents names.

    Attributes
    ----------
    title : str
        Heading of the section.
    blocks : sequence of Block
        What it shows, in order.
    sections : sequence of PageSection
        Parts of it, whose headings are one level below.
    """

    title: str
    blocks: Sequence[Block] = ()
    sections: Sequence[PageSection] = ()


@dataclass(frozen=True, slots=True)
class Page:
    """A page: title, a line below it, and sections.

    Attributes
    ----------
    title : str
        What the page is of.
    lead : str
        One or two sentences below the title.
    sections : sequence of PageSection
        What it shows, in order.
    footer : str
        What made the page.
    """

    title: str
    lead: str
    sections: Sequence[PageSection] = ()
    footer: str = ""


def isolated(text: str) -> str:
    r"""Return a name for use beside other words: it cannot turn these around.

    Parameters
    ----------
    text : str
        A name that may be written from right to left, or have marks of direction in it.

    Examples
    --------
    >>> isolated("song")
    'song'
    >>> isolated("\u202egnos")
    '\u2068\u202egnos\u2069'
    """
    if not any(unicodedata.bidirectional(character) in _TURNING for character in text):
        return text
    return f"\u2068{text.translate(_ISOLATES)}\u2069"


def setting_rows(settings: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return settings as rows of a table: text as it is, any other value as JSON has it.

    Examples
    --------
    >>> setting_rows({"mode": "coherent", "splits": ["train", "test"]})
    [('mode', 'coherent'), ('splits', '["train", "test"]')]
    """
    return [
        (name, value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))
        for name, value in settings.items()
    ]
