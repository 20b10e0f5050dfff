"""Tar shards: what tarfile wrote is found where it is, and what no shard of ours has is refused."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest
from stemsmith.manifests.errors import InvalidCorpus
from stemsmith.manifests.tar_shards import (
    INDEX,
    TarIndex,
    index_text,
    read_index,
    read_members,
    writing_tar,
)

FILES = {"a-1.mixture.flac": b"x" * 700, "a-1.json": b"", "folder/b.wav": b"y" * 512}


def write_tar(
    path: Path, *more: tarfile.TarInfo, format: int = tarfile.USTAR_FORMAT, files=FILES
) -> Path:
    with tarfile.open(path, "w:", format=format) as tar:
        for name, content in files.items():
            head = tarfile.TarInfo(name)
            head.size = len(content)
            tar.addfile(head, io.BytesIO(content))
        for head in more:
            tar.addfile(head)
    return path


def refusal(path: Path) -> str:
    with pytest.raises(InvalidCorpus) as caught:
        read_members(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert str(caught.value).isprintable()
    return str(caught.value)


def resealed(header: bytes, start: int, field: bytes) -> bytes:
    """Change a field of a header, and its checksum as the format has it."""
    spoiled = bytearray(header)
    spoiled[start : start + len(field)] = field
    spoiled[148:156] = b" " * 8
    spoiled[148:156] = b"%06o\0 " % sum(spoiled)
    return bytes(spoiled)


def test_files_are_where_tarfile_finds_them(tmp_path: Path) -> None:
    path = write_tar(tmp_path / "t.tar")
    found = read_members(path)
    with tarfile.open(path) as tar:
        assert found == {m.name: (m.offset_data, m.size) for m in tar.getmembers()}
    data = path.read_bytes()
    for name, (offset, n_bytes) in found.items():
        assert data[offset : offset + n_bytes] == FILES[name]


def test_a_name_that_needs_the_prefix(tmp_path: Path) -> None:
    name = "f" * 90 + "/" + "n" * 80 + ".wav"
    assert list(read_members(write_tar(tmp_path / "t.tar", files={name: b"1"}))) == [name]


@pytest.mark.parametrize(
    ("kind", "what"),
    [
        (tarfile.LNKTYPE, "a hard link"), (tarfile.SYMTYPE, "a symbolic link"),
        (tarfile.CHRTYPE, "a device"), (tarfile.BLKTYPE, "a device"), (tarfile.FIFOTYPE, "a pipe"),
        (tarfile.GNUTYPE_SPARSE, "of a kind b'S'"),
    ],
)  # fmt: skip
def test_nothing_but_plain_files(tmp_path: Path, kind: bytes, what: str) -> None:
    head = tarfile.TarInfo("evil")
    head.type, head.linkname = kind, "/etc/passwd"
    text = refusal(write_tar(tmp_path / "t.tar", head))
    assert text.endswith(f"'evil' is {what}; a shard has plain files only")


def test_no_folders(tmp_path: Path) -> None:
    head = tarfile.TarInfo("evil")
    head.type = tarfile.DIRTYPE
    assert "'evil/' is a folder" in refusal(write_tar(tmp_path / "t.tar", head))


def test_no_headers_that_change_others(tmp_path: Path) -> None:
    long = {"n" * 300: b"1"}
    for format in (tarfile.PAX_FORMAT, tarfile.GNU_FORMAT):
        refusal(write_tar(tmp_path / "t.tar", format=format, files=long))


@pytest.mark.parametrize(
    "name", ["../evil", "/etc/passwd", "a/../../evil", "..", "a//b", "a\\..\\b"]
)
def test_names_that_lead_elsewhere(tmp_path: Path, name: str) -> None:
    path = write_tar(tmp_path / "t.tar")
    data = path.read_bytes()
    path.write_bytes(resealed(data[:512], 0, name.encode().ljust(100, b"\0")) + data[512:])
    assert "it leads out of the shard" in refusal(path)


def test_a_name_that_is_there_twice(tmp_path: Path) -> None:
    assert "two members 'a-1.json'" in refusal(
        write_tar(tmp_path / "t.tar", tarfile.TarInfo("a-1.json"))
    )


@pytest.mark.parametrize(
    "size",
    [b"77777777777\0", b"\x80" + b"\xff" * 11, b"\xff" * 12, b"-0000000001\0", b"\0" * 12, b"9\0"],
)
def test_sizes_beyond_the_end_or_below_nothing(tmp_path: Path, size: bytes) -> None:
    path = write_tar(tmp_path / "t.tar")
    data = path.read_bytes()
    path.write_bytes(resealed(data[:512], 124, size) + data[512:])
    refusal(path)


def test_what_is_cut_or_no_tar(tmp_path: Path) -> None:
    path = write_tar(tmp_path / "t.tar")
    whole = path.read_bytes()
    end = max(offset + n_bytes for offset, n_bytes in read_members(path).values())
    for n_bytes in (0, 100, 512, 600, 1200, end - 1, end):
        path.write_bytes(whole[:n_bytes])
        refusal(path)
    path.write_bytes(b"no tar " * 1000)
    assert "a header is damaged" in refusal(path)
    path.unlink()
    assert refusal(path).endswith("cannot be read as tar: No such file or directory")


def written(files: dict[str, bytes]) -> bytes:
    sink = io.BytesIO()
    with writing_tar(sink) as add:
        for name, content in files.items():
            add(name, content)
    return sink.getvalue()


@pytest.mark.parametrize("n_files", [0, 1, 7, 60])
def test_what_is_written_is_what_tarfile_writes(tmp_path: Path, n_files: int) -> None:
    files = {f"T/{k:03d}.flac": bytes([k]) * (k * 173) for k in range(n_files)}
    with tarfile.open(tmp_path / "t.tar", "w:", format=tarfile.USTAR_FORMAT) as tar:
        for name, content in files.items():
            head = tarfile.TarInfo(name)
            head.size = len(content)
            tar.addfile(head, io.BytesIO(content))
    assert written(files) == (tmp_path / "t.tar").read_bytes()


def test_the_index_says_where_tarfile_finds_the_files(tmp_path: Path) -> None:
    files = {f"T{k}/n\u00e4me {k}.flac": b"z" * (k * 300) for k in range(50)}
    text = index_text([(name, len(content)) for name, content in files.items()])
    path = tmp_path / "t.tar"
    path.write_bytes(written({INDEX: text, **files}))
    with tarfile.open(path) as tar:
        found = {m.name: (m.offset_data, m.size) for m in tar.getmembers()}
    assert list(found) == [INDEX, *files]
    index = read_index(path)
    assert {name: index.find(name) for name in files} == {name: found[name] for name in files}
    assert index.find(INDEX) is None and index.find("T1") is None
    bare = tmp_path / "bare.tar"
    bare.write_bytes(written(files))
    assert {name: read_index(bare).find(name) for name in files} == read_members(bare)


def test_a_name_that_ends_another_one_is_not_taken_for_it() -> None:
    text = index_text([("a b", 1), ("000000000000 b", 2), ("b", 3)])
    index = TarIndex(Path("t.tar"), text, 10_000)
    sizes = {name: index.find(name) for name in ("a b", "000000000000 b", "b")}
    assert [member and member.n_bytes for member in sizes.values()] == [1, 2, 3]
    assert TarIndex(Path("t.tar"), index_text([("a b", 1)]), 10_000).find("b") is None
    assert TarIndex(Path("t.tar"), b"", 0).find("") is None


def test_a_shard_that_fails_has_no_end(tmp_path: Path) -> None:
    sink = io.BytesIO()
    with pytest.raises(RuntimeError), writing_tar(sink) as add:
        add("a", b"1")
        raise RuntimeError
    (tmp_path / "t.tar").write_bytes(sink.getvalue())
    assert "it has no end" in refusal(tmp_path / "t.tar")
