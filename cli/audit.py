"""`stemsmith audit`: check the stems of a corpus against their scores, by their sound."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click
from stemsmith.cli.options import SOURCE, Common, bank_options, command, common_options
from stemsmith.render.corpus.config import SOUND

if TYPE_CHECKING:
    from collections.abc import Iterator

    from stemsmith.render.audit.published import AuditedStem

__all__ = ["audit"]

_MOST_ROWS: Final = 40


@command(
    "stemsmith audit corpus",
    "stemsmith audit corpus --bank general --thorough -v",
    "stemsmith audit slakh:slakh2100/train --json",
)
@click.argument("source", type=SOURCE)
@bank_options(SOUND)
@click.option("--thorough", is_flag=True, help="Look more closely, which takes longer.")
@common_options
def audit(
    source: str,
    soundfonts: tuple[Path, ...],
    bank: str | Path | None,
    patches: Path | None,
    thorough: bool,
    common: Common,
) -> None:
    """Listen to every stem of SOURCE, and say where it is not what its score says.

    SOURCE is a corpus of songs, or slakh:PATH: any folder with track folders of Slakh's layout,
    such as Slakh2100 or BabySlakh. Stems of ours are laid beside their notes as the patch plays
    them alone, if it is at hand: of the default soundfont, or of what is named. Found are notes
    that are missing, doubled, late, hung or of wrong pitch, sound where none may be, dropouts,
    clipping, DC and noise; docs/quality.md says how well. With --json, all findings are listed;
    with -v, all are shown.
    """
    from stemsmith.cli.console import Summary, Terminal, print_summary, print_table
    from stemsmith.render.audit.rates import defect_rates
    from stemsmith.render.checking import audit_corpus

    stems = audit_corpus(
        source,
        soundfonts=soundfonts,
        bank=bank,
        patches=patches,
        thorough=thorough,
        jobs=common.n_jobs,
        scheduler=common.scheduler,
        progress=Terminal(common),
    )
    rows = [row for stem in stems for row in _rows(stem)]
    shown = rows if common.is_verbose else rows[:_MOST_ROWS]
    if shown and not common.is_json and not common.is_quiet:
        columns = ("stem", "defect", "from s", "to s", "size")
        more = f"; the first {len(shown)} of {len(rows)}, all with -v" * (len(shown) < len(rows))
        print_table(f"Defects{more}", columns, [tuple(row.values()) for row in shown])
    rates = defect_rates([stem.defects for stem in stems])
    kinds = ", ".join(f"{kind} in {found['n_stems']}" for kind, found in rates["kinds"].items())
    line = f"{source}: {rates['n_stems']} stems, {rates['n_defective']} with defects"
    values = {"source": source, "thorough": thorough, **rates, "defects": rows}
    print_summary(common, Summary(f"{line}: {kinds}" if kinds else line, values))


def _rows(stem: AuditedStem) -> Iterator[dict[str, Any]]:
    for defect in stem.defects:
        yield {
            "stem": stem.name,
            "kind": str(defect.kind),
            "start_s": round(defect.start / stem.sample_rate, 4),
            "end_s": round(defect.end / stem.sample_rate, 4),
            "size": round(defect.size, 4),
        }
