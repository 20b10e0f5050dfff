"""`stemsmith gap`: how far a corpus is from real songs, and how loud groups are in these."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from stemsmith.cli.options import (
    LAYOUT_NAMES,
    LOCAL_PATH,
    SOURCE,
    Common,
    command,
    common_options,
    config_options,
    read_config,
)
from stemsmith.evaluate.realism.options import GapConfig

if TYPE_CHECKING:
    from stemsmith.evaluate.realism.fit import LevelFit
    from stemsmith.evaluate.realism.gap import Floor, Gap

__all__ = ["gap"]


@command(
    "stemsmith gap corpus musdb:musdb18hq --split train",
    "stemsmith gap corpus folder:songs --baseline corpus-mono",
    "stemsmith gap musdb:musdb18hq --fit levels.yaml",
    epilog=LAYOUT_NAMES,
)
@click.argument("datasets", nargs=-1, required=True, type=SOURCE, metavar="[CORPUS] REAL...")
@click.option(
    "--baseline",
    type=SOURCE,
    metavar="CORPUS",
    help="The same songs without an option: say whether it brings songs closer to REAL.",
)
@click.option(
    "--fit",
    "balance",
    type=LOCAL_PATH,
    metavar="FILE",
    help="Measure the levels of groups in REAL and write them for render --balance FILE.",
)
@config_options(GapConfig)
@common_options
def gap(
    datasets: tuple[str, ...],
    baseline: str | None,
    balance: Path | None,
    common: Common,
    **options: Any,
) -> None:
    """Measure how far the songs of CORPUS are from those of REAL: spectra, dynamics, width, levels.

    Both are corpora, LAYOUT:PATH such as musdb:PATH, folder:PATH with songs as PATH/SONG/STEM.wav,
    or package.module:function:PATH. Mixtures are drums, bass and other, and vocals where CORPUS has
    any. The floor is what halves of the real songs differ by, no artist in both. With --fit, all
    are REAL.
    """
    from stemsmith.cli.console import (
        Summary,
        Terminal,
        print_rejections,
        print_summary,
        print_table,
    )
    from stemsmith.evaluate.realism.workflow import fit_balance, measure_gap
    from stemsmith.manifests.errors import UsageError
    from stemsmith.manifests.storage import write_atomic

    config = read_config(GapConfig, options)
    how: dict[str, Any] = {
        "jobs": common.n_jobs,
        "scheduler": common.scheduler,
        "progress": Terminal(common),
    }
    are_tables_wanted = not common.is_json and not common.is_quiet
    if balance is not None:
        if baseline is not None or config.masters:
            raise UsageError("--fit measures real songs: not with --baseline or --masters")
        _check_free(balance)
        fit = fit_balance(datasets, config, **how)
        write_atomic(balance, fit.to_yaml().encode())
        print_rejections(common, list(fit.rejections))
        if are_tables_wanted:
            columns = ("group", "median LU", "mean LU", "sd LU", "songs", "artists")
            print_table("Levels against the sum", columns, _fit_rows(fit))
        line = f"{balance}: levels of {len(fit.groups)} groups, from {len(fit.songs)} songs"
        print_summary(common, Summary(line, {"balance": str(balance), "groups": fit.to_dict()}))
        return
    if len(datasets) < 2:
        raise UsageError("give a corpus and at least one set of real songs, or --fit FILE")
    corpus, *real = datasets
    found = measure_gap(corpus, real, config, baseline=baseline, **how)
    print_rejections(common, list(found.rejections))
    if are_tables_wanted:
        compared = ("", "corpus", "real", "difference", "floor", "floor from", "to")
        print_table("Against real songs", compared, _gap_rows(found))
        intervals = ("difference from real songs", "mean", "95 % from", "to")
        print_table("Intervals", intervals, _interval_rows(found))
        if found.paired:
            paired = ("distance to real songs", "with", "without", "difference", "95 % from", "to")
            print_table("Same songs with and without", paired, _paired_rows(found))
    print_summary(common, Summary(_line(found), found.to_dict()))


def _check_free(path: Path) -> None:
    """Refuse a file that is there and no balance, before anything is measured."""
    from stemsmith.manifests.errors import UsageError
    from stemsmith.mixing.level.balance import read_balance

    if not path.absolute().parent.is_dir():
        raise UsageError(f"{path}: its folder is not there")
    if path.exists():
        try:
            read_balance(path)
        except UsageError:
            raise UsageError(f"{path}: is there already, and no balance; choose another") from None


def _line(found: Gap) -> str:
    floor = found.spectra["mixture"].floor
    against = "no floor: songs of one artist" if floor is None else f"floor {floor.mean:.1f} dB"
    line = (
        f"{found.corpus[0]}: gap {found.gap_db:.1f} dB ({against}); {found.n_corpus} songs against "
        f"{found.n_real} of {found.n_artists} artists, mixtures of {', '.join(found.groups)}"
    )
    if found.paired:
        pair = found.paired["gap of mixture, dB"]
        low, high = pair.interval
        line += (
            f"; {pair.difference:+.2f} dB a song against the baseline "
            f"({low:+.2f} to {high:+.2f}, {pair.n_songs} songs)"
        )
    return line


def _gap_rows(found: Gap) -> list[tuple[str, ...]]:
    return [
        (name, _shown(corpus), _shown(real), _shown(difference, "+"), *_floor(floor))
        for name, corpus, real, difference, floor in found.rows()
    ]


def _interval_rows(found: Gap) -> list[tuple[str, ...]]:
    return [
        (name, *(_shown(value, "+") for value in (compared.difference, *compared.interval)))
        for name, compared in found.measures.items()
    ]


def _floor(floor: Floor | None) -> tuple[str, str, str]:
    if floor is None:
        return "", "", ""
    return _shown(floor.mean), _shown(floor.lowest), _shown(floor.highest)


def _paired_rows(found: Gap) -> list[tuple[str, ...]]:
    return [
        (
            name,
            _shown(pair.with_it),
            _shown(pair.without_it),
            _shown(pair.difference, "+"),
            _shown(pair.interval[0], "+"),
            _shown(pair.interval[1], "+"),
        )
        for name, pair in found.paired.items()
    ]


def _fit_rows(fit: LevelFit) -> list[tuple[str, ...]]:
    return [
        (
            group,
            _shown(levels.median_lu),
            _shown(levels.mean_lu),
            _shown(levels.sd_lu),
            str(levels.n_songs),
            str(levels.n_artists),
        )
        for group, levels in fit.groups.items()
    ]


def _shown(value: float | None, sign: str = "") -> str:
    return "" if value is None or math.isnan(value) else f"{value:{sign}.2f}"
