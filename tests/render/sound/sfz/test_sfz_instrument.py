"""Reading SFZ instruments: what is checked, the notes they play, what tells them apart."""

from __future__ import annotations

import importlib.util
import os
import pickle
from pathlib import Path

import numpy as np
import pytest
import soundfile
from sfz_maker import RATE, kit, pluck, strings, write_sfz, write_wav
from stemsmith.manifests.errors import UsageError
from stemsmith.render.sound.sfz import instrument as instruments
from stemsmith.render.sound.sfz import samples
from stemsmith.render.sound.sfz.drum_map import DRUM_FALLBACKS
from stemsmith.render.sound.sfz.instrument import file_hashes, read_sfz

needs_sfizz = pytest.mark.skipif(
    importlib.util.find_spec("pysfizz") is None, reason="pysfizz is not installed"
)
pytestmark = needs_sfizz
TONE = np.sin(np.arange(800) * 0.3)


def one(folder: Path, sample: str, opcodes: str = "") -> Path:
    return write_sfz(folder / "One.sfz", f"<region> sample={sample} {opcodes}")


def refused(path: Path, is_drum: bool = False) -> str:
    with pytest.raises(UsageError) as caught:
        read_sfz(path, is_drum)
    text = str(caught.value)
    assert "\n" not in text
    return text


@pytest.mark.parametrize("name", ["gone.wav", "sub/gone.wav", "a.wave", "", "a.wav/b.wav"])
def test_a_missing_sample_is_named(tmp_path: Path, name: str) -> None:
    write_wav(tmp_path / "a.wav", TONE)
    text = f"<region> sample=a.wav\n<region> key=60 sample={name or 'C4 $X.wav'}\n"
    said = refused(write_sfz(tmp_path / "a.sfz", text))
    assert said == f"{tmp_path / 'a.sfz'}: line 2: there is no sample {name or 'C4 .wav'}"


@pytest.mark.parametrize("name", ["/etc/hostname", "..\\..\\..\\x.wav", "D:\\x.wav", "../../../x"])
def test_samples_lie_beside_the_instrument(tmp_path: Path, name: str) -> None:
    said = refused(one(tmp_path / "a/b/c", name))
    assert "line 1" in said
    assert "outside of" in said or "give a path relative to the instrument's folder" in said


def test_samples_may_lie_two_folders_above(tmp_path: Path) -> None:
    write_wav(tmp_path / "x.wav", TONE)
    assert read_sfz(one(tmp_path / "a/b", "../../x.wav"), False).n_regions == 1


@pytest.mark.parametrize("kind", ["text", "empty", "cut", "folder", "caf", "channels", "gsm"])
def test_what_sfizz_would_not_play_is_named(tmp_path: Path, kind: str) -> None:
    file = tmp_path / "a.wav"
    if kind == "text":
        file.write_text("not audio " * 30)
    elif kind == "empty":
        write_wav(file, TONE[:0])
    elif kind == "cut":
        noise = np.random.default_rng(0).uniform(-1, 1, 50_000)
        soundfile.write(file, noise, RATE, format="FLAC")
        file.write_bytes(file.read_bytes()[:30_000])
    elif kind == "folder":
        file.mkdir()
    elif kind == "caf":
        soundfile.write(file, TONE, RATE, format="CAF", subtype="PCM_16")
    elif kind == "channels":
        write_wav(file, np.stack([TONE] * 3, axis=1))
    else:
        soundfile.write(file, TONE, RATE, format="WAV", subtype="GSM610")
    said = refused(one(tmp_path, "a.wav"))
    assert "a.wav" in said, said


@pytest.mark.parametrize(
    ("name", "container", "subtype"),
    [
        ("a.wav", "WAV", "PCM_24"),
        ("a.wav", "WAV", "IMA_ADPCM"),
        ("a.flac", "FLAC", "PCM_16"),
        ("a.ogg", "OGG", "VORBIS"),
        ("a.aif", "AIFF", "PCM_16"),
        ("a.mp3", "MP3", "MPEG_LAYER_III"),
    ],
)
def test_what_sfizz_plays_is_taken(tmp_path: Path, name: str, container: str, subtype: str) -> None:
    soundfile.write(tmp_path / name, pluck(60), RATE, format=container, subtype=subtype)
    assert read_sfz(one(tmp_path, name), False).n_regions == 1


@pytest.mark.parametrize(
    "text", ["", "<group> key=60", "<region> sample=a.wav trigger=release", "// nothing"]
)
def test_an_instrument_without_a_sound_is_refused(tmp_path: Path, text: str) -> None:
    write_wav(tmp_path / "a.wav", TONE)
    path = write_sfz(tmp_path / "a.sfz", text)
    assert refused(path) == f"{path}: no key makes a region sound"


def test_files_that_are_none(tmp_path: Path) -> None:
    assert "there is no file" in refused(tmp_path / "gone.sfz")
    (tmp_path / "folder.sfz").mkdir()
    assert "there is no file" in refused(tmp_path / "folder.sfz")
    assert "is a file that ends in .sfz" in refused(write_sfz(tmp_path / "a.txt", ""))
    os.mkfifo(tmp_path / "pipe.sfz")
    assert "there is no file" in refused(tmp_path / "pipe.sfz")


def test_more_audio_than_memory_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(samples, "_MAX_BYTES", 4 * len(TONE) - 1)
    write_wav(tmp_path / "a.wav", TONE)
    assert "when they are decoded" in refused(one(tmp_path, "a.wav"))


def test_more_regions_than_any_instrument_has_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from stemsmith.render.sound.sfz import regions

    monkeypatch.setattr(regions, "_MAX_REGIONS", 2)
    assert "more than 2 regions" in refused(write_sfz(tmp_path / "a.sfz", "<region> key=1 " * 3))


def test_a_missing_extra_is_one_line_with_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stemsmith.manifests.errors.find_spec", lambda name: None)
    said = refused(strings(tmp_path))
    assert "an SFZ instrument needs pysfizz: pip install" in said
    assert "[sfz]" in said


def test_capital_letters_of_samples_do_not_count(tmp_path: Path) -> None:
    write_wav(tmp_path / "Samples/Deep/C4.WAV", TONE)
    found = read_sfz(one(tmp_path, "samples\\DEEP\\c4.wav"), False)
    assert [link[1] for link in found.links[1:]] == [str(tmp_path / "Samples")]


def test_the_notes_that_regions_are_for(tmp_path: Path) -> None:
    write_wav(tmp_path / "a.wav", TONE)
    path = write_sfz(
        tmp_path / "a.sfz",
        "<global> sample=a.wav <region> lokey=60 hikey=62 lovel=10 hivel=20 <region> key=64",
    )
    found = read_sfz(path, False)
    assert found.plays([59, 60, 62, 63, 64], 15).tolist() == [False, True, True, False, True]
    assert found.plays(61, [9, 10, 20, 21]).tolist() == [False, True, True, False]
    assert found.plays(64, [1, 127]).tolist() == [True, True]
    assert found.has_layers
    assert not read_sfz(strings(tmp_path), False).has_layers


def test_a_kit_plays_the_nearest_drum_for_one_it_lacks(tmp_path: Path) -> None:
    path = kit(tmp_path)
    drums, melodic = read_sfz(path, True), read_sfz(path, False)
    sent = {key: drums.sent_keys[key] for key in (35, 36, 40, 44, 42, 41, 50, 57, 52, 51, 56)}
    assert sent == {
        35: 36, 36: 36, 40: 38, 44: 42, 42: 42, 41: 47, 50: 47, 57: 49, 52: 49, 51: 51, 56: 56
    }  # fmt: skip
    keys = list(sent)
    assert drums.plays(keys, 100).tolist() == [True] * 9 + [False] * 2
    assert melodic.sent_keys == bytes(range(128))
    assert melodic.plays(35, 100).tolist() is False


def test_the_drum_map_stays_within_a_kind() -> None:
    kinds = [{35, 36}, {37, 38, 40}, {42, 44, 46}, {41, 43, 45, 47, 48, 50}]
    kinds += [{49, 52, 55, 57}, {51, 53, 59}]
    for key, others in DRUM_FALLBACKS.items():
        (kind,) = [kind for kind in kinds if key in kind]
        assert set(others) < kind
        assert key not in others
    assert DRUM_FALLBACKS[45] == (43, 47, 48, 41, 50)


@pytest.mark.parametrize(
    ("text", "expected"),
    [("", (-200, 200)), ("bend_up=1200 bend_down=-700", (-700, 1200)), ("bend_up=0", (-200, 0))],
)
def test_the_range_of_the_wheel(tmp_path: Path, text: str, expected: tuple[int, int]) -> None:
    write_wav(tmp_path / "a.wav", TONE)
    assert read_sfz(one(tmp_path, "a.wav", text), False).bend_cents == expected


def test_the_fingerprint_is_that_of_all_files_wherever_they_lie(tmp_path: Path) -> None:
    def fingerprint(folder: str) -> str:
        return read_sfz(tmp_path / folder / "a.sfz", False).fingerprint

    for folder in ("one", "two"):
        write_wav(tmp_path / folder / "a.wav", TONE)
        write_sfz(tmp_path / folder / "a.sfz", '#include "b.txt"\n')
        write_sfz(tmp_path / folder / "b.txt", "<region> sample=a.wav\n")
    first = fingerprint("one")
    assert fingerprint("two") == first
    write_wav(tmp_path / "two/a.wav", 0.9 * TONE)
    second = fingerprint("two")
    write_sfz(tmp_path / "two/b.txt", "<region> sample=a.wav volume=1\n")
    third = fingerprint("two")
    assert len({first, second, third}) == 3
    hashes = file_hashes(read_sfz(tmp_path / "one/a.sfz", False))
    assert sorted(hashes) == [str(tmp_path / "one" / n) for n in ("a.sfz", "a.wav", "b.txt")]


def test_the_licence_beside_it_or_above_is_kept(tmp_path: Path) -> None:
    assert read_sfz(strings(tmp_path / "a"), False).licence == "Free for all."
    (tmp_path / "b/Programs").mkdir(parents=True)
    write_wav(tmp_path / "b/Programs/a.wav", TONE)
    (tmp_path / "b/license.MD").write_bytes(b"CC0 \xff\n")
    assert read_sfz(one(tmp_path / "b/Programs", "a.wav"), False).licence == "CC0 \ufffd"
    assert not read_sfz(kit(tmp_path / "c/d"), False).licence


def test_instruments_are_small_to_send_and_compare(tmp_path: Path) -> None:
    found = read_sfz(strings(tmp_path), False)
    assert pickle.loads(pickle.dumps(found)) == found
    assert len(pickle.dumps(found)) < 4000
    assert instruments.SfzInstrument.__hash__ is not None
    assert hash(found) == hash(read_sfz(tmp_path / "Strings.sfz", False))
