"""The pages of ``docs/``: their examples run, their commands are commands, their links lead on."""

from __future__ import annotations

import doctest
import importlib.util
import re
import shlex
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
from soundfont_maker import SAMPLE_MODES, Program, Zone, tone, write_sf2
from stemsmith.cli.main import main
from stemsmith.manifests.shards import schema_of

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(DOCS.glob("*.md"))]
LINK = re.compile(r"(?<!`)\]\((?!https?:|mailto:)([^)\s]+)\)")
# What stands for something that one writes oneself, or is not one command.
NO_COMMAND = re.compile(r"\.\.\.|[\[\]|{}<>`]|\$\(|\bFILE\b(?=.*\|)|COMMAND")


def script(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"site_{name}", DOCS / "site" / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_links_lead_to_files_and_headings(page: Path) -> None:
    for link in LINK.findall(page.read_text("utf-8")):
        name, _, anchor = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        assert target.exists(), f"{page.name}: {link}"
        if anchor and target.suffix == ".md":
            assert anchor in anchors(target), f"{page.name}: {link}"


def anchors(page: Path) -> set[str]:
    """Return the anchors of headings as forges and Python-Markdown make them."""
    text = re.sub(r"^```.*?^```", "", page.read_text("utf-8"), flags=re.S | re.M)
    headings = re.findall(r"^#+ (.*)$", text, flags=re.M)
    plain = (re.sub(r"[^\w\s-]", "", heading.lower()).strip() for heading in headings)
    return {re.sub(r"\s+", "-", heading) for heading in plain}


def commands() -> Iterator[tuple[str, str]]:
    """Yield the commands that stand in the pages, by page."""
    for page in PAGES:
        text = page.read_text("utf-8").replace("\\\n", " ")
        for line in re.findall(r"^(?:\$ |    )(stemsmith [a-z].*)$", text, flags=re.M):
            command = line.split(" #")[0].replace("$HOME", "/home/me").strip()
            if not NO_COMMAND.search(command):
                yield page.name, command


@pytest.mark.parametrize(("page", "line"), sorted(set(commands())), ids=str)
def test_commands_in_pages_can_be_parsed(page: str, line: str) -> None:
    _, name, *arguments = shlex.split(line.rstrip(";"))
    assert name in main.commands, line
    if {"$system", "--help"} & set(arguments):
        return
    with main.commands[name].make_context(name, arguments) as context:
        assert not context.args


def test_pages_have_commands_enough_to_be_worth_this() -> None:
    assert len(set(commands())) > 80


@pytest.fixture
def own_things(workshop: Path, make_noise, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Return the workshop with what the pages about adding one's own begin with."""
    zone = Zone(0, generators={SAMPLE_MODES: 1})
    write_sf2(workshop / "Own.sf2", [tone()], [[zone]], [Program([Zone(0)])])
    for song in ("one", "two"):
        for stem in ("bass", "drums"):
            make_noise(workshop / "takes" / f"{song}_{stem}.wav", seconds=2, sample_rate=16000)
    monkeypatch.syspath_prepend(str(workshop))
    yield workshop
    for name in ("my_layout", "my_metrics"):
        sys.modules.pop(name, None)


def run(page: str) -> None:
    result = doctest.testfile(
        str(DOCS / page), module_relative=False, optionflags=doctest.NORMALIZE_WHITESPACE
    )
    assert result.attempted >= 3
    assert result.failed == 0


@pytest.mark.usefixtures("own_things")
def test_what_one_adds_works() -> None:
    run("extending.md")


def test_voices_lie_over_songs(workshop: Path, make_noise) -> None:
    for k, split in enumerate(("train", "valid", "test")):
        path = workshop / "voices" / split / "vocals" / f"singer_{k}.wav"
        make_noise(path, seconds=3, n_channels=1, sample_rate=16000, seed=k)
    run("vocals.md")


def test_scores_of_pdmx_are_taken_by_their_licences(workshop: Path) -> None:
    """The table has the columns that PDMX.csv has (pnlong/PDMX), and some of the others."""
    rows = [
        ("0/1/QmA", "cc-zero", "False", "True"),
        ("0/2/QmB", "publicdomain", "False", "True"),
        ("0/3/QmC", "cc-zero", "True", "False"),
    ]
    lines = ["path,mid,title,license,license_conflict,subset:no_license_conflict"]
    for number, (name, licence, conflict, is_clean) in enumerate(rows, 1):
        mid = f"./mid/{name}.mid"
        target = workshop / "PDMX" / "mid" / f"{name}.mid"
        target.parent.mkdir(parents=True)
        shutil.copy(workshop / "scores" / "bands" / f"band_{number}.mid", target)
        lines.append(f'./data/{name}.json,{mid},"a, title",{licence},{conflict},{is_clean}')
    (workshop / "PDMX" / "PDMX.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    run("pdmx.md")


def test_the_page_of_formats_is_that_of_the_records() -> None:
    formats = script("formats")
    assert (DOCS / "formats.md").read_text("utf-8") == formats.page(), (
        "run: python docs/site/formats.py"
    )
    named = {record for entries in formats.RECORDS.values() for record, _ in entries}
    for record in named:
        said = formats.described(record)
        assert set(schema_of(record).names) <= set(said), record
        assert all(said.values())


def test_every_record_that_is_written_is_on_the_page_of_formats() -> None:
    """Those that are written are an argument of `write_records`, by its name."""
    named = {r.__name__ for entries in script("formats").RECORDS.values() for r, _ in entries}
    written: set[str] = set()
    packages = (
        *("cli", "evaluate", "front", "manifests", "mixing"),
        *("render", "share", "studies", "train"),
    )
    for path in (p for package in packages for p in (ROOT / package).rglob("*.py")):
        calls = re.findall(r"write_records\(.*?, ([A-Z]\w+), ", path.read_text("utf-8"))
        written |= set(calls)
    assert {"Stem", "Song", "Mixture", "SongScore"} <= written
    # Of the cache, and of a run that has not finished: nobody's but ours.
    assert written - named <= {"PresetMeasurement", "ScannedSong"}


def test_every_name_of_the_front_door_is_on_the_page_of_the_api() -> None:
    import stemsmith

    listed = re.findall(r"^::: stemsmith\.(\w+)$", (DOCS / "api.md").read_text("utf-8"), re.M)
    assert sorted(listed) == sorted(name for name in stemsmith.__all__ if name != "__version__")


def test_the_pictures_are_drawn_by_their_script(tmp_path: Path, monkeypatch) -> None:
    pictures = script("pictures")
    monkeypatch.setattr(pictures, "IMAGES", tmp_path)
    for draw in ("pipeline", "song", "recipe", "coherent", "renditions"):
        getattr(pictures, draw)()
        name = f"{draw}.svg"
        assert (tmp_path / name).read_bytes() == (DOCS / "images" / name).read_bytes()


NOTEBOOKS = sorted((DOCS / "notebooks").glob("*.py"))


@pytest.mark.slow  # `.ci/run` runs them beside the documentation that shows them
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebooks_run(path: Path, tmp_path: Path) -> None:
    """In a kernel of their own, where a warning of Python is an error."""
    pytest.importorskip("lightning")
    jupytext = pytest.importorskip("jupytext")
    nbclient = pytest.importorskip("nbclient")
    nbformat = pytest.importorskip("nbformat")
    notebook = jupytext.read(path)
    strict = "import warnings\nwarnings.simplefilter('error')"
    notebook.cells.insert(0, nbformat.v4.new_code_cell(strict))
    client = nbclient.NotebookClient(
        notebook, timeout=300, resources={"metadata": {"path": str(tmp_path)}}
    )
    client.execute()
    outputs = [output for c in notebook.cells if c.cell_type == "code" for output in c.outputs]
    assert any(output.output_type in ("execute_result", "stream") for output in outputs)
    assert not any(output.get("name") == "stderr" for output in outputs)
