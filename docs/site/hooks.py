"""What the site adds to the pages of ``docs/``: README as its home, help texts, and notebooks.

MkDocs calls these functions. Pages link to each other as the files lie in the repository, so that
they can be read there too; links out of ``docs/`` become links to the pages made here.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Final

import click
import jupytext
from mkdocs.structure.files import File, Files
from stemsmith.cli.main import main

ROOT: Final = Path(__file__).resolve().parents[2]
_HOMES: Final = {  # of files in the root of the repository
    "README.md": "index.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
}
_LINK: Final = re.compile(r"\]\((?!https?:|#|mailto:)([^)\s]+)\)")
_HELP: Final = "<!-- the help of every command -->"
_WIDTH: Final = 90


def on_files(files: Files, config: Any) -> Files:
    """Add the pages that are made of other files."""
    for name, page in _HOMES.items():
        text = (ROOT / name).read_text("utf-8")
        files.append(File.generated(config, page, content=_from_the_root(text)))
    for path in sorted((ROOT / "docs" / "notebooks").glob("*.py")):
        text = jupytext.writes(jupytext.read(path), fmt="md")
        text = re.sub(r"\A---\n.*?\n---\n", "", text, flags=re.S)
        files.append(File.generated(config, f"notebooks/{path.stem}.md", content=text.strip()))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Files) -> str:
    """Let links lead to pages of the site, and put in what commands say of themselves."""
    if _HELP in markdown:
        markdown = markdown.replace(_HELP, _help_texts())

    def led(match: re.Match[str]) -> str:
        target, hash_, anchor = match[1].partition("#")
        if target.startswith("notebooks/"):
            return f"]({target.removesuffix('.py')}.md)"
        if not target.startswith("../"):
            return match[0]
        name = target.removeprefix("../")
        return f"]({_HOMES[name]}{hash_}{anchor})" if name in _HOMES else match[0]

    return _LINK.sub(led, markdown)


def _from_the_root(text: str) -> str:
    """Return a text whose links are those of a file in ``docs/``."""

    def led(match: re.Match[str]) -> str:
        target, hash_, anchor = match[1].partition("#")
        if target in _HOMES:
            return f"]({_HOMES[target]}{hash_}{anchor})"
        return f"]({target.removeprefix('docs/')}{hash_}{anchor})"

    return _LINK.sub(led, text)


def _help_texts() -> str:
    return "\n\n".join(
        f"### {name}\n\n```text\n{_help_of(name, command)}\n```"
        for name, command in main.commands.items()
    )


def _help_of(name: str, command: click.Command) -> str:
    context = click.Context(
        command, info_name=f"stemsmith {name}", terminal_width=_WIDTH, max_content_width=_WIDTH
    )
    return command.get_help(context)
