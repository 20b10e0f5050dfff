"""`stemsmith banks`: soundfonts known to be good, where they are, and what banks they make."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from stemsmith.cli.options import Common, command, common_options
from stemsmith.render.sound.bank_names import GENERAL, INSTALLED

if TYPE_CHECKING:
    from stemsmith.render.sound.known_fonts import KnownFont

__all__ = ["banks"]


@command(
    "stemsmith banks",
    "stemsmith banks --json",
)
@common_options
def banks(common: Common) -> None:
    """List soundfonts that are known to be good, and say where they are on this machine.

    They are known by their SHA-256, and looked for in the files and folders that
    $STEMSMITH_SOUNDFONTS names and in the usual folders of the system. `--bank general` of render
    takes three of them and needs all three; `--bank installed` takes what is there, but for those
    that are for a patch bank of your own (YAML).
    """
    from stemsmith.cli.console import Summary, print_summary
    from stemsmith.render.sound.known_fonts import KNOWN, find_fonts, is_in_bank

    found = find_fonts(KNOWN)
    fonts: list[dict[str, Any]] = [
        {
            **_described(font),
            "banks": [name for name in (GENERAL, INSTALLED) if is_in_bank(font, name)],
            "path": str(found[font]) if font in found else None,
        }
        for font in KNOWN
    ]
    missing = [f["file"] for f in fonts if GENERAL in f["banks"] and f["path"] is None]
    if not common.is_json and not common.is_quiet:
        print("\n".join(map(_paragraph, fonts)))
    general = f"lacks {', '.join(missing)}" if missing else "is complete"
    n_found = len(found)
    values = {"n_found": n_found, "is_general_complete": not missing, "soundfonts": fonts}
    line = f"{n_found} of {len(fonts)} known soundfonts are here; --bank {GENERAL} {general}"
    print_summary(common, Summary(line, values))


def _described(font: KnownFont) -> dict[str, Any]:
    return {
        "name": font.name,
        "file": font.file,
        "n_bytes": font.n_bytes,
        "sha256": font.sha256,
        "licence": font.licence,
        "source": font.source,
        "adds": font.adds,
    }


def _paragraph(font: dict[str, Any]) -> str:
    megabytes = f"{font['n_bytes'] / 1e6:.0f} MB"
    return (
        f"{font['name']}: {font['file']}, {megabytes}, licence {font['licence']}\n"
        f"    {font['adds']}\n"
        f"    {font['path'] or 'not found'}; from: {font['source']}\n"
        f"    SHA-256 {font['sha256']}"
    )
