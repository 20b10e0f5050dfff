"""Comparisons of stored scores: which songs count, what is left out, and how it is written."""

from __future__ import annotations

import csv
import io
import json
import math
import subprocess
import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from stemsmith.evaluate.benchmark.results import Results
from stemsmith.manifests.errors import InvalidCorpus, UsageError
from stemsmith.share import compare_results
from stemsmith.share.compare.plot import comparison_plot
from stemsmith.share.compare.systems import SongKind
from stemsmith.share.compare.tables import remarks_of, to_csv, to_latex, to_markdown

NAN, INF = math.nan, math.inf
Make = Callable[..., Path]
Command = Callable[..., subprocess.CompletedProcess[str]]


def one_line(done: subprocess.CompletedProcess[str], code: int, *texts: str) -> None:
    assert done.returncode == code, (done.stdout, done.stderr)
    assert done.stderr.startswith("Error: ") and done.stderr.count("\n") == 1, done.stderr
    for text in texts:
        assert text in done.stderr, (text, done.stderr)


def test_means_and_differences_are_of_the_same_songs(make_results: Make) -> None:
    a = make_results("a", {"bass": [1, 2, 6, 50], "drums": [0, 0, 0, 0]})
    b = make_results("b", {"bass": [2, 4, 9]})
    found = compare_results([a, Results(b)], is_tested=True)
    assert found.systems == ("a", "b")
    (table,) = found.tables
    assert table.part is SongKind.TEST
    (bass,) = table.columns  # drums are of one system alone
    assert bass.songs == ("s0", "s1", "s2") and bass.n_left_out == 0
    assert bass.values == {"a": (1, 2, 6), "b": (2, 4, 9)}
    assert (bass.summaries["a"].mean, bass.summaries["b"].mean) == (3, 5)
    (row,) = table.differences
    assert (row.system, row.baseline, row.n, row.difference) == ("b", "a", 3, 2.0)
    assert row.interval == (1.0, 3.0)
    assert (row.p, row.p_holm) == (0.25, 0.25)
    ((left_out),) = found.left_out
    assert (left_out.reason, left_out.songs) == ("not scored in b", ("s3",))


def test_each_table_is_corrected_for_all_its_differences(make_results: Make) -> None:
    values = [[0.0] * 6, [1, 2, 3, 4, 5, 6], [1, -2, 3, 4, -5, 6]]
    folders = [
        make_results(name, {"bass": of_songs, "drums": of_songs})
        for name, of_songs in zip("abc", values, strict=True)
    ]
    rows = compare_results(folders, is_tested=True).tables[0].differences
    assert [(r.target, r.system, r.baseline) for r in rows] == [
        ("bass", "b", "a"), ("bass", "c", "a"), ("drums", "b", "a"), ("drums", "c", "a"),
    ]  # fmt: skip
    assert [row.p for row in rows] == [2 / 64, rows[1].p, 2 / 64, rows[1].p]
    assert [row.p_holm for row in rows[::2]] == [8 / 64, 8 / 64]
    pairs = compare_results(folders, pairs="all").tables[0].differences
    assert [(r.system, r.baseline, r.p) for r in pairs[:3]] == [
        ("b", "a", None), ("c", "a", None), ("c", "b", None),
    ]  # fmt: skip


def test_medians_of_frames_are_compared_by_medians(make_results: Make) -> None:
    a = make_results("a", {"bass": [1, 2, 9]}, "SDR")
    b = make_results("b", {"bass": [2, 2, 4]}, "SDR")
    (table,) = compare_results([a, b]).tables
    assert table.metric.average == "median"
    assert table.differences[0].difference == 0.0  # of 1, 0 and -5
    text = to_markdown(compare_results([a, b]))
    assert "SDR [dB]: median of the differences of the same test songs" in text


def test_what_has_no_score_is_counted_and_silence_is_not_forgotten(make_results: Make) -> None:
    a = make_results("a", {"bass": [1, NAN, 3, -INF]})
    b = make_results("b", {"bass": [2, 5, -INF, -INF]})
    found = compare_results([a, b])
    (column,) = found.tables[0].columns
    assert (column.songs, column.n_left_out) == (("s0", "s2", "s3"), 1)
    assert found.tables[0].differences[0].difference == -INF
    assert "left out of SI-SDR of bass, test songs: 1 without" in "\n".join(remarks_of(found))
    json.dumps(found.to_dict(), allow_nan=False)
    assert "-inf [-inf, " in to_markdown(found)


def test_songs_that_were_rejected_are_named_with_the_reason(make_results: Make) -> None:
    a = make_results("a", {"bass": [1, 2, 3]})
    b = make_results("b", {"bass": [1, 2]}, rejected=["s2", "s7"])
    found = compare_results([a, b])
    assert {row.songs: row.reason for row in found.left_out} == {
        ("s2",): "no-estimate in b",
        ("s7",): "no-estimate in b; not scored in a",
    }


def test_folds_are_averaged_and_are_what_is_drawn(make_results: Make) -> None:
    folds = {"s0": 1, "s1": 1, "s2": 2}
    changes: dict[str, Any] = {"folds": folds, "n_folds": 2}
    a = make_results("a", {"bass": [0, 0, 0]}, **changes)
    b = make_results("b", {"bass": [1, 3, 6]}, **changes)
    (table,) = compare_results([a, b], is_tested=True).tables
    assert "mean over 2 folds of the mean over songs" in table.title
    assert table.columns[0].summaries["b"].mean == 4.0
    (row,) = table.differences
    assert (row.n, row.difference, row.interval) == (2, 4.0, (2.0, 6.0))
    c = make_results("c", {"bass": [1, 3, 6]}, folds={"s0": 2, "s1": 1, "s2": 2}, n_folds=2)
    for other in (c, make_results("d", {"bass": [1, 2, 3]})):
        with pytest.raises(UsageError, match="songs in other folds"):
            compare_results([a, other])


def test_metrics_that_differ_or_are_of_one_system_are_left_out(make_results: Make) -> None:
    a = make_results("a", {"bass": [1, 2]})
    other = make_results("b", {"bass": [1, 2]}, metrics={"si_sdr_rate": 8000, "bss": None})
    with pytest.raises(UsageError, match="mono at 16000 Hz in a and mono at 8000 Hz in b"):
        compare_results([a, other])
    sdr = make_results("c", {"bass": [1, 2]}, "SDR")
    with pytest.raises(UsageError, match="no metric in common: SI-SDR is left out: c without it"):
        compare_results([a, sdr])
    with pytest.raises(UsageError, match="--metric SNR: not common to all; there are SI-SDR"):
        compare_results([a], metrics=["SNR"])
    assert compare_results([a], metrics=["si-sdr"]).tables[0].metric.name == "SI-SDR"
    with pytest.raises(UsageError, match="--target kazoo: not common"):
        compare_results([a], targets=["kazoo"])


def test_training_songs_and_test_songs_have_tables_of_their_own(make_results: Make) -> None:
    names = ["Al James - Schoolboy Facination", "Actions - Devil's Words"]
    changes: dict[str, Any] = {"songs": names, "splits": ["test", "train"]}
    a = make_results("a", {"bass": [1, 2]}, **changes)
    b = make_results("b", {"bass": [3, 5]}, **changes)
    tables = compare_results([a, b]).tables
    assert [(t.part, t.columns[0].songs) for t in tables] == [
        (SongKind.TEST, (names[0],)),
        (SongKind.TRAINING, (names[1],)),
    ]
    assert tables[1].title.endswith("; training songs")
    c = make_results("c", {"bass": [1]}, splits=["validation"])
    assert compare_results([c]).tables[0].part is SongKind.TRAINING
    d = make_results("d", {"bass": [1]}, splits=["test", "train"])
    (table,) = compare_results([d]).tables
    assert table.part is SongKind.UNKNOWN and table.title.endswith("mean over songs")


def test_systems_of_one_name_are_told_apart(make_results: Make) -> None:
    folders = [make_results(name, {"bass": [1]}, system="mixture") for name in "ab"]
    assert compare_results(folders).systems == tuple(f"mixture ({path})" for path in folders)


def test_songs_of_other_data_sets_are_mentioned(make_results: Make) -> None:
    a = make_results("a", {"bass": [1]})
    b = make_results("b", {"bass": [1]}, dataset="elsewhere")
    assert compare_results([a, b]).notes == (
        "songs are matched by name, and are those of corpus, elsewhere",
    )


def test_what_cannot_be_compared_is_one_line(
    make_results: Make, tmp_path: Path, here: Command
) -> None:
    a = make_results("a", {"bass": [1, 2]})
    one_line(here("compare"), 2, "nothing to compare: give folders of results, or --public FILE")
    one_line(here("compare", a, tmp_path / "." / "a"), 2, "given twice")
    one_line(here("compare", tmp_path), 1, "not results of `evaluate`; did you mean")
    b = make_results("b", {"bass": [1]}, songs=["elsewhere"])
    described = "a has 2 test songs (s0, ...), b has 1 test song (elsewhere, ...)"
    one_line(here("compare", a, b), 2, "no song in common", described)
    c = make_results("c", {"bass": [1]}, taxonomy="slakh")
    one_line(here("compare", a, c), 2, "of the taxonomy slakh", "evaluate with one --taxonomy")
    d = make_results("d", {"drums": [1]})
    one_line(here("compare", a, d), 2, "no target in common: a has bass; d has drums")
    e = make_results("e", {"bass": [NAN, NAN]})
    one_line(here("compare", a, e), 2, "no song in common with scores: a has 2 test songs")
    one_line(here("compare", a, "--method", "X"), 2, "--method X: names a system of --public")
    one_line(here("compare", a, "--csv", tmp_path / "no" / "x.csv"), 2, "its folder is not there")
    one_line(here("compare", a, "--plot", tmp_path / "x.png"), 2, "call it x.svg")
    twice = ("--csv", tmp_path / "x", "--latex", tmp_path / "x")
    one_line(here("compare", a, *twice), 2, "one file for two things")
    (a / "scores.parquet").write_bytes(b"PAR1")
    one_line(here("compare", a), 1, "scores.parquet")


@pytest.mark.parametrize("option", ["--markdown", "--latex", "--csv", "--plot"])
def test_only_files_of_earlier_comparisons_are_replaced(
    make_results: Make, tmp_path: Path, here: Command, option: str
) -> None:
    a, b = make_results("a", {"bass": [1, 2]}), make_results("b", {"bass": [2, 3]})
    mine = tmp_path / "out.svg"
    mine.touch()
    for arguments in ((a, b), (b, a), (a, b)):
        before = mine.read_bytes()
        assert here("compare", *arguments, option, mine).returncode == 0
        assert mine.read_bytes() not in (b"", before)
    theirs = mine if option != "--plot" else tmp_path / "theirs.svg"
    theirs.write_text('{"stage": "corpus"}')
    one_line(here("compare", a, option, theirs), 2, f"{theirs}: is there already")
    assert theirs.read_text() == '{"stage": "corpus"}'
    folder = tmp_path / "folder.svg"
    folder.mkdir()
    one_line(here("compare", a, option, folder), 2, "is a folder")


def test_the_command_prints_and_writes_one_comparison(
    make_results: Make, tmp_path: Path, here: Command
) -> None:
    a = make_results("a", {"bass": [1, 2, 6]}, system="as|it is_&")
    b = make_results("b", {"bass": [2, 4, 9]})
    files = {name: tmp_path / f"out.{name}" for name in ("csv", "latex", "markdown")}
    options = [word for name, path in files.items() for word in (f"--{name}", path)]
    options += ["--plot", tmp_path / "out.svg", "--test"]
    done = here("compare", a, b, *options)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "2 systems on 3 songs by SI-SDR; 0 left out"
    assert files["markdown"].read_text() in done.stdout
    lines = done.stdout.splitlines()
    assert lines[2:6] == [
        "| system | bass (3) |",
        "| --- | --: |",
        "| as\\|it is_& | 3.00 [1.00, 6.00] |",
        "| b | 5.00 [2.00, 9.00] |",
    ]
    assert "| b minus as\\|it is_& | +2.00 [+1.00, +3.00], p 0.250 |" in lines
    assert "corrected by Holm for 1 comparison." in done.stdout
    latex = files["latex"].read_text()
    assert r"as\textbar{}it is\_\& & 3.00 [1.00, 6.00] \\" in latex
    assert latex.count(r"\begin{tabular}{lr}") == latex.count(r"\end{tabular}") == 2
    rows = list(csv.DictReader(io.StringIO(files["csv"].read_text())))
    assert [(r["system"], r["baseline"], r["statistic"], r["value"]) for r in rows] == [
        ("as|it is_&", "", "mean", "3"), ("as|it is_&", "", "median", "2"),
        ("b", "", "mean", "5"), ("b", "", "median", "4"),
        ("b", "as|it is_&", "mean difference", "2"),
    ]  # fmt: skip
    assert (rows[-1]["p"], rows[-1]["p_holm"], rows[0]["p"]) == ("0.25", "0.25", "")
    drawn = ET.fromstring((tmp_path / "out.svg").read_text())
    assert "bass" in "".join(drawn.itertext())
    again = {path: path.read_bytes() for path in tmp_path.glob("out.*")}
    assert here("compare", a, b, *options).returncode == 0
    assert {path: path.read_bytes() for path in tmp_path.glob("out.*")} == again
    printed = json.loads(here("compare", a, b, "--json").stdout)
    assert printed["tables"][0]["columns"][0]["values"]["b"] == [2, 4, 9]
    assert here("compare", a, "--plot", tmp_path / "one.svg", "-q").returncode == 0
    assert "as|it is_&" in "".join(ET.parse(tmp_path / "one.svg").getroot().itertext())


def test_many_systems_are_rows_of_the_picture(make_results: Make) -> None:
    """More than there are colours for; a legend of them once left no room for the picture."""
    folders = [make_results(f"s{k}", {"bass": [k, 2], "drums": [1, k]}) for k in range(40)]
    drawn = ET.fromstring(comparison_plot(compare_results(folders).tables[0]))
    words = [text.strip() for text in drawn.itertext() if text.strip()]
    assert {"bass", "drums", *(f"s{k}" for k in range(1, 40))} <= set(words)
    assert "difference in SI-SDR [dB] to s0" in words
    pairs = ET.fromstring(comparison_plot(compare_results(folders[:3], pairs="all").tables[0]))
    assert {"s1 minus s0", "s2 minus s1"} <= {text.strip() for text in pairs.itertext()}


def test_scores_of_every_song(make_results: Make) -> None:
    a = make_results("a", {"bass": [1, 2]})
    b = make_results("b", {"bass": [2, -INF]})
    found = compare_results([a, b])
    text = to_markdown(found, has_songs=True)
    assert (
        "| song | a | b |\n| --- | --: | --: |\n| s0 | 1.00 | 2.00 |\n| s1 | 2.00 | -inf |" in text
    )
    rows = list(csv.reader(io.StringIO(to_csv(found, has_songs=True))))
    assert rows[1:] == [
        ["test songs", "SI-SDR", "dB", "bass", song, system, value]
        for system, of_system in (("a", ("1", "2")), ("b", ("2", "-inf")))
        for song, value in zip(("s0", "s1"), of_system, strict=True)
    ]
    assert "s1 & 2.00 & -inf" in to_latex(found, has_songs=True)


def test_names_that_are_no_plain_text_break_no_table(make_results: Make) -> None:
    a = make_results("a", {"bass": [1]}, system="x\n| y |\u202e", songs=["a\nb"])
    text = to_markdown(compare_results([a]), has_songs=True)
    assert "| x\\n\\| y \\|\\u202e | 1.00" in text and "| a\\nb | 1.00 |" in text


def test_a_folder_of_something_else_is_named(workshop: Path) -> None:
    with pytest.raises(InvalidCorpus, match="corpus: holds a corpus; expected results"):
        compare_results(["results", "corpus"])
