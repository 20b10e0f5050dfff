"""Paths of users: local ones alone, homes after prefixes, commas."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import stemsmith
from stemsmith.cli.main import main
from stemsmith.manifests.errors import UsageError
from stemsmith.manifests.paths import local_path, paths_between_commas
from stemsmith.share import compare_results

ADDRESSES = ("s3://bucket/x", "gs://b", "file:///tmp/x", "hdfs+x://host/y", "HTTPS://h/z")


@pytest.mark.parametrize("text", ADDRESSES)
def test_an_address_is_no_path(text: str) -> None:
    with pytest.raises(UsageError, match="is an address, and only local files") as error:
        local_path(text)
    assert str(error.value).startswith(f"{text}: ")
    with pytest.raises(UsageError, match="is an address"):
        local_path(Path(text))  # which has one slash


@pytest.mark.parametrize(
    "command",
    [("scan", ""), ("render", "", "c"), ("mix", "corpus", ""), ("separate", "run,", "a", "d")],
)
def test_an_empty_path_is_not_the_current_folder(command: tuple[str, ...], here) -> None:
    """As of a variable of the shell that is not set."""
    done = here(*command)
    assert done.returncode == 2
    assert done.stderr == "Error: a path is empty; a variable of the shell may not be set\n"


@pytest.mark.parametrize(
    "text", ["a", "./s3:/x", "a/s3://b", "musdb:/x", "C:/x", "C:\\x", "a:b", "~", "~x/y"]
)
def test_what_is_no_address_is_a_path(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    assert local_path(text) == Path("/home/me" if text == "~" else text)


def test_the_home_is_expanded_in_text(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    assert local_path("~/x") == Path("/home/me/x")
    assert local_path(Path("~/x")) == Path("~/x")  # of a folder of that name


def test_commas_of_paths_that_are_there_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("a", "a,b", "c,d,e"):
        (tmp_path / name).mkdir()
    assert paths_between_commas("a") == ["a"]
    assert paths_between_commas("a,b") == ["a,b"]
    assert paths_between_commas("a,c,d,e,a,b,a") == ["a", "c,d,e", "a,b", "a"]
    assert paths_between_commas("x,y,a") == ["x", "y", "a"]
    assert paths_between_commas("s3://b/a,b,s3://b/a") == ["s3://b/a", "b", "s3://b/a"]


# Every argument and option of every command that is a path gets an address in turn.
COMMANDS = {
    "scan": ["{}"],
    "render": [
        "{}",
        "{}",
        "--soundfont",
        "--patches",
        "--bank",
        "--balance",
        "--effects",
        "--room",
        "--scheduler-file",
        "--tls-ca",
        "--tls-cert",
        "--tls-key",
    ],
    "banks": ["--scheduler-file", "--tls-ca"],
    "merge": ["{}"],
    "audit": ["{}"],
    "gap": ["{}", "folder:{}", "--fit", "--songs", "--baseline"],
    "mix": ["{}", "{}", "--taxonomy", "--soundfont", "--bank"],
    "train": ["{}", "{}", "--init", "--validation", "--cache"],
    "runs": ["{}"],
    "separate": ["{}", "{}", "{}"],
    "export": ["{}", "{}", "--taxonomy"],
    "evaluate": ["estimates:{}", "folder:{}", "{}", "--taxonomy"],
    "compare": ["{}", "{}", "--public", "--groups", "--csv", "--markdown", "--latex", "--plot"],
    "validate": ["{}"],
    "certify": ["{}"],
    "pack": ["{}", "{}"],
    "restore": ["{}", "{}", "--midi", "--soundfont", "--bank", "--room", "--aligned"],
    "report": ["{}", "folder:{}", "--out"],
    "demo": ["{}"],
    "latents": ["{}", "folder:{}", "--plot", "--csv"],
    "study": ["{}", "{}"],
}
# What may be an address of an object store, by its place in the list above.
ANYWHERE = {
    "scan": {0},
    "render": {0, 1, 2, 4},
    "audit": {0},
    "mix": {0, 1, 3, 4},
    "train": {0, 1, 2, 3},
    "runs": {0},
    "evaluate": {0, 1, 2},
    "compare": {0, 1},
    "validate": {0},
    "merge": {0},
    "certify": {0},
    "gap": {0, 1, 4},
    "separate": {0},
    "latents": {0, 1},
    "export": {0},
    "report": {0, 1},
    "pack": {0, 1},
    "restore": {0, 1, 2, 3, 4},
}
CASES = [
    (command, place)
    for command, arguments in COMMANDS.items()
    for place in [*range(len(arguments)), "--config"]
]


@pytest.mark.parametrize(("command", "place"), CASES, ids=str)
def test_no_command_takes_any_address(
    command: str, place: int | str, tmp_path: Path, here: Callable[..., object], monkeypatch
) -> None:
    """Of those that take addresses of object stores, none takes another one."""
    if command in ("train", "separate"):
        pytest.importorskip("torch")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "there").mkdir()
    is_anywhere = place in ANYWHERE.get(command, set())
    address = "http://bucket/x" if is_anywhere else "s3://bucket/x"
    given: list[str] = [command]
    for k, argument in enumerate(COMMANDS[command]):
        value = address if k == place else "there"
        if argument.startswith("--"):
            given += [argument, value] if k == place else []
        else:
            given.append(argument.format(value))
    given += ["--config", "s3://bucket/x"] if place == "--config" else []
    given += ["--format", "musdb"] if command == "export" else []
    given += ["--midi", "there"] if command == "restore" and "--midi" not in given else []
    if command == "train":
        given += ["--target", "bass"]
    done = here(*given)
    assert done.returncode == 2, done.stderr
    kind = "of a kind that cannot be opened" if is_anywhere else "and only local files"
    assert done.stderr.startswith(f"Error: {address}: is an address"), done.stderr
    assert kind in done.stderr
    assert done.stderr.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["there"]
    assert not list((tmp_path / "there").iterdir())


def test_every_command_with_a_path_is_tried() -> None:
    import click
    from stemsmith.cli.options import LocalPath

    with_paths = set()
    for name, command in main.commands.items():
        if any(isinstance(p.type, LocalPath) and p.name != "config" for p in command.params):
            with_paths.add(name)
        assert not any(
            isinstance(p.type, click.Path) and not isinstance(p.type, LocalPath)
            for p in command.params
        ), name
    assert with_paths <= set(COMMANDS)


@pytest.mark.parametrize("path", ["http://b/x", Path("s3://b/x")])
def test_no_function_takes_any_address(path: str | Path, workshop: Path) -> None:
    before = sorted(p.name for p in workshop.iterdir())
    for call in (
        lambda: stemsmith.scan(path),
        lambda: stemsmith.render_corpus("scores", path),
        lambda: stemsmith.render_corpus(path, "c"),
        lambda: stemsmith.make_bank(soundfonts=[path]),
        lambda: stemsmith.make_bank(patches=path),
        lambda: stemsmith.mix("corpus", path),
        lambda: stemsmith.mix(path, "m"),
        lambda: stemsmith.evaluate_system("mixture", "corpus", path),
        lambda: compare_results(["results", path]),
        lambda: compare_results(["results"], path),
        lambda: stemsmith.open_folder(path),
        lambda: stemsmith.validate(path),
        lambda: stemsmith.Corpus(path),
        lambda: stemsmith.Mixtures(path),
        lambda: stemsmith.Results(path),
    ):
        with pytest.raises(UsageError, match="is an address"):
            call()
    assert sorted(p.name for p in workshop.iterdir()) == before
