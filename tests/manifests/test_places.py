"""Where bytes are: members of tars are read as the same files in a folder would be."""

from __future__ import annotations

import hashlib
import io
import os
import random
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
from stemsmith.manifests import documents, places, preflight
from stemsmith.manifests.audio.read import audio_info, read_blocks, read_excerpt, read_int16
from stemsmith.manifests.errors import InvalidCorpus, Unreadable
from stemsmith.manifests.tar_shards import INDEX, index_text, writing_tar

CONTENT = {"T1/a b": b"spaces", "T1/b": b"no space", "T1/empty": b"", "T2/long": b"0123" * 40_000}


def write_tar(path: Path, content: dict[str, bytes], with_index: bool = True) -> Path:
    with path.open("wb") as file, writing_tar(file) as add:
        if with_index:
            add(INDEX, index_text([(name, len(data)) for name, data in content.items()]))
        for name, data in content.items():
            add(name, data)
    return path


@pytest.fixture(params=[True, False], ids=["index", "headers"])
def tar(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return write_tar(tmp_path / "t.tar", CONTENT, request.param)


def test_members_are_files(tar: Path) -> None:
    for name, data in CONTENT.items():
        path = tar / name
        assert places.is_file(path)
        assert places.read_bytes(path) == data
        assert places.size_of(path) == len(data)
        assert places.sha256_of(path) == hashlib.sha256(data).hexdigest()
        assert places.status_of(path) == (len(data), tar.stat().st_mtime_ns, True)


def test_what_is_no_member_is_not_there(tar: Path) -> None:
    for name in ("T1", "T1/c", "b", " b", "T1/a", "T1/b/c", "T2/long/", "x.tar/y"):
        path = tar / name if name != "T2/long/" else tar / "T2" / "longer"
        assert not places.is_file(path)
        with pytest.raises(FileNotFoundError) as caught:
            places.opened(path)
        assert caught.value.filename == str(path)
    for path in (tar.with_name("u.tar") / "T1/b", tar.with_name("nothing"), tar.parent / "n/o"):
        assert not places.is_file(path)
        with pytest.raises(FileNotFoundError):
            places.opened(path)
    plain = tar.with_name("plain")
    plain.write_bytes(b"")
    with pytest.raises(NotADirectoryError):
        places.opened(plain / "T1/b")
    assert not places.is_file(Path("a\0b"))
    assert not places.is_file(tar.parent)


def test_a_member_is_read_like_a_file_in_memory(tar: Path) -> None:
    rng = random.Random(0)
    data = CONTENT["T2/long"]
    model = io.BytesIO(data)
    with places.opened(tar / "T2/long") as file:
        assert file.readable() and file.seekable()
        for _ in range(300):
            whence = rng.choice((os.SEEK_SET, os.SEEK_CUR, os.SEEK_END))
            low = {os.SEEK_SET: 0, os.SEEK_CUR: -model.tell(), os.SEEK_END: -len(data)}[whence]
            offset = rng.randrange(low, low + len(data) + 5000)
            assert file.seek(offset, whence) == model.seek(offset, whence)
            n = rng.choice((-1, 0, 1, 7, 4096, 70_000))
            assert file.read(n) == model.read(n)
            assert file.tell() == model.tell()
    assert file.closed


def test_a_folder_may_be_called_like_a_tar(tmp_path: Path) -> None:
    (tmp_path / "x.tar").mkdir()
    (tmp_path / "x.tar" / "a").write_bytes(b"1")
    assert places.read_bytes(tmp_path / "x.tar" / "a") == b"1"
    inner = write_tar(tmp_path / "x.tar" / "y.tar", CONTENT)
    assert places.read_bytes(inner / "T1/b") == CONTENT["T1/b"]


def test_a_tar_that_is_written_again_is_read_anew(tmp_path: Path) -> None:
    tar = write_tar(tmp_path / "t.tar", {"a": b"1", "b": b"22"})
    assert places.read_bytes(tar / "b") == b"22"
    write_tar(tar, {"b": b"333333", "c": b"x" * 20_000})
    assert places.read_bytes(tar / "b") == b"333333"
    assert not places.is_file(tar / "a")


def test_tars_of_other_programs_are_read(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "t.tar", "w", format=tarfile.USTAR_FORMAT) as made:
        for name, data in CONTENT.items():
            head = tarfile.TarInfo(name)
            head.size = len(data)
            made.addfile(head, io.BytesIO(data))
    assert places.read_bytes(tmp_path / "t.tar" / "T2/long") == CONTENT["T2/long"]


def test_damage_is_one_line_that_names_the_tar(tmp_path: Path) -> None:
    tar = write_tar(tmp_path / "t.tar", CONTENT)
    whole = tar.read_bytes()

    def refusal(data: bytes) -> str:
        tar.write_bytes(data)
        with pytest.raises(InvalidCorpus) as caught:
            places.opened(tar / "T2/long")
        assert str(caught.value).startswith(f"{tar}: ") and str(caught.value).isprintable()
        return str(caught.value)

    assert "cannot be read as tar" in refusal(b"")
    assert "cannot be read as tar" in refusal(b"no tar " * 200)
    assert "a header is damaged" in refusal(whole[:200] + b"\1" + whole[201:])
    assert "its index is cut" in refusal(whole[:520])
    assert "has no 'T2/long' where its index says so" in refusal(whole[:4096])
    line = whole.index(b" T2/long\n")
    spoiled = refusal(whole[: line - 3] + b"x" + whole[line - 2 :])
    assert "has no 'T2/long' where its index says so" in spoiled


@pytest.mark.parametrize("kind", ["flac", "wav", "ogg", "mp3", "aiff"])
def test_audio_in_a_tar_is_that_of_the_file(kind: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    samples = rng.uniform(-0.5, 0.5, (30_000, 2)).astype(np.float32)
    plain = tmp_path / f"a.{kind}"
    soundfile.write(plain, samples, 16000)
    data = plain.read_bytes()
    tar = write_tar(tmp_path / "t.tar", {"before": b"x" * 999, f"a.{kind}": data, "after": data})
    member = tar / f"a.{kind}"
    info = audio_info(plain)
    assert audio_info(member) == info
    for start, n in ((0, info.n_samples), (12_345, 999), (info.n_samples - 5, 5)):
        ours, theirs = (read_excerpt(path, start, n) for path in (member, plain))
        assert np.array_equal(ours, theirs)
    for ours, theirs in zip(read_blocks(member, 7000), read_blocks(plain, 7000), strict=True):
        assert np.array_equal(ours, theirs)
    if kind == "flac":
        assert np.array_equal(read_int16(member)[0], read_int16(plain)[0])


def test_audio_of_no_certain_length_in_a_tar(tmp_path: Path) -> None:
    pytest.importorskip("av")
    plain = tmp_path / "a.wav"
    soundfile.write(plain, np.linspace(-0.5, 0.5, 8000), 8000)
    data = bytearray(plain.read_bytes())
    data[4:8] = data[40:44] = bytes(4)  # as of a recorder that was switched off
    plain.write_bytes(data)
    tar = write_tar(tmp_path / "t.tar", {"a.wav": bytes(data)})
    assert audio_info(tar / "a.wav") == audio_info(plain)
    assert audio_info(plain).n_samples == 8000
    assert np.array_equal(read_excerpt(tar / "a.wav", 10, 99), read_excerpt(plain, 10, 99))


def test_audio_that_is_not_in_the_tar(tmp_path: Path) -> None:
    tar = write_tar(tmp_path / "t.tar", {"a.flac": b"no audio"})
    with pytest.raises(Unreadable, match=r"b\.flac: cannot be read: not there"):
        audio_info(tar / "b.flac")
    with pytest.raises(InvalidCorpus, match=r"a\.flac: cannot be decoded"):
        audio_info(tar / "a.flac")
    tar.unlink()
    with pytest.raises(Unreadable, match=r"a\.flac: cannot be read: not there"):
        audio_info(tar / "a.flac")


def test_texts_and_first_looks(tmp_path: Path) -> None:
    content = {"a.yaml": b"x: [1, 2]", "a.toml": b"x = 1"}
    tar = write_tar(tmp_path / "t.tar", content)
    assert documents.read_yaml(tar / "a.yaml") == {"x": [1, 2]}
    assert documents.read_toml(tar / "a.toml") == {"x": 1}
    with pytest.raises(InvalidCorpus, match="the tar has no such member"):
        documents.read_yaml(tar / "b.yaml", InvalidCorpus)
    for name, data in content.items():
        head = preflight._read_head(tar / name)
        assert (head.n_bytes, head.sha256) == (len(data), hashlib.sha256(data).hexdigest())


def test_a_process_remembers_no_more_tars_than_it_should(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads: list[Path] = []
    read: Callable[[Path], places.TarIndex] = places.read_index

    def counted(path: Path) -> places.TarIndex:
        reads.append(path)
        return read(path)

    monkeypatch.setattr(places, "read_index", counted)
    places._index_of.cache_clear()
    tar = write_tar(tmp_path / "t.tar", CONTENT)
    for _ in range(3):
        for name, data in CONTENT.items():
            assert places.read_bytes(tar / name) == data
    assert reads == [tar]
    assert places._index_of.cache_info().maxsize == places._N_INDICES
