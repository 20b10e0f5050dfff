"""Draws the pictures of ``docs/concepts.md`` into ``docs/images``, as SVG.

Plain shapes, no font of their own, colours that are told apart by those who see few; run it after a
change::

    python docs/site/pictures.py
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Final

IMAGES: Final = Path(__file__).resolve().parents[1] / "images"
# Okabe and Ito's colours.
COLOURS: Final = {
    "piano": "#56B4E9",
    "bass": "#D55E00",
    "guitar": "#009E73",
    "drums": "#CC79A7",
    "mixture": "#555555",
}
_INK: Final = "#222222"
_PALE: Final = "#F4F4F4"


class Picture:
    """An SVG that grows; places and sizes are in pixels from the top left."""

    def __init__(self, width: int, height: int, title: str) -> None:
        self._parts = [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
            f'width="{width}" height="{height}" role="img" '
            'font-family="system-ui, sans-serif" font-size="14">',
            f"<title>{title}</title>",
            '<defs><marker id="tip" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="7" '
            f'markerHeight="7" orient="auto"><path d="M0 0L10 5L0 10z" fill="{_INK}"/></marker>'
            "</defs>",
            f'<rect width="{width}" height="{height}" fill="white"/>',
        ]

    def box(self, x: float, y: float, w: float, h: float, fill: str = _PALE) -> None:
        """Draw a box with round corners."""
        self._parts.append(
            f'<rect x="{x:g}" y="{y:g}" width="{w:g}" height="{h:g}" rx="6" fill="{fill}" '
            f'stroke="{_INK}" stroke-width="1.2"/>'
        )

    def text(
        self, x: float, y: float, text: str, *, size: int = 14, anchor: str = "start",
        bold: bool = False, fill: str = _INK, mono: bool = False,
    ) -> None:  # fmt: skip
        """Write a line."""
        weight = ' font-weight="600"' if bold else ""
        family = ' font-family="ui-monospace, monospace"' if mono else ""
        escaped = text.replace("&", "&amp;").replace("<", "&lt;")
        self._parts.append(
            f'<text x="{x:g}" y="{y:g}" font-size="{size}" text-anchor="{anchor}" '
            f'fill="{fill}"{weight}{family}>{escaped}</text>'
        )

    def arrow(self, x1: float, y1: float, x2: float, y2: float) -> None:
        """Draw an arrow."""
        self._parts.append(
            f'<line x1="{x1:g}" y1="{y1:g}" x2="{x2:g}" y2="{y2:g}" stroke="{_INK}" '
            'stroke-width="1.5" marker-end="url(#tip)"/>'
        )

    def bar(self, x: float, y: float, w: float, h: float, colour: str, opacity: float = 1) -> None:
        """Draw a filled bar."""
        self._parts.append(
            f'<rect x="{x:g}" y="{y:g}" width="{w:g}" height="{h:g}" rx="2" fill="{colour}" '
            f'fill-opacity="{opacity:g}"/>'
        )

    def wave(self, x: float, y: float, w: float, h: float, colour: str, seed: int) -> None:
        """Draw what a waveform looks like: an outline around the line y."""
        rng = random.Random(seed)
        n = int(w / 3)
        loud = [abs(math.sin(k * 0.11 + seed)) * rng.uniform(0.45, 1) for k in range(n + 1)]
        top = [f"{x + k * w / n:.1f} {y - v * h / 2:.1f}" for k, v in enumerate(loud)]
        low = [f"{x + k * w / n:.1f} {y + v * h / 2:.1f}" for k, v in enumerate(loud)]
        self._parts.append(f'<path d="M{"L".join([*top, *reversed(low)])}z" fill="{colour}"/>')

    def steps(self, x: float, y: float, w: float, h: float, values: Sequence[float]) -> None:
        """Draw a staircase above the line y: an envelope."""
        n = len(values)
        path = "".join(
            f"L{x + k * w / n:.1f} {y - v * h:.1f}L{x + (k + 1) * w / n:.1f} {y - v * h:.1f}"
            for k, v in enumerate(values)
        )
        self._parts.append(
            f'<path d="M{x:g} {y:g}{path}L{x + w:g} {y:g}" fill="none" stroke="{_INK}" '
            'stroke-width="1.5"/>'
        )

    def save(self, name: str) -> None:
        """Write the file."""
        text = "\n".join([*self._parts, "</svg>"]) + "\n"
        (IMAGES / f"{name}.svg").write_text(text, "utf-8")


def pipeline() -> None:
    """Draw the way from MIDI files to scores of separators."""
    p = Picture(900, 210, "From MIDI files to a corpus, mixtures, a trained run and results")
    steps = (
        ("MIDI files", "scores", "lakh/*.mid"),
        ("corpus", "songs, stems, labels", "corpus/"),
        ("mixtures", "recipes of clips", "mixtures/"),
        ("run", "a trained separator", "run/"),
        ("results", "SI-SDR, BSS Eval", "results/"),
    )
    commands = ("render", "mix", "train", "evaluate")
    for k, (name, what, folder) in enumerate(steps):
        x = 20 + 180 * k
        p.box(x, 60, 130, 84)
        p.text(x + 65, 86, name, anchor="middle", bold=True, size=16)
        p.text(x + 65, 108, what, anchor="middle", size=12)
        p.text(x + 65, 131, folder, anchor="middle", size=12, mono=True)
        if k < len(commands):
            p.arrow(x + 132, 102, x + 178, 102)
            p.text(x + 155, 50, commands[k], anchor="middle", mono=True, size=13)
    p.text(
        20,
        182,
        "Other data sets (musdb:PATH, ...) may be sources of mix and songs of evaluate.",
        size=13,
    )
    p.save("pipeline")


def song() -> None:
    """Draw what a song, a stem, a mixture and an envelope are."""
    p = Picture(900, 350, "A song: its parts become stems, whose sum is the mixture")
    p.text(20, 30, "score: all_src.mid", bold=True)
    p.text(235, 30, "stems: stems/S00.flac, ...", bold=True)
    p.text(640, 30, "mixture: mix.flac", bold=True)
    rng = random.Random(3)
    for k, name in enumerate(("piano", "bass", "guitar", "drums")):
        y = 70 + 55 * k
        colour = COLOURS[name]
        for _ in range(9):
            x = 20 + rng.uniform(0, 135)
            p.bar(x, y - 16 + rng.uniform(0, 26), rng.uniform(8, 24), 5, colour)
        p.arrow(180, y, 228, y)
        p.wave(235, y + 4, 300, 30, colour, k + 1)
        p.text(240, y - 16, f"S0{k} {name}", size=12, bold=True)
        p.arrow(545, y, 630, 152 + (y - 152) * 0.25)
    p.text(760, 215, "the exact sum of the stems", size=12, anchor="middle")
    p.wave(640, 152, 240, 90, COLOURS["mixture"], 9)
    p.text(20, 290, "envelope:", bold=True)
    p.text(20, 310, "power of each 100 ms", size=12)
    p.text(20, 328, "of a stem; mixing reads it,", size=12)
    p.text(20, 346, "not the audio", size=12)
    values = [abs(math.sin(0.5 * k + 1)) * rng.uniform(0.5, 1) for k in range(30)]
    p.steps(235, 340, 300, 55, values)
    p.save("song")


def recipe() -> None:
    """Draw a recipe and the audio that it stands for."""
    p = Picture(
        900, 300, "A recipe: which excerpts of which files, with which gain, make a mixture"
    )
    p.text(20, 28, "recipe: a row of mixtures-train-00000.parquet", bold=True)
    rows = (
        ("bass", "Track00007/stems/S01.flac", "from 31.4 s", "0.0 dB", "target"),
        ("piano", "Track00007/stems/S00.flac", "from 31.4 s", "0.0 dB", "interference"),
        ("drums", "Track00007/stems/S03.flac", "from 31.4 s", "0.0 dB", "interference"),
    )
    for k, (name, path, start, gain, role) in enumerate(rows):
        y = 46 + 56 * k
        p.box(20, y, 500, 44)
        p.bar(30, y + 10, 8, 24, COLOURS[name])
        p.text(50, y + 19, f"{name}: {role}", bold=True, size=13)
        p.text(50, y + 36, path, size=12, mono=True)
        p.text(330, y + 27, start, size=13)
        p.text(440, y + 27, gain, size=13)
        p.arrow(526, y + 22, 600, y + 22)
        p.wave(610, y + 22, 190, 36, COLOURS[name], k + 4)
    p.text(705, 228, "+", anchor="middle", bold=True, size=20)
    p.wave(610, 258, 190, 50, COLOURS["mixture"], 12)
    p.text(812, 263, "mixture", bold=True)
    p.text(20, 240, "It has the SHA-256 of each file, and what augmentations did:", size=13)
    p.text(20, 260, "the same audio can be made of it again, bit for bit.", size=13)
    p.text(20, 288, "mix --audio writes it at once, as WebDataset shards.", size=13)
    p.save("recipe")


def coherent() -> None:
    """Draw where the sources of coherent and of incoherent mixtures come from."""
    p = Picture(
        900, 380, "Coherent mixtures are one moment of one song; incoherent ones of several"
    )
    for panel, (heading, said) in enumerate(
        (
            ("coherent", "all stems of one song, at one moment, at their own levels"),
            ("incoherent", "each from any song and moment, equally loud"),
        )
    ):
        x0 = 20 + 450 * panel
        p.text(x0, 28, heading, bold=True, size=17)
        p.text(x0, 48, said, size=13)
        chosen = {}
        for row, track in enumerate(("Track00001", "Track00002", "Track00003")):
            y = 66 + 84 * row
            p.text(x0, y + 12, track, size=12, mono=True)
            for k, name in enumerate(("piano", "bass", "guitar", "drums")):
                p.bar(x0 + 90, y + 15 * k, 320, 11, COLOURS[name], 0.3)
                if panel == 0 and row == 1:
                    chosen[name] = (x0 + 230, y + 15 * k)
        if panel == 1:
            for k, (name, row, at) in enumerate(
                (("piano", 0, 150), ("bass", 2, 40), ("guitar", 1, 250), ("drums", 0, 30))
            ):
                chosen[name] = (x0 + 90 + at, 66 + 84 * row + 15 * k)
        for k, (name, (x, y)) in enumerate(chosen.items()):
            p.bar(x, y, 60, 11, COLOURS[name])
            p.bar(x0 + 230, 316 + 13 * k, 60, 11, COLOURS[name])
        p.text(x0 + 90, 340, "a mixture:", bold=True)
        p.text(x0 + 300, 340, "its sum", size=13)
    for k, name in enumerate(("piano", "bass", "guitar", "drums")):
        p.bar(20 + 150 * k, 362, 14, 12, COLOURS[name])
        p.text(40 + 150 * k, 373, name, size=13)
    p.save("coherent")


def renditions() -> None:
    """Draw how few stems make many renditions."""
    p = Picture(
        900, 330, "Renditions: every distinct stem is rendered once; a rendition names stems"
    )
    p.text(20, 28, "score", bold=True)
    p.box(20, 120, 120, 70)
    p.text(80, 150, "chorale", anchor="middle", bold=True)
    p.text(80, 170, "2 parts", anchor="middle", size=12)
    p.text(220, 28, "distinct stems: part, tempo, timbre, dynamic", bold=True)
    stems = [
        ("violin", "80 BPM, p", "#0072B2"), ("violin", "80 BPM, f", "#56B4E9"),
        ("cello", "80 BPM, p", "#D55E00"), ("cello", "80 BPM, f", "#E69F00"),
    ]  # fmt: skip
    places = []
    for k, (name, factors, colour) in enumerate(stems):
        y = 62 + 62 * k
        p.arrow(144, 155, 212, y)
        p.box(220, y - 22, 220, 44)
        p.bar(230, y - 12, 8, 24, colour)
        p.text(248, y - 3, name, bold=True, size=13)
        p.text(248, y + 14, factors, size=12)
        p.wave(335, y, 92, 30, colour, k + 2)
        places.append((440, y, colour))
    p.text(600, 28, "renditions: stems, shifts, gains", bold=True)
    for k, (one, other, shift) in enumerate(((0, 2, 0), (0, 3, 16), (1, 2, 0), (1, 3, 16))):
        y = 62 + 62 * k
        p.box(600, y - 22, 280, 44)
        p.text(612, y + 5, f"Track00001-{k}", size=12, mono=True)
        for row, (stem, moved) in enumerate(((one, 0), (other, shift))):
            p.bar(730 + moved, y - 14 + 16 * row, 110, 12, places[stem][2])
            x, from_y, _ = places[stem]
            p.arrow(x + 4, from_y, 594, y - 8 + 16 * row)
    p.text(
        20,
        318,
        "4 stems of 2 parts, 4 of 16 renditions; 400 of a four-part chorale need 36 stems.",
        size=13,
    )
    p.save("renditions")


if __name__ == "__main__":
    IMAGES.mkdir(exist_ok=True)
    for draw in (pipeline, song, recipe, coherent, renditions):
        draw()
