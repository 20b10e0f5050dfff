"""Licences of scores: what a licences.tsv says, and what is wanted."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from stemsmith.manifests.errors import UsageError
from stemsmith.render.corpus.licences import is_among, parse_licence, read_licences
from stemsmith.render.workflow import scan

PATHS = ["a.mid", "pop/b.mid", "pop/c.mid", "pop/old/d.mid", "rock/e.mid"]


def write(root: Path, folder: str, *lines: str) -> None:
    (root / folder).mkdir(parents=True, exist_ok=True)
    text = "".join(line.replace(" -> ", "\t") + "\n" for line in lines)
    (root / folder / "licences.tsv").write_text(text, "utf-8")


def test_without_a_file_no_licence_is_known(tmp_path: Path) -> None:
    assert read_licences(tmp_path, PATHS) == {}


def test_files_and_folders_have_licences_and_the_nearest_holds(tmp_path: Path) -> None:
    write(
        tmp_path,
        ".",
        "path -> SPDX -> source",
        "# what we know",
        "",
        "a.mid -> CC0-1.0 -> https://example.org",
        "pop -> CC-BY-4.0",
        "pop/c.mid ->  MIT  OR X11",
        "pop/gone.mid -> MIT",
    )
    write(tmp_path, "pop/old", ". -> CC-BY-SA-3.0")
    assert read_licences(tmp_path, PATHS) == {
        "a.mid": "CC0-1.0",
        "pop/b.mid": "CC-BY-4.0",
        "pop/c.mid": "MIT OR X11",
        "pop/old/d.mid": "CC-BY-SA-3.0",
    }


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("a.mid", "line 1: give a path, a tab and an SPDX licence"),
        ("a.mid -> ", "line 1: '': not an SPDX licence"),
        ("a.mid -> free for all", "line 1: 'free for all': not an SPDX licence"),
        ("../a.mid -> MIT", "line 1: ../a.mid is not below the folder of the file"),
        ("/a.mid -> MIT", "line 1: /a.mid is not below the folder of the file"),
    ],
)
def test_a_line_that_cannot_be_read_is_named(tmp_path: Path, line: str, message: str) -> None:
    write(tmp_path, ".", line)
    with pytest.raises(UsageError, match=r"licences\.tsv: ") as caught:
        read_licences(tmp_path, PATHS)
    assert message in str(caught.value)


def test_contradictions_are_named(tmp_path: Path) -> None:
    write(tmp_path, ".", "pop/b.mid -> MIT")
    write(tmp_path, "pop", "b.mid -> CC0-1.0")
    with pytest.raises(UsageError, match=r"line 1: pop/b\.mid is MIT elsewhere"):
        read_licences(tmp_path, PATHS)


def test_what_is_no_text_is_named(tmp_path: Path) -> None:
    (tmp_path / "licences.tsv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UsageError, match=r"licences\.tsv: not a text file in UTF-8"):
        read_licences(tmp_path, PATHS)


def test_expressions() -> None:
    assert parse_licence(" GPL-2.0-only  WITH Classpath-exception-2.0 ").count(" ") == 2
    assert is_among("LicenseRef-ours", ["licenseref-OURS"])
    assert is_among("MIT AND X11", ["X11", "MIT"])
    assert not is_among("GPL-2.0-only WITH Classpath-exception-2.0", ["GPL-2.0-only"])
    assert not is_among("MIT", [])


def test_a_scan_knows_licences(tmp_path: Path, make_song: Callable[..., Path]) -> None:
    make_song(tmp_path / "x" / "a.mid")
    make_song(tmp_path / "b.mid", seed=1)
    write(tmp_path, "x", "a.mid -> CC0-1.0")
    found = {song.path: song.licence for song in scan(tmp_path).song_records()}
    assert found == {"x/a.mid": "CC0-1.0", "b.mid": None}
