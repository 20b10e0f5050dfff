"""Charts are elements of SVG that say what they show."""

import math
import re
import xml.etree.ElementTree as ET
from collections.abc import Callable

import matplotlib
import numpy as np
import pytest
from stemsmith.share import charts
from stemsmith.share.charts import Caption, Curve, PointInterval

SVG = "{http://www.w3.org/2000/svg}"
HOSTILE = "<script>alert('x')</script> & \"$\\frac{1}{2}$\" \u202e\x00_"
HZ = np.linspace(0.0, 8000.0, 1025)


def each_chart(name: str) -> dict[str, str]:
    """Draw one chart of every kind, with a name in it."""
    caption = Caption(f"title {name}", f"description {name}", f"x {name}", f"y {name}")
    curve = Curve(HZ, -HZ / 1000, np.ones_like(HZ))
    table = np.array([[1.0, math.nan], [math.inf, -math.inf]])
    point = PointInterval(1.0, 0.5, 2.0)
    return {
        "bars": charts.bars([name, "b"], {name: [1, 2], "t": [3, math.nan]}, caption),
        "lying": charts.bars([name, "b"], {name: [1, 2]}, caption, is_horizontal=True),
        "histograms": charts.histograms({name: [1, 2, math.nan], "t": [5.0]}, caption),
        "curves": charts.deviation_curves({name: curve, "t": curve}, caption),
        "lines": charts.lines({name: ([1, 2], [1, math.inf]), "t": ([1], [3])}, caption),
        "boxes": charts.box_plots([name], {name: [[1, 2, math.inf]], "t": [[]]}, caption),
        "heat": charts.heat_map([name, "r"], ["a", name], table, caption),
        "intervals": charts.intervals([name], {name: [point], "t": [point]}, caption),
        "scatter": charts.scatter({name: ([1, 2], [1, math.inf]), "t": ([1], [3])}, caption),
    }


KINDS = (
    "bars", "lying", "histograms", "curves", "lines", "boxes", "heat", "intervals", "scatter",
)  # fmt: skip


@pytest.fixture(scope="module")
def plain() -> dict[str, str]:
    return each_chart("Drums")


@pytest.mark.parametrize("kind", KINDS)
def test_a_chart_is_one_element_with_its_words_as_text(kind: str, plain: dict[str, str]) -> None:
    chart = plain[kind]
    root = ET.fromstring(chart)
    assert root.tag == f"{SVG}svg" and root.get("role") == "img"
    about = [element.text for element in root][:2]
    assert about == ["title Drums", "description Drums"] and root.get("aria-label") == about[0]
    words = {element.text for element in root.iter(f"{SVG}text")}
    assert {"x Drums", "y Drums", "Drums"} - words <= ({"Drums"} if kind == "lying" else set())
    assert "currentColor" in chart and charts._INK not in chart
    assert not re.search(r"<image|<metadata|<\?xml|<!DOCTYPE|xlink", chart)


def test_the_same_numbers_give_the_same_text(plain: dict[str, str]) -> None:
    assert tuple(plain) == KINDS
    assert each_chart("Drums") == plain


def test_elements_of_charts_have_names_of_their_own(plain: dict[str, str]) -> None:
    ids = [name for chart in plain.values() for name in re.findall(r'\bid="([^"]*)"', chart)]
    assert len(ids) == len(set(ids))
    for chart in plain.values():
        named = set(re.findall(r'\bid="([^"]*)"', chart))
        used = set(re.findall(r'href="#([^"]*)"', chart))
        used |= set(re.findall(r"url\(#([^)]*)\)", chart))
        assert used <= named


@pytest.fixture(scope="module")
def hostile() -> dict[str, str]:
    return each_chart(HOSTILE)


@pytest.mark.parametrize("kind", KINDS)
def test_names_are_no_mark_up(kind: str, hostile: dict[str, str]) -> None:
    chart = hostile[kind]
    root = ET.fromstring(chart)
    assert "<script" not in chart
    seen = " ".join(root.itertext())
    assert "<script>" in seen and "$\\frac" in seen and "\ufffd" in seen


@pytest.mark.parametrize(
    "draw",
    [
        lambda c: charts.bars([], {}, c),
        lambda c: charts.bars([], {"a": []}, c, is_horizontal=True),
        lambda c: charts.histograms({}, c),
        lambda c: charts.histograms({"a": []}, c),
        lambda c: charts.histograms({"a": [3.0, 3.0]}, c),
        lambda c: charts.deviation_curves({}, c),
        lambda c: charts.lines({}, c, is_log=True),
        lambda c: charts.lines({"a": ([1], [math.nan])}, c, is_log=True),
        lambda c: charts.box_plots([], {}, c),
        lambda c: charts.heat_map([], [], np.empty((0, 0)), c),
        lambda c: charts.heat_map(["a"], ["b"], np.array([[math.nan]]), c),
        lambda c: charts.intervals([], {}, c, line_at=0.0),
    ],
)
def test_nothing_is_drawn_of_nothing(draw: Callable[[Caption], str]) -> None:
    assert ET.fromstring(draw(Caption("empty"))).tag == f"{SVG}svg"


def test_settings_of_others_neither_change_a_chart_nor_change(plain: dict[str, str]) -> None:
    with matplotlib.rc_context({"lines.linewidth": 9.0, "svg.fonttype": "path"}):
        before = dict(matplotlib.rcParams)
        assert each_chart("Drums") == plain
        assert dict(matplotlib.rcParams) == before


def test_a_series_in_bins_is_counted_and_several_have_shares() -> None:
    def words(chart: str) -> set[str | None]:
        return {element.text for element in ET.fromstring(chart).iter(f"{SVG}text")}

    assert "number" in words(charts.histograms({"a": [1.0, 2.0]}, Caption("t")))
    assert "share" in words(charts.histograms({"a": [1.0], "b": [2.0]}, Caption("t")))


def test_a_curve_keeps_points_of_its_own_and_no_more_than_are_seen() -> None:
    hz = np.linspace(0.0, 22050.0, 2049)
    x, mean, deviation = charts._sparse(Curve(hz, 2 * hz, 3 * hz))
    assert set(x) < set(hz) and (np.diff(x) > 0).all() and x[0] == hz[1]
    np.testing.assert_array_equal(mean, 2 * x)
    np.testing.assert_array_equal(deviation, 3 * x)
    assert np.histogram(np.log2(x), np.arange(3.0, 16.0))[0].max() <= 25
    gaps = Curve(hz, np.where(hz > 1000, math.nan, hz), hz)
    assert charts._sparse(gaps)[0].max() <= 1000


@pytest.mark.parametrize(
    "draw",
    [
        lambda is_narrow: charts.bars(["a"], {"s": [1]}, Caption("t"), is_narrow=is_narrow),
        lambda is_narrow: charts.histograms({"s": [1.0]}, Caption("t"), is_narrow=is_narrow),
        lambda is_narrow: charts.lines({"s": ([1], [1])}, Caption("t"), is_narrow=is_narrow),
        lambda is_narrow: charts.box_plots(["a"], {"s": [[1]]}, Caption("t"), is_narrow=is_narrow),
        lambda is_narrow: charts.intervals(
            ["a"], {"s": [PointInterval(1, 0, 2)]}, Caption("t"), is_narrow=is_narrow
        ),
    ],
)
def test_a_chart_that_stands_beside_another_is_narrower(draw: Callable[[bool], str]) -> None:
    narrow, wide = (
        float(ET.fromstring(draw(is_narrow)).get("viewBox", "").split()[2])
        for is_narrow in (True, False)
    )
    assert narrow < wide == 72 * 6.4


def test_a_heat_map_has_its_numbers() -> None:
    table = np.array([[1.25, -3.0], [math.inf, math.nan]])
    root = ET.fromstring(charts.heat_map(["r", "s"], ["a", "b"], table, Caption("t")))
    words = [element.text for element in root.iter(f"{SVG}text")]
    assert {"1.2", "\u22123.0", "∞", "\u2013"} <= set(words)


@pytest.mark.parametrize("ground", ["#ffffff", "#16181d"])
@pytest.mark.parametrize("colour", charts.COLOURS)
def test_colours_are_seen_on_white_and_on_black(colour: str, ground: str) -> None:
    # WCAG 2.1, 1.4.11: graphical objects have a contrast of 3 to 1.
    def luminance(code: str) -> float:
        return charts._luminance([int(code[i : i + 2], 16) / 255 for i in (1, 3, 5)])

    light, dark = sorted((luminance(colour), luminance(ground)), reverse=True)
    assert (light + 0.05) / (dark + 0.05) >= 3


def test_luminance_is_that_of_the_standard() -> None:
    assert charts._luminance([1.0, 1.0, 1.0]) == pytest.approx(1.0)
    assert charts._luminance([0.5, 0.5, 0.5]) == pytest.approx(0.2140, abs=1e-4)
