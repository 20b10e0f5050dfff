"""Balances: what is drawn from them, and which files are none."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from stemsmith.manifests.errors import UsageError
from stemsmith.mixing.level.balance import BUILT_IN, SUMMED, Balance, read_balance

GROUPS = "groups: {drums: {quantiles_lu: {50: -3}}, bass: {quantiles_lu: {50: -4}}, "


def test_draws_have_the_quantiles_of_the_balance() -> None:
    quantiles = ((0.0, -10.0), (25.0, -6.0), (50.0, -5.0), (100.0, -1.0))
    balance = Balance(dict.fromkeys(SUMMED, quantiles))
    drawn = [balance.draw(0, f"song {k}") for k in range(4000)]
    for group in SUMMED:
        values = [levels[group] for levels in drawn]
        assert np.percentile(values, [25, 50]) == pytest.approx([-6, -5], abs=0.15)
        assert -10 <= min(values) <= max(values) <= -1
    pairs = np.array([[levels["drums"], levels["bass"]] for levels in drawn])
    assert abs(np.corrcoef(pairs.T)[0, 1]) < 0.05


def test_a_song_has_its_levels_by_identity_and_seed() -> None:
    balance = read_balance(BUILT_IN)
    assert balance.draw(1, "a") == balance.draw(1, "a")
    assert balance.draw(1, "a") != balance.draw(1, "b")
    assert balance.draw(1, "a") != balance.draw(2, "a")
    assert all(level == round(level, 2) for level in balance.draw(1, "a").values())


def test_one_quantile_is_a_constant(tmp_path: Path) -> None:
    path = tmp_path / "b.yaml"
    path.write_text(GROUPS + "other: {quantiles_lu: {50: -7.5}}}")
    assert read_balance(path).draw(0, "x") == {"drums": -3.0, "bass": -4.0, "other": -7.5}


def test_the_built_in_balance_says_where_it_comes_from() -> None:
    text = BUILT_IN.read_text()
    assert text.count("n_songs:") >= 3
    assert text.count("n_artists:") >= 3
    assert set(SUMMED) <= set(read_balance(BUILT_IN).quantiles_lu)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (GROUPS + "}", "no group 'other'; drums, bass, other are wanted"),
        (GROUPS + "other: {quantiles_lu: {50: -3}}, kazoo: {quantiles_lu: {50: 0}}}", "'kazoo'"),
        (GROUPS + "other: {}}", "groups.other.quantiles_lu is missing"),
        (GROUPS + "other: {quantiles_lu: {}}}", "percents from 0 to 100"),
        (GROUPS + "other: {quantiles_lu: {150: -3}}}", "percents from 0 to 100"),
        (GROUPS + "other: {quantiles_lu: {low: -3}}}", "percents from 0 to 100"),
        (GROUPS + "other: {quantiles_lu: {50: loud}}}", "is not a number"),
        (GROUPS + "other: {quantiles_lu: {50: -300}}}", "levels from -40 to 10 LU"),
        (GROUPS + "other: {quantiles_lu: {50: .nan}}}", "levels from -40 to 10 LU"),
        (GROUPS + "other: {quantiles_lu: {0: -3, 100: -9}}}", "must rise"),
        ("[1, 2]", "is not a"),
        ("groups: [", "not valid YAML"),
    ],
)
def test_what_is_no_balance_is_refused_by_one_line(
    tmp_path: Path, text: str, complaint: str
) -> None:
    path = tmp_path / "b.yaml"
    path.write_text(text)
    with pytest.raises(UsageError) as caught:
        read_balance(path)
    assert complaint in str(caught.value)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"none\.yaml: cannot be read"):
        read_balance(tmp_path / "none.yaml")
