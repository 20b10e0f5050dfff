"""Take the pictures of docs/images: pages of what `stemsmith demo --train` made, in Chromium.

Usage: python docs/site/screenshots.py DEMO [docs/images]
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

import stemsmith
from playwright.sync_api import Page, sync_playwright
from stemsmith.share import write_report

FLAGS = ("--no-sandbox", "--disable-gpu", "--autoplay-policy=no-user-gesture-required")
SPLITS = ("train", "validation", "test")
DESKTOP, PHONE = {"width": 1280, "height": 900}, {"width": 390, "height": 844}
SMALL = {"width": 900, "height": 900}


class Picture(NamedTuple):
    """One picture: of which page, at which size, of which element, after which script."""

    name: str
    page: str
    size: dict[str, int]
    selector: str = ""
    script: str = ""
    scheme: str = "light"


PLAYER = "document.querySelectorAll('.player')[1].player"
PICTURES = (
    Picture("report", "demo", DESKTOP),
    Picture(
        "report-player",
        "demo",
        DESKTOP,
        ".player >> nth=1",
        f"{PLAYER}.show('notes'); {PLAYER}.seek(9); {PLAYER}.mute({PLAYER}.tracks[3])",
    ),
    Picture(
        "report-spectrogram",
        "demo",
        SMALL,
        ".player >> nth=1",
        f"(async () => {{ const p = {PLAYER}; await p.load(); p.show('spectrogram');"
        " p.setLoop(true, [8, 14]); })()",
        "dark",
    ),
    Picture("report-player-phone", "demo", PHONE, ".player >> nth=1"),
    Picture("report-instruments", "demo", DESKTOP, "section:has(> #instruments-1-3)"),
    Picture("report-run", "demo", DESKTOP, ".player[data-mode=switch] >> nth=0"),
    Picture("report-results", "results", DESKTOP, "section:has(> #scores-1-1)"),
    Picture("report-songs", "results", DESKTOP, "section:has(> #song-by-song-1-2)"),
    Picture("report-switch", "results", DESKTOP, ".player >> nth=0", "", "dark"),
    Picture("report-remix", "remix", DESKTOP, ".player >> nth=0"),
)


def main() -> None:
    """Make the pages and take the pictures."""
    demo = Path(sys.argv[1])
    images = Path(sys.argv[2] if len(sys.argv) > 2 else Path(__file__).parents[1] / "images")
    images.mkdir(parents=True, exist_ok=True)
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    with tempfile.TemporaryDirectory() as scratch, sync_playwright() as playwright:
        pages = _pages(demo, Path(scratch))
        browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        for picture in PICTURES:
            page = browser.new_page(viewport=picture.size, color_scheme=picture.scheme)  # type: ignore[arg-type]
            page.goto(pages[picture.page].absolute().as_uri())
            _take(page, picture, images / f"{picture.name}.png")
            page.close()
        browser.close()


def _pages(demo: Path, scratch: Path) -> dict[str, Path]:
    """Return the pages that pictures are of: the demo's, of a separated song, and of results."""
    songs = sorted((demo / "corpus" / "test").glob("*/mix.flac"))[:1]
    stemsmith.separate_files(demo / "run", songs, scratch / "separated", is_with_residual=True)
    results = [
        stemsmith.evaluate_system(
            system, demo / "corpus", scratch / name, splits=SPLITS, targets=("bass",), label=label
        )
        for name, system, label in (
            ("a", "mixture", "mixture"),
            ("b", f"run:{demo / 'run'}", ""),
            ("c", "oracle:irm", "oracle"),
        )
    ]
    return {
        "demo": demo / "report.html",
        "results": write_report([one.root for one in results], scratch / "results.html"),
        "remix": write_report(scratch / "separated", scratch / "remix.html"),
    }


def _take(page: Page, picture: Picture, path: Path) -> None:
    if picture.script:
        page.evaluate(picture.script)
    page.wait_for_timeout(500)
    shown: Any = page.locator(picture.selector) if picture.selector else page
    shown.screenshot(path=path)


if __name__ == "__main__":
    main()
