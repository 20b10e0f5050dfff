"""Summaries and tables of scores: what counts, and what is left out."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from stemsmith.evaluate.benchmark.pooled import (
    WindowMedian,
    mean_over_targets,
    median_over_windows,
)
from stemsmith.evaluate.benchmark.report import plain, score_table, summarise_scores
from stemsmith.evaluate.benchmark.results import Results, SongScore
from stemsmith.manifests.errors import InvalidCorpus
from stemsmith.manifests.shards import write_manifest

NAN, INF = math.nan, math.inf


def si_sdr(*values: float, target: str = "bass") -> list[SongScore]:
    return [SongScore(f"s{k}", target, None, "SI-SDR", value) for k, value in enumerate(values)]


def sdr(song: str, *values: float) -> list[SongScore]:
    return [SongScore(song, "bass", frame, "SDR", value) for frame, value in enumerate(values)]


def summary(scores: list[SongScore], **changes: Any) -> dict[str, Any]:
    targets = list(dict.fromkeys(score.target for score in scores))
    songs = sorted({score.song for score in scores})
    bss = {"version": "v4", "window_s": 1.0, "hop_s": 1.0, "is_mono": False}
    return {
        "system": "mixture",
        "dataset": "corpus",
        "taxonomy": "slakh",
        "splits": ["test"],
        "n_folds": 0,
        "metrics": {"si_sdr_rate": 16000, "bss": bss},
        "songs": songs,
        "n_scored": len(songs),
        "scores": plain(summarise_scores(scores, targets)),
        **changes,
    }


def test_si_sdr_is_averaged_over_songs_in_which_the_target_sounds() -> None:
    found = summarise_scores(si_sdr(1, 2, 6, NAN), ["bass"])["bass"]["SI-SDR"]
    assert (found.n, found.n_left_out, found.mean, found.median) == (3, 1, 3, 2)
    assert 1 <= found.mean_interval[0] < 3 < found.mean_interval[1] <= 6


def test_bss_eval_is_the_median_of_medians_over_what_is_finite() -> None:
    scores = [*sdr("a", 1, 2, 9, NAN, INF), *sdr("b", 4, 6), *sdr("c", NAN, NAN), *sdr("d", 0)]
    found = summarise_scores(scores, ["bass"])["bass"]["SDR"]
    assert (found.n, found.n_left_out) == (3, 1)
    assert found.median == 2  # of 2, 5 and 0
    assert found.mean == pytest.approx(7 / 3)


def test_a_target_that_never_sounds_has_no_score() -> None:
    found = summarise_scores(si_sdr(NAN, NAN), ["bass"])
    assert found["bass"]["SI-SDR"].n == 0
    assert plain(found)["bass"]["SI-SDR"]["mean"] is None
    assert "| mixture | 2 | - |" in score_table(summary(si_sdr(NAN, NAN)))


def test_a_silent_estimate_is_not_forgotten() -> None:
    found = summarise_scores(si_sdr(1, 2, -INF), ["bass"])
    assert found["bass"]["SI-SDR"].mean == -INF
    assert found["bass"]["SI-SDR"].median == 1
    text = json.dumps(plain(found), allow_nan=False)
    assert json.loads(text)["bass"]["SI-SDR"]["mean"] == "-inf"
    assert "| -inf [-inf, " in score_table(summary(si_sdr(1, 2, -INF)))


def test_infinities_of_both_signs_have_no_mean() -> None:
    folds = {"s0": 1, "s1": 2}
    for found in (
        summarise_scores(si_sdr(INF, -INF), ["bass"]),
        summarise_scores(si_sdr(INF, -INF), ["bass"], folds),
    ):
        assert plain(found)["bass"]["SI-SDR"]["mean"] is None
    assert "| mixture | 2 | nan [nan, nan] |" in score_table(summary(si_sdr(INF, -INF)))


def test_folds_are_summarised_and_averaged() -> None:
    """Brunner et al. 2019, section V-C: results of folds are averaged, whatever their sizes."""
    folds = {"s0": 1, "s1": 1, "s2": 1, "s3": 2, "s4": 3}
    found = summarise_scores(si_sdr(1, 2, 6, 9, NAN), ["bass"], folds)["bass"]["SI-SDR"]
    assert (found.n, found.n_left_out) == (4, 1)
    assert found.mean == (3 + 9) / 2
    assert found.median == (2 + 9) / 2
    assert found.mean_interval == (3, 9)
    nothing = summarise_scores(si_sdr(NAN, NAN), ["bass"], folds)["bass"]["SI-SDR"]
    assert (nothing.n, nothing.n_left_out) == (0, 2)
    assert math.isnan(nothing.mean)


def test_the_table_has_a_column_for_each_target() -> None:
    scores = [*si_sdr(1, 1), *si_sdr(2.5, NAN, target="drums")]
    assert score_table(summary(scores, system="oracle:ibm|x")).splitlines() == [
        "**SI-SDR [dB], mono at 16000 Hz: mean over songs**",
        "",
        "| system | songs | bass | drums |",
        "| --- | --: | --: | --: |",
        "| oracle:ibm\\|x | 2 | 1.00 [1.00, 1.00] | 2.50 (n = 1) |",
    ]


def test_windows_of_all_songs_have_one_median() -> None:
    """Brunner et al. 2019, section V: the median is over windows, long songs count for more."""
    scores = [*sdr("a", 1, 2, 9, NAN, INF), *sdr("b", 4), *sdr("c", NAN), *si_sdr(7)]
    found = median_over_windows(scores, ["bass"])["bass"]
    assert found == {"SDR": WindowMedian(n=4, n_left_out=3, median=3.0)}
    folds = {"a": 1, "b": 2, "c": 3, "s0": 1}
    assert median_over_windows(scores, ["bass"], folds)["bass"]["SDR"].median == (2 + 4) / 2
    assert median_over_windows(si_sdr(1, 2), ["bass"]) == {"bass": {}}
    silent = median_over_windows(sdr("a", NAN), ["bass"])["bass"]["SDR"]
    assert (silent.n, silent.n_left_out) == (0, 1) and math.isnan(silent.median)


def test_the_mean_over_targets_is_that_of_what_tables_say_of_them() -> None:
    scores = [*si_sdr(1, 2, 6), *si_sdr(0, NAN, 4, target="drums")]
    folds = {"s0": 1, "s1": 1, "s2": 2}
    for wanted in (None, folds):
        summaries = summarise_scores(scores, ["bass", "drums"], wanted)
        found = mean_over_targets(scores, summaries, wanted)["SI-SDR"]
        bass, drums = (summaries[target]["SI-SDR"] for target in ("bass", "drums"))
        assert found.mean == (bass.mean + drums.mean) / 2
        assert found.median == (bass.median + drums.median) / 2
        assert found.mean_interval[0] <= found.mean <= found.mean_interval[1]
    assert not mean_over_targets(si_sdr(1, 2), summarise_scores(si_sdr(1, 2), ["bass"]))
    scores += sdr("s0", 1, 2)  # of bass alone
    assert list(mean_over_targets(scores, summarise_scores(scores, ["bass", "drums"]))) == [
        "SI-SDR"
    ]


def test_songs_are_drawn_with_all_of_their_targets() -> None:
    """Where targets differ by songs' difficulty alone, their mean is as uncertain as each."""
    values = np.random.default_rng(0).standard_normal(30)
    scores = [*si_sdr(*values), *si_sdr(*values, target="drums")]
    summaries = summarise_scores(scores, ["bass", "drums"])
    found = mean_over_targets(scores, summaries)["SI-SDR"]
    assert found.mean_interval == pytest.approx(summaries["bass"]["SI-SDR"].mean_interval)
    opposed = [*si_sdr(*values), *si_sdr(*-values, target="drums")]
    found = mean_over_targets(opposed, summarise_scores(opposed, ["bass", "drums"]))["SI-SDR"]
    assert found.mean_interval == pytest.approx((0, 0), abs=1e-12)


def test_tables_have_what_brunner_prints() -> None:
    scores = [*sdr("a", 1, 2, 9), *sdr("b", 4), *si_sdr(1, 2)]
    scores += [dataclasses.replace(s, target="drums", value=s.value + 10) for s in scores]
    targets, content = ["bass", "drums"], summary(scores)
    content["mean_over_targets"] = plain(
        mean_over_targets(scores, summarise_scores(scores, targets))
    )
    content["windows"] = plain(median_over_windows(scores, targets))
    content["n_scored"] = 2
    head, _, *rows = score_table(content).split("**SDR")[1].splitlines()[2:6]
    assert head == "| system | songs | bass | drums | mean over targets |"
    assert rows == [
        "| mixture | 2 | 3.00 [2.00, 4.00] | 13.00 [12.00, 14.00] | 8.00 [7.00, 9.00] |",
        "| mixture, median over all windows | 2 | 3.00 | 13.00 | 8.00 |",
    ]


def test_titles_say_what_is_averaged() -> None:
    text = score_table(summary(sdr("a", 1, 2)))
    assert "**SDR [dB], BSS Eval v4, 1 s every 1 s: median over songs of the median" in text
    mono = summary(sdr("a", 1, 2))
    mono["metrics"]["bss"]["is_mono"] = True
    assert "**SDR [dB], BSS Eval v4, mono, 1 s every 1 s: median" in score_table(mono)
    text = score_table(summary(si_sdr(1, 2), n_folds=2))
    assert "mean over 2 folds of the mean over songs" in text


@pytest.mark.parametrize("content", [None, "{", "[]", "{}", '{"scores": {}}'])
def test_what_is_no_summary_is_named(tmp_path: Path, content: str | None) -> None:
    write_manifest(tmp_path, {"stage": "evaluation"})
    if content is not None:
        (tmp_path / "summary.json").write_text(content)
    with pytest.raises(InvalidCorpus, match=r"summary\.json: "):
        _ = Results(tmp_path).summary
