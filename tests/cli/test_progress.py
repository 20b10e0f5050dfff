"""What a command says while it works, and when it is told to stop."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NoReturn

import pytest
import stemsmith
from stemsmith.cli import console
from stemsmith.cli.console import BarTicker, Terminal
from stemsmith.cli.main import main
from stemsmith.cli.options import Common
from stemsmith.manifests.interrupts import heeding_signals, stop_if_wanted
from stemsmith.render.checking import audit_corpus


class Clock:
    """Stands for `time.monotonic`."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now_s = 1000.0
        monkeypatch.setattr(console.time, "monotonic", lambda: self.now_s)


def test_the_time_left_is_that_of_the_audio_planned(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    ticker = BarTicker(total=4, planned_audio_s=600)
    assert ticker.left_s is None, "nobody knows before the first song"
    clock.now_s += 10
    ticker.advance(audio_s=300)  # the longest song: half of the work, not a quarter
    assert ticker.left_s == 10
    assert ticker.line("render") == "render 1/4, 0.10/s, 30 x real time, 0:00:10 left"
    clock.now_s += 4
    assert ticker.left_s == 6, "it is counted down between two songs"
    clock.now_s += 100
    assert ticker.left_s == 0
    ticker.advance(n=3, audio_s=300)
    assert ticker.left_s == 0


def test_the_time_left_is_that_of_the_items_where_no_audio_is_planned(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = Clock(monkeypatch)
    ticker = BarTicker(total=100, n_done=60)  # an earlier run did these in no time
    clock.now_s += 7
    ticker.advance()
    assert ticker.left_s == 39 * 7
    assert ticker.line("scan") == "scan 61/100, 0.14/s, 0:04:33 left"
    ticker.tell("all is well")
    assert ticker.line("scan") == "scan 61/100, 0.14/s, all is well, 0:04:33 left"


def test_a_line_a_minute_where_there_is_no_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert console._LINE_S == 60
    monkeypatch.setattr(console, "_LINE_S", 0.05)
    with Terminal().loop("render", 3, n_done=1, audio_s=10) as ticker:
        ticker.advance(audio_s=5)
        time.sleep(0.3)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) >= 2
    for line in lines:
        assert re.fullmatch(r"render 2/3, [\d.]+/s, \d+ x real time, 0:00:0\d left", line)
    with Terminal(Common(is_quiet=True)).loop("render", 3) as ticker:
        time.sleep(0.3)
        ticker.advance()
    time.sleep(0.1)
    assert capsys.readouterr().err == "", "neither if it is to be quiet, nor after the end"


def test_a_bar_where_there_is_a_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "120")
    with Terminal().loop("epoch [1/2]", 4, n_done=1) as ticker:
        ticker.tell("loss 0.5")
        ticker.advance()
        time.sleep(0.3)
    text = re.sub(r"\x1b\[[\d;?]*[a-zA-Z]", "", capsys.readouterr().err)
    assert re.search(r"epoch \[1/2\] .*2/4 0:00:0\d .*loss 0\.5, 0:00:0\d left", text), text


# Told to stop.


@pytest.mark.parametrize(
    ("command", "function", "text"),
    [
        (("scan", "x"), "render.workflow.scan", "Nothing was written; the same command begins"),
        (("render", "x", "y"), "render.workflow.render_corpus", "The same command goes on"),
        (("mix", "x", "y"), "mixing.workflow.mix", "The same command goes on"),
        (("evaluate", "mixture", "x", "y"), "evaluate.workflow.evaluate_system", "same command go"),
        (("demo", "y"), "render.workflow.render_corpus", "The same command goes on"),
        (("train", "x", "y", "--target", "bass"), "train.workflow.train_model", "with --resume"),
        (("separate", "r", "x", "y"), "evaluate.workflow.separate_files", "with --overwrite"),
        (
            ("export", "x", "y", "--format", "bach10"),
            "share.workflow.export_dataset",
            "The same command goes on",
        ),
        (("audit", "x"), "render.checking.audit_corpus", "the same command begins again"),
        (("validate", "x"), "folders.open_folder", "the same command begins again"),
    ],
)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_last_line_of_what_was_stopped_says_how_to_go_on(
    command, function, text, number, here, tmp_path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: object, **__: object) -> NoReturn:
        os.kill(os.getpid(), number)
        time.sleep(1)
        raise AssertionError("went on")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(f"stemsmith.{function}", stop)
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    done = here(*command)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("Aborted! ")
    assert text in done.stderr.splitlines()[-1]
    assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == before


def test_an_interrupt_that_somebody_drops_is_remembered() -> None:
    with pytest.raises(KeyboardInterrupt), heeding_signals():
        stop_if_wanted()
        try:
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(1)
        except KeyboardInterrupt:
            pass  # as importing pyarrow does
        with Terminal().loop("render", 3):
            raise AssertionError("went on")
    stop_if_wanted()


def test_an_interrupt_that_python_drops_is_no_traceback(monkeypatch) -> None:
    """It drops what is raised where nobody can catch it: in finalisers, and where it collects."""

    class Dropping:
        def __init__(self, act: Callable[[], object]) -> None:
            self.act = act

        def __del__(self) -> None:
            self.act()

    reported: list[object] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda one: reported.append(one.exc_type))
    before = sys.unraisablehook
    with pytest.raises(KeyboardInterrupt), heeding_signals():
        Dropping(lambda: os.kill(os.getpid(), signal.SIGINT))
        Dropping(lambda: 1 / 0)
        stop_if_wanted()
    assert sys.unraisablehook is before
    assert reported == [ZeroDivisionError]


def test_signals_that_are_ignored_stay_so() -> None:
    before = signal.signal(signal.SIGTERM, signal.SIG_IGN)  # as by nohup
    try:
        with heeding_signals():
            assert signal.getsignal(signal.SIGTERM) is signal.SIG_IGN
            os.kill(os.getpid(), signal.SIGTERM)
            stop_if_wanted()
    finally:
        signal.signal(signal.SIGTERM, before)


@pytest.mark.parametrize("command", sorted(main.commands))
def test_a_wrong_argument_is_no_traceback(command: str, here, tmp_path) -> None:
    missing = [str(tmp_path / f"missing{k}") for k in range(4)]
    wrong = [missing[:n] for n in range(1, 5)] if command != "demo" else []  # its folder is new
    for arguments in (["--no-such-option"], *wrong):
        done = here(command, *arguments)
        assert done.returncode in (1, 2), (command, arguments)
        assert "Traceback" not in done.stderr
        assert done.stderr


class Planned:
    """Compares what is planned with what is done."""

    def __init__(self) -> None:
        self.loops: dict[str, list[float]] = {}

    @contextlib.contextmanager
    def loop(
        self, title: str, total: int, *, n_done: int = 0, audio_s: float = 0.0
    ) -> Iterator[Planned]:
        self.current = self.loops[title] = [total - n_done, audio_s, 0, 0.0]
        yield self

    def advance(self, n: int = 1, audio_s: float = 0.0) -> None:
        self.current[2] += n
        self.current[3] += audio_s

    def tell(self, text: str) -> None:
        pass

    def warn(self, message: str) -> None:
        pass

    def note(self, message: str) -> None:
        pass


def test_as_much_audio_is_made_as_was_planned(workshop: Path) -> None:
    planned = Planned()
    stemsmith.render_corpus("scores", "c", band=None, min_notes=1, progress=planned)
    render = planned.loops.pop("render")
    stemsmith.render_renditions(
        "scores/duets", "r", n_renditions=2, shifts_s=(0.0, 0.1), headroom_db=36, progress=planned
    )
    stemsmith.mix(
        "corpus", "m", n_mixtures=4, clip_s=1, min_rms_dbfs=-60, audio_format="flac",
        progress=planned,
    )  # fmt: skip
    audit_corpus("c", progress=planned)
    loops = {"songs": render, **{name: planned.loops[name] for name in ("render", "mix", "audit")}}
    for name, (n_planned, planned_s, n_done, done_s) in loops.items():
        assert n_done == n_planned, name
        assert done_s == pytest.approx(planned_s, rel=0.01), name
        assert done_s > 0
