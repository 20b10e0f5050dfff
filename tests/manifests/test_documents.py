"""YAML, TOML and JSON of anyone's: what is read, and what is refused in one line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from stemsmith.manifests.documents import (
    Every,
    Nullable,
    Optional,
    misfit,
    parse_json,
    read_json,
    read_toml,
    read_yaml,
)
from stemsmith.manifests.errors import InvalidCorpus, UsageError, one_line

DEEPEST = 32
LAUGHS = "a: &a [x]\n" + "".join(
    f"{chr(98 + k)}: &{chr(98 + k)} [{', '.join([f'*{chr(97 + k)}'] * 9)}]\n" for k in range(9)
)


def refusal(path: Path, content: str | bytes, read: Any = read_yaml) -> str:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    with pytest.raises(UsageError) as caught:
        read(path)
    text = str(caught.value)
    assert text.startswith(f"{path}: ")
    assert text.isprintable()
    return text.removeprefix(f"{path}: ")


def test_plain_values_are_read(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_text("a: [1, 2.5, true, null, text]\nb: {c: 2001-02-03, d: 0x1F, e: 1:30}\n")
    content = read_yaml(path)
    assert content["a"] == [1, 2.5, True, None, "text"]
    assert (str(content["b"]["c"]), content["b"]["d"], content["b"]["e"]) == ("2001-02-03", 31, 90)
    path.write_text("a = 1\n[t]\nb.c = ['x']\n")
    assert read_toml(path) == {"a": 1, "t": {"b": {"c": ["x"]}}}
    path.write_text('{"a": NaN}')
    assert read_json(path)["a"] != read_json(path)["a"]


def test_a_few_bytes_of_aliases_are_not_followed(tmp_path: Path) -> None:
    assert len(LAUGHS) < 500, "which would be 9**9 nodes"
    assert "alias" in refusal(tmp_path / "f.yaml", LAUGHS)
    for text in ("a: &a [*a]", "a: &a {b: 1}\nc: {<<: *a}", "- &x 1\n- *x"):
        assert "alias" in refusal(tmp_path / "f.yaml", text), text


@pytest.mark.parametrize(
    "text",
    [
        "a: [", "a: b: c", "\t- x", "'", "? [1]: 2\n? {}: 3", "a: !!int x", "a: !!int ''",
        "a: !!bool maybe",
        "a: !!timestamp x", "a: 2001-99-99", "a: !!binary é", "a: !!python/object:os.system {}",
        "a: !!omap [1]",
        "%YAML 9.9\n--- a", "a: \0", "--- a\n--- b", "{[1]: 2}", "a: !!float x",
        f"a: {'1:' * 5000}1",
        f"a: 0x{'f' * 5000}", "*a", "a: \x85\x07",
    ],
)  # fmt: skip
def test_whatever_yaml_s_parser_does_is_one_line(tmp_path: Path, text: str) -> None:
    assert refusal(tmp_path / "f.yaml", text).startswith("not valid YAML: ")


@pytest.mark.parametrize(
    "text", ["a", "a =", "a = [", "a = 1\na = 2", "[t]\n[t]", "a = 2001-99-99", "a = '\0'",
    b"a = '\xff'",
             "a = 0x", "a = nan nan", 'a = "\\uD800"'],
)  # fmt: skip
def test_whatever_toml_s_parser_does_is_one_line(tmp_path: Path, text: str | bytes) -> None:
    assert refusal(tmp_path / "f.toml", text, read_toml).startswith("not valid TOML: ")


@pytest.mark.parametrize("text", ["", "{", "[1,]", "nan", b"\xff", '{"a": 1} x', "1" * 5000])
def test_whatever_json_s_parser_does_is_one_line(tmp_path: Path, text: str | bytes) -> None:
    assert refusal(tmp_path / "f", text, read_json).startswith("cannot be read as JSON: ")


@pytest.mark.parametrize("depth", [DEEPEST + 1, 200, 5000, 60_000])
def test_depth_is_limited(tmp_path: Path, depth: int) -> None:
    deep = f"nested more than {DEEPEST} levels deep"
    brackets = "[" * depth + "]" * depth
    assert deep in refusal(tmp_path / "f", f"a: {brackets}")
    assert deep in refusal(tmp_path / "f", f"a = {brackets}", read_toml)
    assert deep in refusal(tmp_path / "f", f"a{'.a' * depth} = 1", read_toml)
    assert deep in refusal(tmp_path / "f", f"[a{'.a' * depth}]", read_toml)
    assert deep in refusal(tmp_path / "f", brackets, read_json)
    indented = "".join(f"{' ' * k}a:\n" for k in range(min(depth, 500)))
    assert deep in refusal(tmp_path / "f", indented)


def test_what_is_as_deep_as_allowed_is_read(tmp_path: Path) -> None:
    brackets = "[" * (DEEPEST - 1) + "]" * (DEEPEST - 1)
    (tmp_path / "f").write_text(f"a: {brackets}")
    assert read_yaml(tmp_path / "f")["a"] == json.loads(brackets)
    assert parse_json(brackets) == json.loads(brackets)


def test_size_is_limited_before_anything_is_parsed(tmp_path: Path) -> None:
    assert "more than 1024 KiB" in refusal(tmp_path / "f", b"#" * ((1 << 20) + 1))
    assert "more than 256 KiB" in refusal(tmp_path / "f", b"#" * ((1 << 18) + 1), read_toml)
    (tmp_path / "f").write_bytes(b"#" * (1 << 18))
    assert read_toml(tmp_path / "f") == {}


def test_a_long_line_of_names_is_no_deep_key(tmp_path: Path) -> None:
    names = [f"a.b.{k}.wav" for k in range(200)]
    (tmp_path / "f").write_text(f"names = {json.dumps(names)}\n")
    assert read_toml(tmp_path / "f") == {"names": names}


def test_what_cannot_be_opened(tmp_path: Path) -> None:
    for read in (read_yaml, read_toml):
        with pytest.raises(InvalidCorpus, match=r"f: cannot be read: No such file"):
            read(tmp_path / "f", InvalidCorpus)
    with pytest.raises(FileNotFoundError):
        read_json(tmp_path / "f")
    with pytest.raises(UsageError, match="cannot be read: Is a directory"):
        read_json(tmp_path)


def test_shapes() -> None:
    shape = {
        "n": int,
        "x": float,
        "many": Every(list, {"name": str}),
        "more": Optional(Nullable(bool)),
    }
    sound = {"n": 1, "x": 2, "many": [{"name": "a", "odd": 1}], "other": None}
    assert misfit(sound, shape) == ""
    assert misfit({**sound, "more": None}, shape) == misfit({**sound, "more": True}, shape) == ""
    assert misfit({**sound, "n": True}, shape) == "n is not a whole number"
    assert misfit({**sound, "n": 1.0}, shape) == "n is not a whole number"
    assert misfit({**sound, "x": "2"}, shape) == "x is not a number"
    assert misfit({**sound, "x": False}, shape) == "x is not a number"
    assert misfit({**sound, "more": 0}, shape) == "more is not true or false"
    assert misfit({**sound, "many": {}}, shape) == "many is not a list"
    assert misfit({**sound, "many": [{"name": "a"}, {}]}, shape) == "many.1.name is missing"
    assert misfit([], shape) == "it is not a table of names and values"
    assert misfit({"a\nb": 1}, Every(dict, str)) == r"'a\nb' is not text"
    assert misfit({"a": None}, {"a": Optional(str)}) == "a is not text"
    assert misfit({"a": True}, {"a": object}) == ""


def test_a_line_of_somebody_else_s_is_one_line() -> None:
    assert one_line(ValueError("a\n  b\tc ")) == "a b c"
    assert one_line(KeyError()) == "KeyError"
    assert one_line("bell \a and \x1b[2J") == r"bell \x07 and \x1b[2J"
