"""Checks that the built site loads nothing from elsewhere, and that its links lead somewhere.

Links that a reader may follow are fine; scripts, styles, pictures and fonts must lie in the site::

    python docs/site/check.py build/site
"""

from __future__ import annotations

import re
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Final

_LOADING: Final = {  # attributes by which a tag makes a browser fetch something
    "script": ("src",),
    "img": ("src", "srcset"),
    "source": ("src", "srcset"),
    "iframe": ("src",),
    "video": ("src", "poster"),
    "audio": ("src",),
    "embed": ("src",),
    "object": ("data",),
    "link": ("href",),
    "use": ("href", "xlink:href"),
}
_NO_FETCH: Final = {"canonical", "next", "prev", "edit", "alternate"}  # kinds of <link>
_IN_CSS: Final = re.compile(
    r"url\(\s*['\"]?((?:https?:)?//[^)'\"]+)|@import\s+['\"]?(https?:[^'\"]+)"
)


class _Page(HTMLParser):
    """Finds what a page makes a browser load, and where its links lead."""

    def __init__(self) -> None:
        super().__init__()
        self.loaded: list[str] = []
        self.links: list[str] = []
        self.names: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Look at one tag."""
        given = {name: value or "" for name, value in attrs}
        if name := given.get("id") or given.get("name"):
            self.names.add(name)
        if tag == "a" and given.get("href"):
            self.links.append(given["href"])
        if tag == "link" and set(given.get("rel", "").split()) & _NO_FETCH:
            return
        self.loaded += [given[key] for key in _LOADING.get(tag, ()) if given.get(key)]
        self.loaded += [found[0] or found[1] for found in _IN_CSS.findall(given.get("style", ""))]


def faults(site: Path) -> list[str]:
    """Return what is wrong with a site, a line each.

    Parameters
    ----------
    site : Path
        The folder that `mkdocs build` wrote.
    """
    pages = {path: _Page() for path in sorted(site.rglob("*.html"))}
    for path, page in pages.items():
        page.feed(path.read_text("utf-8"))
    found = [
        f"{path.relative_to(site)}: loads {address}"
        for path, page in pages.items()
        for address in page.loaded
        if re.match(r"(https?:)?//", address)
    ]
    for path in sorted(site.rglob("*.css")):
        for match in _IN_CSS.findall(path.read_text("utf-8")):
            found.append(f"{path.relative_to(site)}: loads {match[0] or match[1]}")
    for path, page in pages.items():
        if path.name == "404.html":  # which may be shown for any address
            continue
        for link in [*page.links, *page.loaded]:
            name, _, anchor = link.partition("#")
            if re.match(r"[a-z]+:|//", link):
                continue
            target = (path.parent / name).resolve() if name else path
            if not target.exists():
                found.append(f"{path.relative_to(site)}: {link} leads nowhere")
            elif anchor and target in pages and anchor not in pages[target].names:
                found.append(f"{path.relative_to(site)}: no {link}")
    return found


if __name__ == "__main__":
    lines = faults(Path(sys.argv[1]).resolve())
    print("\n".join(lines) or "nothing is loaded from elsewhere, and no link leads nowhere")
    sys.exit(bool(lines))
