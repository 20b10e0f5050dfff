"""Several seeds of one system, groups of songs, and a comparison that was declared beforehand."""

from __future__ import annotations

import csv
import io
import json
import math
import subprocess
from collections.abc import Callable
from itertools import chain, product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from stemsmith.evaluate.benchmark.results import Results
from stemsmith.manifests.errors import UsageError
from stemsmith.share import compare_results
from stemsmith.share.compare.comparison import compare_systems
from stemsmith.share.compare.seeds import joined_songs, mean_over_seeds, pool_seeds
from stemsmith.share.compare.systems import ScoredSystem, system_of_results
from stemsmith.share.compare.tables import remarks_of, to_csv, to_latex, to_markdown

Make = Callable[..., Path]
Command = Callable[..., subprocess.CompletedProcess[str]]
ARTISTS = {"s0": "x", "s1": "x", "s2": "y", "s3": "z", "s4": "z", "s5": "w"}


def system(folder: Path) -> ScoredSystem:
    return system_of_results(Results(folder))


@pytest.fixture
def folders(make_results: Make) -> list[Path]:
    """Return two seeds of gm, of its null arm, and of the best."""
    base = [1, 2, 3, 4, 5, 6]
    shifts = {"gm": (-0.5, 0.5), "gm again": (0.1, 0.3), "best": (1.5, 2.5)}
    return [
        make_results(
            f"{label}-{seed}", {"bass": [b + s for b in base], "drums": base}, system=label
        )
        for label, of_label in shifts.items()
        for seed, s in enumerate(of_label)
    ]


def test_the_mean_over_seeds_is_taken_song_by_song(make_results: Make) -> None:
    a = make_results("a", {"bass": [1, 2, 9]}, system="gm")
    b = make_results("b", {"bass": [3, 8]}, system="gm", rejected=["s2"])
    pooled = mean_over_seeds([system(a), system(b)])
    assert pooled.values["bass", "SI-SDR"] == {"s0": 2.0, "s1": 5.0}
    assert [seed["bass", "SI-SDR"]["s1"] for seed in pooled.seeds] == [2.0, 8.0]
    assert set(pooled.parts) == {"s0", "s1"} and pooled.name == "gm"
    assert pooled.rejected == {"s2": "no-estimate"}
    assert mean_over_seeds([system(a)]).seeds == ()
    with pytest.raises(UsageError, match="given twice as seeds of gm"):
        mean_over_seeds([system(a), system(a)])


def test_infinite_scores_of_seeds(make_results: Make) -> None:
    a = make_results("a", {"bass": [math.inf, -math.inf, 1]}, system="gm")
    b = make_results("b", {"bass": [-math.inf, -math.inf, 2]}, system="gm")
    values = mean_over_seeds([system(a), system(b)]).values["bass", "SI-SDR"]
    assert math.isnan(values["s0"]) and values["s1"] == -math.inf and values["s2"] == 1.5


def test_results_of_one_label_are_seeds_where_that_is_said(folders: list[Path]) -> None:
    assert len(compare_results(folders).systems) == 6
    (table,) = compare_results(folders, are_seeds=True).tables
    bass = table.columns[0]
    assert bass.values["best"] == (3, 4, 5, 6, 7, 8)
    assert bass.seeds["best"] == (5.0, 6.0) and bass.seeds["gm"] == (3.0, 4.0)
    row = table.differences[1]
    assert (row.system, row.difference, row.n) == ("best", 2.0, 6)
    # Two trainings on either side, each pair one apart: variances 1/2, over two.
    assert row.training_se == pytest.approx(math.sqrt(0.5 / 2 + 0.5 / 2))
    text = to_markdown(compare_results(folders, are_seeds=True))
    assert "| best | 5.00, 6.00; sd 0.71 | 3.50, 3.50; sd 0.00 |" in text
    assert ", training 0.71" in text


def test_songs_of_several_data_sets_are_joined(make_results: Make) -> None:
    one = {"dataset": "recordings", "songs": ["r0", "r1"], "system": "gm"}
    other = {"dataset": "sequenced", "songs": ["q0"], "system": "gm"}
    rows = [("a", [1, 2], one), ("b", [3, 4], one), ("c", [5], other), ("d", [7], other)]
    made = [system(make_results(name, {"bass": v}, **changes)) for name, v, changes in rows]
    (pooled,) = pool_seeds(made)
    assert pooled.values["bass", "SI-SDR"] == {"r0": 2.0, "r1": 3.0, "q0": 6.0}
    assert [seed["bass", "SI-SDR"]["q0"] for seed in pooled.seeds] == [5.0, 7.0]
    assert pooled.dataset == "recordings + sequenced"
    with pytest.raises(UsageError, match="r0 is scored in"):
        joined_songs("gm", made[:2])
    with pytest.raises(UsageError, match="not as many seeds"):
        pool_seeds(made[:3])


def test_intervals_and_tests_are_of_artists(folders: list[Path]) -> None:
    found = compare_results(folders, are_seeds=True, groups=ARTISTS, is_tested=True)
    (table,) = found.tables
    assert (table.columns[0].n_groups, len(table.columns[0].songs)) == (4, 6)
    row = table.differences[1]
    assert (row.n, row.n_groups, row.difference, row.p) == (6, 4, 2.0, 2 / 16)
    artists = [[1, 2], [3], [4, 5], [6]]  # the scores of gm; each of 256 draws is as likely
    means = [np.mean([*chain(*drawn)]) for drawn in product(artists, repeat=4)]
    expected = np.quantile(means, [0.025, 0.975], method="inverted_cdf")
    assert table.columns[0].summaries["gm"].mean_interval == pytest.approx(expected)
    text = to_markdown(found)
    assert "| system | bass (6 songs, 4 artists) |" in text
    assert "p: permutation of signs over artists, two-sided, corrected by Holm for 4" in text
    assert "* SI-SDR of bass: 6 songs, 4 artists: no p is below 0.125, whatever" in text


def test_two_artists_have_numbers_alone(make_results: Make) -> None:
    a, b = make_results("a", {"bass": [1, 2, 3]}), make_results("b", {"bass": [2, 4, 6]})
    found = compare_results([a, b], groups={"s0": "x", "s1": "x", "s2": "y"}, is_tested=True)
    (row,) = found.tables[0].differences
    assert (row.difference, row.n, row.n_groups, row.p, row.p_holm) == (2.0, 3, 2, None, None)
    text = to_markdown(found)
    assert "| b minus a | +2.00 |" in text and "| b | 4.00 |" in text
    assert "* SI-SDR of bass: 3 songs, 2 artists: no interval and no test" in text
    assert "nan" not in text + to_latex(found) + to_csv(found)
    json.dumps(found.to_dict(), allow_nan=False)


def test_a_primary_comparison_is_not_corrected_and_the_others_are_exploratory(
    folders: list[Path],
) -> None:
    how: dict[str, Any] = {"are_seeds": True, "groups": ARTISTS}
    found = compare_results(folders, **how, primary=("best", "gm again", "bass"))
    assert found.is_tested
    rows = found.tables[0].differences
    (primary,) = [row for row in rows if row.is_primary]
    assert (primary.system, primary.baseline, primary.target) == ("best", "gm again", "bass")
    assert (primary.p, primary.p_holm) == (2 / 16, None)
    assert {row.p_holm for row in rows if row.target == "bass" and not row.is_primary} == {5 / 8}
    text = to_markdown(found)
    assert "**SI-SDR [dB]: primary comparison, mean of the differences" in text
    assert "| best minus gm again | +1.80 [+1.80, +1.80], p 0.125, training 0.51 |" in text
    assert "not corrected, since it was declared before there were scores" in text
    assert "**SI-SDR [dB]: exploratory, mean" in text and "corrected by Holm for 5" in text
    cells = list(csv.DictReader(io.StringIO(to_csv(found))))
    kinds = [row["kind"] for row in cells if row["baseline"]]
    assert sorted(kinds) == ["exploratory"] * 5 + ["primary"]
    both = compare_results(folders, **how, pairs="all", primary=("gm", "best", "bass"))
    pairs = {(r.system, r.baseline) for r in both.tables[0].differences if r.target == "bass"}
    assert ("gm", "best") in pairs and ("best", "gm") not in pairs


def test_what_the_design_can_see_is_printed(folders: list[Path]) -> None:
    many = {song: song for song in ARTISTS}
    found = compare_results(folders, are_seeds=True, groups=many, null=("gm again", "gm"), aim=1)
    bass, drums = found.tables[0].visible
    assert (bass.null_difference, bass.n_seeds, bass.training_df) == (pytest.approx(0.2), 2, 4)
    assert drums.visible == 0.0 and drums.n_seeds_needed == 1
    text = to_markdown(found)
    assert "| null arm: gm again minus gm | +0.20 [+0.20, +0.20] | +0.00" in text
    assert "| seeds to see 1 |" in text and "(2 seeds)" in text
    assert "seen trained anew" in to_csv(found)
    json.dumps(found.to_dict(), allow_nan=False)
    few = compare_results(folders, are_seeds=True, groups=ARTISTS, null=("gm again", "gm"))
    assert "| seen, trained anew | - (2 seeds) |" in to_markdown(few)


def test_medians_have_no_smallest_difference(make_results: Make) -> None:
    a, b = make_results("a", {"bass": [1, 2]}, "SDR"), make_results("b", {"bass": [2, 3]}, "SDR")
    found = compare_results([a, b], null=("b", "a"))
    assert found.tables[0].visible == ()
    assert "what the design sees of SDR is not known: it is averaged by medians" in remarks_of(
        found
    )


def test_folds_are_by_artist_or_it_is_said(make_results: Make) -> None:
    folds = {"s0": 1, "s1": 2, "s2": 2, "s3": 1}
    a = make_results("a", {"bass": [1, 2, 3, 4]}, folds=folds, n_folds=2)
    b = make_results("b", {"bass": [2, 3, 4, 5]})
    with pytest.raises(UsageError, match="songs in other folds"):
        compare_results([a, b])
    groups = {"s0": "x", "s1": "x", "s2": "y", "s3": "z"}
    found = compare_results([a, b], groups=groups)
    assert found.tables[0].differences[0].n == 4
    assert found.notes[0].startswith("a: songs of x are in several folds")
    by_artist = {**groups, "s1": "y"}
    assert compare_results([a, b], groups=by_artist).notes == ()


def test_what_makes_no_sense_is_one_line(
    folders: list[Path], tmp_path: Path, here: Command
) -> None:
    table = tmp_path / "artists.csv"
    table.write_text('song,artist\ns0,"X, the one"\n')
    cases: list[tuple[list[object], str]] = [
        (["--groups", table], "names no artist of s1, which has scores"),
        (["--groups", tmp_path / "none"], "cannot be read"),
        (["--primary", "best", "nobody", "bass"], "--primary nobody: no system; there are gm, gm"),
        (["--primary", "gm", "gm", "bass"], "--primary gm: given twice"),
        (["--primary", "best", "gm", "kazoo"], "--primary kazoo: no target in common"),
        (["--null", "gm", "nobody"], "--null nobody: no system"),
        (["--aim", "0"], "--aim 0.0: must be above 0"),
    ]
    for options, complaint in cases:
        done = here("compare", *folders, "--seeds", *options)
        assert done.returncode == 2 and complaint in done.stderr, (options, done.stderr)
        assert done.stderr.strip().count("\n") == 0


def test_the_command_takes_seeds_and_artists(
    folders: list[Path], tmp_path: Path, here: Command
) -> None:
    table = tmp_path / "artists.csv"
    rows = [f'{song},"{artist}, the band"' for song, artist in ARTISTS.items()]
    table.write_text("\n".join(["song,artist", *rows, "unknown,somebody"]))
    options = ("--seeds", "--groups", table, "--primary", "best", "gm", "bass", "--json")
    done = here("compare", *folders, *options)
    assert done.returncode == 0, done.stderr
    (found,) = json.loads(done.stdout)["tables"]
    assert found["columns"][0]["groups"][0] == "x, the band"
    assert sum(row["is_primary"] for row in found["differences"]) == 1


def test_one_metric_is_primary(make_results: Make) -> None:
    a, b = (system(make_results(name, {"bass": [1, 2]})) for name in "ab")
    c, d = (system(make_results(name, {"bass": [1, 2]}, "SNR")) for name in "cd")
    both = []
    for one, other in ((a, c), (b, d)):
        metrics = {**one.metrics, **other.metrics}
        values = {**one.values, **other.values}
        both.append(ScoredSystem(
            one.name, one.source, "", None, None, False, metrics, one.parts, values, {}
        ))  # fmt: skip
    with pytest.raises(UsageError, match="--primary: is of one metric; choose it of SI-SDR, SNR"):
        compare_systems(both, primary=("b", "a", "bass"))
