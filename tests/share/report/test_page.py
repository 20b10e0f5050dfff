"""Pages as HTML: what is escaped, what a page needs, and players as data."""

from __future__ import annotations

import base64
import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from stemsmith.manifests.audio.read import MP3_RATES, decode, encode_mp3
from stemsmith.share.charts import Caption, bars
from stemsmith.share.report.clips import CLICK_SAMPLE, AudioClip, calibration, make_clip
from stemsmith.share.report.content import (
    Chart,
    DataTable,
    Facts,
    Notice,
    Page,
    PageSection,
    PlayerMode,
    PlayerNote,
    PlayerTrack,
    Prose,
    StemPlayer,
    isolated,
)
from stemsmith.share.report.page import render_page

HOSTILE = (
    "<script>alert(1)</script>",
    "</script><script>alert(2)</script>",
    "\"><img src=x onerror=alert(3)>' onclick='alert(4)",
    "\u202egpj.exe\u2066 right to left",
    "{{ 7 * 7 }} {% raw %} {# #} ${7*7}",
    "\N{GRINNING FACE} \N{CJK UNIFIED IDEOGRAPH-97F3} e\u0301",
    "<!-- no comment --> ]]> &amp; &lt;",
    "x" * 5000,
)


class Parsed(HTMLParser):
    """A page as a browser reads it: its elements, and the text in some of them."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    def of(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


def a_clip(rate: int = 16000, n_channels: int = 1, seconds: float = 0.5) -> AudioClip:
    rng = np.random.default_rng(0)
    audio = 0.1 * rng.standard_normal((n_channels, round(seconds * rate)))
    return make_clip(audio.astype(np.float32), rate)


def a_page(text: str) -> Page:
    """Return a page that has a text wherever texts of strangers may be."""
    clip = a_clip()
    tracks = [PlayerTrack(text, clip, text, [PlayerNote(0.1, 0.2, 60.0, 90)])]
    svg = bars([text], {text: [1.0]}, Caption(text, text, x=text))
    return Page(
        title=text,
        lead=text,
        sections=[
            PageSection(
                text,
                [
                    Prose(text),
                    Notice(text),
                    Facts([(text, text)]),
                    DataTable(text, (text, text), [(text, text)], note=text),
                    DataTable(text, (text,), [(text,)], is_folded=True),
                    Chart(svg, text),
                    *(StemPlayer(text, tracks, mode, text) for mode in PlayerMode),
                ],
                [PageSection(text, [Prose(text)])],
            )
        ],
        footer=text,
    )


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_text_of_strangers_is_text(text: str) -> None:
    page, plain = Parsed(render_page(a_page(text))), Parsed(render_page(a_page("name")))
    assert [tag for tag, _ in page.elements] == [tag for tag, _ in plain.elements]
    for (tag, attributes), (_, expected) in zip(page.elements, plain.elements, strict=True):
        assert attributes.keys() == expected.keys() or tag == "text"  # of a chart, and elsewhere
    # Charts shorten long names; all else says them as they are.
    assert page.texts.count(text) >= 20
    assert any(attributes.get("aria-label") == f"Mute {text}" for attributes in page.of("button"))


def test_text_of_strangers_has_a_direction_of_its_own() -> None:
    html = render_page(a_page("\u202eabc"))
    for place in re.finditer("\u202eabc", html):
        before = html[: place.start()]
        is_isolated = before.rfind("<bdi>") > before.rfind("</bdi>")
        is_attribute = before.rfind('="') > before.rfind(">")
        is_chart = before.rfind("<svg") > before.rfind("</svg>")
        assert is_isolated or is_attribute or is_chart or before.endswith("<title>")


def test_what_html_cannot_hold_is_replaced() -> None:
    html = render_page(a_page("a\x00b\x1b[2Jc\ud800d\x85"))
    assert "a\N{REPLACEMENT CHARACTER}b\N{REPLACEMENT CHARACTER}[2Jc\\ud800d" in html
    assert not re.search("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]", html)
    html.encode()


def test_a_page_asks_nobody_for_anything() -> None:
    html = render_page(a_page("name"))
    page = Parsed(html)
    (policy,) = (a["content"] for a in page.of("meta") if a.get("http-equiv"))
    assert policy is not None and policy.startswith("default-src 'none'")
    for _, attributes in page.elements:
        for name in ("src", "href", "action", "xlink:href"):
            assert (attributes.get(name) or "#").startswith(("#", "data:"))
    (style,) = re.findall(r"<style>(.*?)</style>", html, re.DOTALL)
    assert "@import" not in style and "url(" not in style


def test_the_same_page_has_the_same_text() -> None:
    assert render_page(a_page("name")) == render_page(a_page("name"))


def test_every_control_has_a_name_and_every_name_of_an_element_is_its_own() -> None:
    page = Parsed(render_page(a_page("name")))
    labels = page.of("label")
    assert labels
    for control in (*page.of("button"), *page.of("input")):
        is_labelled = control.get("aria-label") or control.get("type") == "radio"
        assert is_labelled or control["class"] in ("loop", "download")
    names = [a["id"] for tag, a in page.elements if "id" in a]
    charts = [name for name in names if name is not None and re.match(r"c[0-9a-f]{10}-", name)]
    others = [name for name in names if name not in charts]
    assert len(others) == len(set(others))
    targets = {(a["href"] or "")[1:] for a in page.of("a")}
    assert targets <= set(names)


def test_numbers_stand_at_the_right() -> None:
    rows = [("a", 1, "2.5", "x"), ("b", None, "\N{MINUS SIGN}1,234", "2")]
    table = DataTable("t", ("name", "n", "value", "mixed"), rows)
    page = Parsed(render_page(Page("p", "", [PageSection("s", [table])])))
    classes = [a.get("class") for tag, a in page.elements if tag in ("th", "td")]
    assert classes == 3 * [None, "number", "number", None]


def test_players_say_what_their_script_needs() -> None:
    notes = [PlayerNote(0.1, 0.25, 60.5, 90), PlayerNote(0.2, 0.3, 40, 1)]
    track = PlayerTrack("a", a_clip(), notes=notes, is_drums=True, gain_db=-6.0)
    player = StemPlayer("p", [track], PlayerMode.REMIX, start_s=12.5)
    html = render_page(Page("t", "", [PageSection("s", [player])]))
    found = re.search(r'<script type="application/json"[^>]*>(.*?)</script>', html)
    assert found is not None
    settings = json.loads(found[1])
    assert settings["mode"] == "remix" and settings["start"] == 12.5
    assert settings["duration"] == 0.5 and settings["click"] == CLICK_SAMPLE
    (data,) = settings["tracks"]
    assert data["notes"] == [[100, 250, 60.5, 90], [200, 300, 40, 1]]
    assert max(data["waveform"]) == 255 and data["rate"] == 16000 and data["samples"] == 8000
    encoded = re.search(r'<script type="text/plain" class="mp3">(.*?)</script>', html)
    assert encoded is not None and base64.b64decode(encoded[1]) == track.clip.mp3
    assert html.count('class="click"') == 1


@pytest.mark.parametrize("rate", MP3_RATES)
def test_mp3_is_in_sync_once_the_delay_is_known(rate: int) -> None:
    rng = np.random.default_rng(1)
    audio = np.zeros((2, 2 * rate), np.float32)
    audio[:, rate // 2 : rate] = 0.3 * rng.standard_normal((2, rate - rate // 2))
    audio = np.apply_along_axis(lambda x: np.convolve(x, np.ones(9) / 9, "same"), 1, audio)
    audio = audio.astype(np.float32)
    click, _ = decode(calibration(rate), "click")
    delay = int(np.argmax(np.abs(click[0]))) - CLICK_SAMPLE
    decoded, _ = decode(encode_mp3(audio, rate), "clip")
    n = 4 * rate
    spectrum = np.fft.rfft(decoded[0], n) * np.conj(np.fft.rfft(audio[0], n))
    lag = int(np.argmax(np.fft.irfft(spectrum, n)))
    assert lag == delay
    ours = decoded[:, delay : delay + audio.shape[1]]
    error = np.mean((ours - audio[:, : ours.shape[1]]) ** 2) / np.mean(audio**2)
    assert error < 0.1


def test_clips_have_rates_and_channels_of_mp3() -> None:
    rng = np.random.default_rng(2)
    for rate, expected in ((8000, 8000), (9000, 11025), (96000, 48000)):
        clip = make_clip(0.1 * rng.standard_normal((3, rate)).astype(np.float32), rate)
        assert (clip.sample_rate, clip.n_samples, clip.n_channels) == (expected, expected, 1)
        assert clip.duration_s == 1.0
        assert len(clip.waveform) == 300
    same = make_clip(np.ones((1, 16000), np.float32), 16000, [0.5] * 10)
    assert list(same.waveform) == [0.5] * 10 and same.waveform_hz == 10


def test_a_waveform_is_the_level_of_each_stretch() -> None:
    audio = np.concatenate([np.full(8000, 0.5), np.zeros(8000)]).astype(np.float32)[None]
    clip = make_clip(audio, 16000)
    half = len(clip.waveform) // 2
    np.testing.assert_allclose(clip.waveform[: half - 1], 0.5)
    np.testing.assert_allclose(clip.waveform[half + 1 :], 0.0)
    empty = make_clip(np.zeros((1, 0), np.float32), 16000)
    assert empty.n_samples == 0 and list(empty.waveform) == []


@pytest.mark.parametrize(
    "name", ["\u202eevil", "\u2067x", "x\u2069\u202e", "\u2069\u2069\u202bx", "שיר"]
)
def test_names_do_not_turn_the_words_beside_them_around(name: str) -> None:
    text = isolated(name)
    depth = 0
    for place, character in enumerate(text):
        depth += (character in "\u2066\u2067\u2068") - (character == "\u2069")
        assert depth == (0 if place == len(text) - 1 else 1)
    assert isolated("a song (2)") == "a song (2)"
