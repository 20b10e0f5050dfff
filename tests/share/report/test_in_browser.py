"""Pages in a real Chromium: what is seen, what is heard, and what can be done with the keyboard.

What is heard is rendered by the page itself into an OfflineAudioContext, with the graph that plays.
"""

from __future__ import annotations

import io
import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.io import wavfile
from stemsmith.manifests.audio.read import decode
from stemsmith.share import write_report
from stemsmith.share.report import clips
from stemsmith.share.report.clips import make_clip
from stemsmith.share.report.content import (
    Page,
    PageSection,
    PlayerMode,
    PlayerNote,
    PlayerTrack,
    StemPlayer,
)
from stemsmith.share.report.page import render_page

sync_api = pytest.importorskip("playwright.sync_api")
pytestmark = pytest.mark.clients

FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--autoplay-policy=no-user-gesture-required",
)
RATE = 16000
ONSETS = (8000, 12345, 20000)  # of the three tracks, in samples
N = 4 * RATE
# Charts that go on beyond their frame, and have no shadow there that says so.
CUT_OFF_UNSEEN = """[...document.querySelectorAll(".picture .scroll")]
    .filter((e) => e.scrollWidth > e.clientWidth
        && !getComputedStyle(e).backgroundImage.includes("gradient")).map((e) => e.outerHTML)"""
DESKTOP, PHONE = {"width": 1280, "height": 900}, {"width": 390, "height": 844}


def burst(onset: int, n_channels: int = 1) -> Any:
    """Return silence with a short smooth pulse whose highest sample is `onset`."""
    audio = np.zeros((n_channels, N), np.float32)
    pulse = np.hanning(161) * np.cos(0.15 * np.arange(-80, 81))
    audio[:, onset - 80 : onset + 81] = 0.5 * pulse
    return audio


def a_page() -> Page:
    """Return a page with a player of each mode, of three tracks that sound one after the other."""
    names = ("drums", "bass", "vocals")
    tracks = [
        PlayerTrack(
            name,
            make_clip(burst(onset), RATE),
            notes=[PlayerNote(onset / RATE, onset / RATE + 0.2, 60.0, 90)],
            is_drums=name == "drums",
        )
        for name, onset in zip(names, ONSETS, strict=True)
    ]
    players = [StemPlayer(f"A {mode} player", tracks, mode) for mode in PlayerMode]
    return Page("Players", "Three of them.", [PageSection("Listen", players)])


@pytest.fixture(scope="module")
def browser(program: Callable[..., str]) -> Iterator[Any]:
    path = program("chromium", "chromium-browser", "google-chrome")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield browser
        browser.close()


class Opened:
    """A page in the browser, with all that it said and asked for."""

    def __init__(self, browser: Any, path: Path, viewport: Any = DESKTOP, **context: Any) -> None:
        self.page = browser.new_page(viewport=viewport, **context)
        self.said: list[str] = []
        self.requests: list[str] = []
        self.page.on("console", lambda message: self.said.append(message.text))
        self.page.on("pageerror", lambda error: self.said.append(str(error)))
        self.page.on("dialog", lambda dialog: self.said.append(dialog.message))
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.goto(path.as_uri())
        self.url = path.as_uri()

    def ask(self, mode: str, script: str) -> Any:
        """Return what a script says that is given the player of a mode as `p`."""
        find = f"document.querySelector('.player[data-mode={mode}]').player"
        return self.page.evaluate(f"async () => {{ const p = {find}; {script} }}")

    def peaks(self, mode: str) -> list[float]:
        """Return how loud the pulse of each track is in the mix as it is set."""
        script = f"""const mix = (await p.render()).getChannelData(0);
        return {list(ONSETS)}.map((k) => mix.slice(k - 80, k + 81).reduce(
            (high, x) => Math.max(high, Math.abs(x)), 0));"""
        return [round(2 * peak, 1) for peak in self.ask(mode, script)]

    def state(self, mode: str, name: str) -> Any:
        return self.page.get_attribute(f".player[data-mode={mode}]", f"data-{name}")

    def until(self, expression: str) -> None:
        """Wait until an expression is true; Playwright's own waiting evaluates text in the page."""
        for _ in range(500):
            if self.page.evaluate(expression):
                return
            self.page.wait_for_timeout(20)
        raise AssertionError(f"never: {expression}")

    def close(self) -> None:
        self.page.close()
        assert self.said == [], "the page complained"
        assert set(self.requests) <= {self.url}, "the page asked for something"


@pytest.fixture(scope="module")
def players_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("pages") / "players.html"
    path.write_text(render_page(a_page()), "utf-8")
    return path


@pytest.fixture
def players(browser: Any, players_file: Path) -> Iterator[Opened]:
    opened = Opened(browser, players_file)
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def corpus_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = Path(__file__).parents[2] / "data" / "0.1"
    path = tmp_path_factory.mktemp("pages") / "corpus.html"
    return write_report([folder / "corpus", folder / "renditions"], path, n_songs=1)


@pytest.fixture(scope="module")
def scores_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a page of mixtures, a run and results, as version 0.1 wrote them."""
    folder = Path(__file__).parents[2] / "data" / "0.1"
    path = tmp_path_factory.mktemp("pages") / "scores.html"
    parts = [folder / name for name in ("mixtures", "run", "results")]
    return write_report(parts, path, n_songs=1, clip_s=1)


@pytest.mark.parametrize(
    ("viewport", "schemes"),
    [(DESKTOP, ("light", "dark")), (PHONE, ("light",))],  # of the window, colours know nothing
    ids=["desktop", "phone"],
)
def test_a_page_fits_its_window_and_axe_finds_nothing(
    viewport: Any,
    schemes: tuple[str, ...],
    browser: Any,
    corpus_file: Path,
    players_file: Path,
    scores_file: Path,
) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    for file in (corpus_file, players_file, scores_file):
        for scheme in schemes:
            opened = Opened(browser, file, viewport, color_scheme=scheme)
            root = "document.documentElement"
            assert opened.page.evaluate(f"{root}.scrollWidth <= {root}.clientWidth")
            opened.page.evaluate(
                "document.querySelectorAll('details').forEach((d) => { d.open = true; })"
            )
            assert opened.page.evaluate(CUT_OFF_UNSEEN) == []
            found = axe.run(opened.page).response["violations"]
            grave = [v for v in found if v["impact"] in ("serious", "critical")]
            assert not grave, [(v["id"], [n["html"] for n in v["nodes"]]) for v in grave]
            opened.close()


def test_stems_are_in_sync_to_the_sample(players: Opened) -> None:
    script = """await p.load();
    return p.buffers.map((buffer, k) => {
        const x = buffer.getChannelData(0);
        let at = 0;
        for (let n = 1; n < x.length; n++) if (Math.abs(x[n]) > Math.abs(x[at])) at = n;
        return at - Math.round(p.tracks[k].delay * p.tracks[k].rate);
    });"""
    assert players.ask("mix", script) == list(ONSETS)


def test_the_delay_of_a_decoder_that_trims_nothing_is_subtracted(
    browser: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the first frame, which says how much is to be trimmed, as some encoders leave it."""

    def without_header(samples: Any, sample_rate: int) -> bytes:
        data = encode(samples, sample_rate)
        second = data.index(data[:2], 4)
        return data[second:]

    encode = clips.encode_mp3
    monkeypatch.setattr(clips, "encode_mp3", without_header)
    file = tmp_path / "late.html"
    file.write_text(render_page(a_page()), "utf-8")
    opened = Opened(browser, file)
    assert opened.ask("mix", "await p.load(); return p.tracks[0].delay;") > 0.02
    script = """const x = (await p.render()).getChannelData(0);
    let at = 0;
    for (let n = 1; n < x.length; n++) if (Math.abs(x[n]) > Math.abs(x[at])) at = n;
    return at;"""
    opened.ask("mix", "p.tracks[1].isSolo = true;")
    assert opened.ask("mix", script) == ONSETS[1]
    opened.close()


def test_mute_solo_and_levels_are_heard(players: Opened) -> None:
    page = players.page
    assert players.peaks("mix") == [1, 1, 1]
    page.click(".player[data-mode=mix] [aria-label='Mute bass']")
    assert players.peaks("mix") == [1, 0, 1]
    assert page.get_attribute("[data-mode=mix] [data-track='1']", "data-gain") == "0.0000"
    page.click(".player[data-mode=mix] [aria-label='Solo bass']")
    page.click(".player[data-mode=mix] [aria-label='Solo drums']")
    assert players.peaks("mix") == [1, 1, 0]
    page.click(".player[data-mode=mix] [aria-label='Solo bass']")
    assert players.peaks("mix") == [1, 0, 0]
    page.click(".player[data-mode=mix] [aria-label='Solo drums']")
    page.click(".player[data-mode=mix] [aria-label='Mute bass']")
    page.locator(".player[data-mode=mix] [aria-label='Level of vocals']").fill("-6")
    assert players.peaks("mix") == [1, 1, 0.5]
    page.locator(".player[data-mode=mix] [aria-label^='Master level']").fill("-48")
    assert players.peaks("mix") == [0, 0, 0]


def test_what_plays_follows_the_controls(players: Opened) -> None:
    page = players.page
    page.click(".player[data-mode=mix] .play")
    players.until("document.querySelector('[data-mode=mix]').dataset.place > 0.1")
    page.click(".player[data-mode=mix] [aria-label='Mute drums']")
    players.until("""() => {
        const lines = document.querySelector('[data-mode=mix]').player.sources;
        return lines[0].gain.gain.value < 1e-3 && lines[1].gain.gain.value > 0.99;
    }""")
    page.click(".player[data-mode=switch] .play")  # one player at a time
    players.until("document.querySelector('[data-mode=switch]').dataset.playing == 'true'")
    assert players.state("mix", "playing") == "false"
    page.click(".player[data-mode=switch] .play")
    assert players.state("switch", "playing") == "false"
    stopped_at = players.state("switch", "place")
    assert 0 < float(stopped_at) < 4
    page.wait_for_timeout(100)
    assert players.state("switch", "place") == stopped_at


def test_one_hears_on_at_the_place_one_goes_to(players: Opened) -> None:
    page = players.page
    view = page.locator("[data-mode=mix] [data-track='1'] .view")
    view.scroll_into_view_if_needed()
    box = view.bounding_box()
    assert box is not None
    page.mouse.click(box["x"] + 0.75 * box["width"], box["y"] + 10)
    assert abs(float(players.state("mix", "place")) - 3) < 0.05
    page.locator("[data-mode=mix] .seek").fill("0.5")
    assert players.state("mix", "place") == "2.000"
    page.click("[data-mode=mix] .play")
    players.until("document.querySelector('[data-mode=mix]').dataset.place > 2.1")
    place = players.ask("mix", "p.seek(1); return p.now();")
    assert 1 <= place < 1.1
    page.locator("[data-mode=mix] .seek").fill("0.9")
    players.until("document.querySelector('[data-mode=mix]').dataset.playing == 'false'")
    assert players.state("mix", "place") == "0.000"  # at its end


def test_a_stretch_that_is_dragged_over_is_looped(players: Opened) -> None:
    page = players.page
    view = page.locator("[data-mode=mix] [data-track='0'] .view")
    view.scroll_into_view_if_needed()
    box = view.bounding_box()
    assert box is not None
    y = box["y"] + 10
    page.mouse.move(box["x"] + 0.5 * box["width"], y)
    page.mouse.down()
    page.mouse.move(box["x"] + 0.55 * box["width"], y, steps=3)
    page.mouse.up()
    assert players.state("mix", "looping") == "true"
    low, high = map(float, players.state("mix", "region").split())
    assert (round(low, 1), round(high, 1)) == (2.0, 2.2)
    page.click("[data-mode=mix] .play")
    players.until("document.querySelector('[data-mode=mix]').dataset.playing == 'true'")
    places = [players.ask("mix", "return p.now();")]
    for _ in range(8):
        page.wait_for_timeout(70)
        places.append(players.ask("mix", "return p.now();"))
    assert all(low <= place <= high for place in places)
    assert any(b < a for a, b in itertools.pairwise(places))
    sources = "return p.sources.map(({ source: s }) => [s.loop, s.loopEnd - s.loopStart]);"
    for is_looped, seconds in players.ask("mix", sources):
        assert is_looped and abs(seconds - (high - low)) < 1e-3
    page.keyboard.press("Escape")


def test_all_can_be_done_with_the_keyboard(players: Opened) -> None:
    page = players.page
    page.focus("[data-mode=mix] .play")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "loop"
    page.keyboard.press("Enter")
    assert players.state("mix", "looping") == "true"
    page.keyboard.press("l")
    assert players.state("mix", "looping") == "false"
    page.keyboard.press("2")
    assert players.peaks("mix") == [1, 0, 1]
    page.keyboard.press("Shift+3")
    assert players.peaks("mix") == [0, 0, 1]
    page.keyboard.press("ArrowRight")
    assert players.state("mix", "place") == "4.000"
    page.keyboard.press("Home")
    assert players.state("mix", "place") == "0.000"
    page.keyboard.press("k")
    players.until("document.querySelector('[data-mode=mix]').dataset.playing == 'true'")
    page.keyboard.press("k")
    assert players.state("mix", "playing") == "false"
    page.focus("[data-mode=mix] .views input:checked")
    page.keyboard.press("ArrowRight")
    assert players.state("mix", "view") == "notes"
    place = players.state("mix", "place")
    page.focus("[data-mode=mix] [aria-label='Level of drums']")
    page.keyboard.press("ArrowLeft")
    assert players.ask("mix", "return p.tracks[0].db;") == -0.5
    assert players.state("mix", "place") == place  # the arrow is the slider's
    page.focus("[data-mode=switch] .choose:checked")
    page.keyboard.press("ArrowDown")
    assert players.peaks("switch") == [0, 1, 0]


def test_one_is_heard_at_a_time_where_they_are_switched(players: Opened) -> None:
    page = players.page
    assert players.peaks("switch") == [1, 0, 0]
    page.locator("[data-mode=switch] .seek").fill("0.5")
    page.check("[data-mode=switch] [data-track='2'] .choose")
    assert players.peaks("switch") == [0, 0, 1]
    assert players.state("switch", "place") == "2.000"
    page.focus("[data-mode=switch] .loop")
    page.keyboard.press("2")
    assert players.peaks("switch") == [0, 1, 0]
    assert page.is_checked("[data-mode=switch] [data-track='1'] .choose")


def test_estimates_are_switched_to_at_the_same_place(browser: Any, scores_file: Path) -> None:
    opened = Opened(browser, scores_file)
    page, player = opened.page, ".player[data-mode=switch] >> nth=-1"  # of the results
    lanes = page.locator(player).locator(".lane")
    names = [name.strip() for name in lanes.locator(".lane-name").all_inner_texts()]
    assert names[:3] == ["mixture", "piano: true", "piano: oracle:irm"]
    assert "SI-SDR" in lanes.nth(2).locator(".lane-label").inner_text()
    page.locator(player).locator(".seek").fill("0.5")
    place = page.locator(player).get_attribute("data-place")
    for k in (2, 1, 0, 2):
        lanes.nth(k).locator(".choose").check()
        audible = [lane.get_attribute("data-audible") for lane in lanes.all()]
        assert audible == [str(n == k).lower() for n in range(len(names))]
        assert page.locator(player).get_attribute("data-place") == place == "0.500"
    page.locator(player).locator(".play").click()
    moving = "Number([...document.querySelectorAll('.player')].at(-1).dataset.place)"
    opened.until(f"{moving} > 0.55")
    lanes.nth(1).locator(".choose").check()
    assert page.evaluate(moving) > 0.55  # it goes on where it was
    opened.close()


def test_a_new_mix_can_be_downloaded(players: Opened) -> None:
    page = players.page
    page.locator("[data-mode=remix] [aria-label='Pan of drums']").fill("-1")
    page.locator("[data-mode=remix] [aria-label='Pan of bass']").fill("1")
    page.click("[data-mode=remix] [aria-label='Mute vocals']")
    with page.expect_download() as waiting:
        page.click("[data-mode=remix] .download")
    assert waiting.value.suggested_filename == "A remix player remix.wav"
    rate, samples = wavfile.read(io.BytesIO(Path(waiting.value.path()).read_bytes()))
    assert rate == RATE and samples.shape == (N, 2) and samples.dtype == np.float32
    drums, bass = (
        decode(make_clip(burst(onset), RATE).mp3, "clip")[0][0, :N] for onset in ONSETS[:2]
    )
    np.testing.assert_allclose(samples[:, 0], drums, atol=2e-3)
    np.testing.assert_allclose(samples[:, 1], bass, atol=2e-3)


@pytest.mark.parametrize("view", ["waveform", "notes", "spectrogram"])
def test_pictures_show_where_the_sound_is(view: str, players: Opened) -> None:
    """The column of each picture that has most to show is that of the pulse, or of the note."""
    players.page.check(f"[data-mode=mix] .views input[value={view}]", force=True)
    script = """await p.load(); p.draw();
    return p.tracks.map(({ canvas }) => {
        const { width, height } = canvas;
        const { data } = canvas.getContext("2d").getImageData(0, 0, width, height);
        const sums = new Array(width).fill(0);
        for (let i = 0; i < width * height; i++) {
            const [r, g, b, a] = data.slice(4 * i, 4 * i + 4);
            sums[i % width] += p.view === "spectrogram" ? r + g + b : a;
        }
        return sums.indexOf(Math.max(...sums)) / width;
    });"""
    for place, onset in zip(players.ask("mix", script), ONSETS, strict=True):
        assert abs(place - onset / N) < 0.06


def test_hostile_names_do_nothing(browser: Any, tmp_path: Path) -> None:
    name = "\"><script>alert(1)</script></script><img src=x onerror=alert(2)>\u202e{{7*7}}'"
    track = PlayerTrack(name, make_clip(burst(8000), RATE), name)
    player = StemPlayer(name, [track], PlayerMode.REMIX, name)
    file = tmp_path / "hostile.html"
    file.write_text(render_page(Page(name, name, [PageSection(name, [player])], name)), "utf-8")
    opened = Opened(browser, file)
    assert opened.page.title() == name
    assert opened.page.text_content("h1") == name
    assert opened.page.text_content(".lane-label") == name
    assert opened.page.evaluate("document.images.length") == 0
    opened.page.click("[data-mode=remix] .mute")
    assert opened.page.get_attribute(".lane", "data-gain") == "0.0000"
    opened.close()


def test_a_clip_that_cannot_be_decoded_is_said(browser: Any, tmp_path: Path) -> None:
    track = PlayerTrack("a", make_clip(burst(8000), RATE))
    broken = render_page(Page("t", "", [PageSection("s", [StemPlayer("p", [track])])]))
    begin = broken.index('class="mp3">') + len('class="mp3">')
    file = tmp_path / "broken.html"
    file.write_text(broken[:begin] + "AAAA" + broken[broken.index("</script>", begin) :], "utf-8")
    opened = Opened(browser, file)
    opened.page.click(".play")
    opened.until("document.querySelector('.state').textContent.length > 0")
    assert "cannot be decoded here" in opened.page.text_content(".state")
    assert opened.state("mix", "playing") == "false"
    opened.close()
