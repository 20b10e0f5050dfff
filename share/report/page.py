"""Pages become HTML: one file that needs nothing beside it, and asks no network for anything.

The only file that touches jinja2, which escapes all text. Style, script and sound are in the page;
a policy in its head forbids everything else, so that not even a text that had been escaped badly
could load or run anything.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import jinja2
from markupsafe import Markup
from stemsmith.manifests.errors import UsageError
from stemsmith.share.report.clips import CLICK_SAMPLE, calibration
from stemsmith.share.report.content import (
    DataTable,
    Page,
    PageSection,
    StemPlayer,
    TableCell,
)

__all__ = ["check_page_path", "render_page"]

_HERE: Final = Path(__file__).parent
_BEGIN: Final = b"<!DOCTYPE html>"
_NUMBER: Final = re.compile(r"[-+\u2212]?[\d,.]*\d( ?(%|dB|LU|LUFS|h|s|Hz|BPM))?")
_NOTHING: Final = ("", "\N{EN DASH}")
_CONTROL: Final = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ufffe\uffff]")


def render_page(page: Page) -> str:
    """Return a page as one HTML document; the same page, the same text.

    Parameters
    ----------
    page : Page
        What it shows; see `stemsmith.share.report.content`.
    """
    style = (_HERE / "assets" / "page.css").read_text("utf-8")
    script = (_HERE / "assets" / "player.js").read_text("utf-8")
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_HERE / "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        finalize=_legible,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["trusted"] = _trusted
    environment.filters["number_columns"] = _number_columns
    environment.filters["shown"] = _shown
    environment.filters["settings"] = _player_settings
    environment.filters["anchor"] = _anchor
    environment.filters["base64"] = _base64
    sound = [player for section in page.sections for player in _players(section)]
    text = environment.get_template("page.html").render(
        page=page,
        style=_trusted(style),
        script=_trusted(script),
        script_hash=_base64(hashlib.sha256(script.encode()).digest()),
        clicks=_clicks(sound),
    )
    return text.lstrip()


def check_page_path(path: Path) -> None:
    """Check that a page can be written, before long work: a page is replaced, other files are not.

    Raises
    ------
    UsageError
        If its folder is not there or cannot be written into, or if it is a folder, or a file that
        is no page.
    """
    folder = path.absolute().parent
    if not folder.is_dir():
        raise UsageError(f"{path}: its folder is not there (--out)")
    if path.is_dir():
        raise UsageError(f"{path}: is a folder; name the file, such as {path / 'report.html'}")
    if not os.access(folder, os.W_OK):
        raise UsageError(f"{path}: nothing can be written into its folder (--out)")
    if path.exists():
        with path.open("rb") as file:
            if file.read(len(_BEGIN)) != _BEGIN:
                raise UsageError(f"{path}: is there already, and no page; choose another (--out)")


def _trusted(text: str) -> Markup:
    """Mark text of ours that is not to be escaped."""
    return Markup(text)


def _legible(value: Any) -> Any:
    """Return what an expression of a template gives, without what HTML cannot hold."""
    if not isinstance(value, str):
        return value
    text = value.encode("utf-8", "backslashreplace").decode()
    return type(value)(_CONTROL.sub("\N{REPLACEMENT CHARACTER}", text))


def _players(section: PageSection) -> Iterator[StemPlayer]:
    yield from (block for block in section.blocks if isinstance(block, StemPlayer))
    for inner in section.sections:
        yield from _players(inner)


def _clicks(players: Sequence[StemPlayer]) -> list[tuple[int, bytes]]:
    """Return the click of every rate that players have."""
    rates = {track.clip.sample_rate for player in players for track in player.tracks}
    return [(rate, calibration(rate)) for rate in sorted(rates)]


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _anchor(title: str, number: str) -> str:
    """Return the name of a section in addresses: its title as far as ASCII goes, and its number."""
    words = re.findall(r"[a-z0-9]+", title.lower())
    return "-".join([*words[:6], number])


def _shown(cell: TableCell) -> str:
    if cell is None:
        return ""
    if isinstance(cell, int):
        return f"{cell:,}"
    return f"{cell:.4g}" if isinstance(cell, float) else cell


def _number_columns(table: DataTable) -> list[bool]:
    """Tell of every column whether it holds numbers, which stand at the right."""
    return [
        all(map(_is_number, cells)) and any(cell is not None for cell in cells)
        for k in range(len(table.headings))
        for cells in [[row[k] for row in table.rows]]
    ]


def _is_number(cell: TableCell) -> bool:
    return not isinstance(cell, str) or cell in _NOTHING or _NUMBER.fullmatch(cell) is not None


def _player_settings(player: StemPlayer) -> Any:
    """Return what the script asks of a player, as JSON that can stand in a script element."""
    loudest = max((max(track.clip.waveform, default=0.0) for track in player.tracks), default=0.0)
    settings = {
        "mode": str(player.mode),
        "start": round(player.start_s, 3),
        "duration": round(max(track.clip.duration_s for track in player.tracks), 6),
        "click": CLICK_SAMPLE,
        "tracks": [
            {
                "rate": track.clip.sample_rate,
                "samples": track.clip.n_samples,
                "waveformHz": round(track.clip.waveform_hz, 4),
                "drums": track.is_drums,
                "waveform": [round(255 * v / loudest) if loudest else 0 for v in wave]
                if (wave := track.clip.waveform)
                else [],
                "notes": [
                    [
                        round(1000 * note.onset_s),
                        round(1000 * note.offset_s),
                        round(note.pitch, 2),
                        note.velocity,
                    ]
                    for note in track.notes
                ],
            }
            for track in player.tracks
        ],
    }
    text = json.dumps(settings, separators=(",", ":"))
    return _trusted(text.replace("<", "\\u003c"))  # ASCII alone: json escapes the rest
