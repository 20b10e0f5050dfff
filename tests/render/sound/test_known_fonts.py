"""Soundfonts known by their hashes: where they are found, and the banks that they make."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import pytest
from soundfont_maker import SAMPLE_MODES, Program, Zone, tone, write_sf2
from stemsmith.manifests import storage
from stemsmith.manifests.corpus import Corpus
from stemsmith.manifests.errors import UsageError
from stemsmith.manifests.programs import RENDERING_CLASSES
from stemsmith.render.sound import known_fonts
from stemsmith.render.sound.known_fonts import KNOWN, KnownFont, find_fonts
from stemsmith.render.sound.patches import bank_from_soundfonts
from stemsmith.render.sound.sf2 import default_soundfont
from stemsmith.render.workflow import make_bank, render_corpus

QUICK = {"band": None, "sample_rate": 16000, "tail_s": 1.0, "audit": False}


def write_general(path: Path, level: float) -> Path:
    """Write a font of 128 programs and a kit, of another tone for another level."""
    programs = [Program([Zone(0)], 0, number) for number in range(128)]
    programs.append(Program([Zone(0)], 128, 0, "kit"))
    path.parent.mkdir(parents=True, exist_ok=True)
    zones = [[Zone(0, generators={SAMPLE_MODES: 1})]]
    return write_sf2(path, [tone(level=level)], zones, programs)


def known(
    path: Path, name: str, file: str | None = None, is_general_midi: bool = True
) -> KnownFont:
    data = path.read_bytes()
    digest = hashlib.sha256(data).hexdigest()
    source = f"apt install {name}"
    return KnownFont(name, path.name, len(data), digest, "MIT", source, "tones", is_general_midi)


@pytest.fixture
def fonts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make three fonts all that is known, in a folder that the variable names; return it."""
    folder = tmp_path / "fonts"
    paths = [write_general(folder / f"{k}.sf2", 0.3 + 0.1 * k) for k in range(3)]
    found = tuple(known(path, f"font-{k}") for k, path in enumerate(paths))
    monkeypatch.setattr(known_fonts, "KNOWN", found)
    monkeypatch.setattr(known_fonts, "_NAMED", {"general": found, "installed": found})
    monkeypatch.setattr(known_fonts, "_usual_folders", lambda *_: [])
    monkeypatch.setenv("STEMSMITH_SOUNDFONTS", str(folder))
    return folder


def names(found: dict[KnownFont, Path]) -> dict[str, str]:
    return {font.name: path.name for font, path in found.items()}


def test_a_font_is_known_by_its_hash_and_not_by_its_name(fonts: Path) -> None:
    wanted = known_fonts.KNOWN
    assert names(find_fonts(wanted)) == {"font-0": "0.sf2", "font-1": "1.sf2", "font-2": "2.sf2"}
    (fonts / "1.sf2").rename(fonts / "renamed.SF2")
    other = bytearray((fonts / "2.sf2").read_bytes())
    other[-1] ^= 1
    (fonts / "2.sf2").write_bytes(other)  # the name and the size, but not the bytes
    assert names(find_fonts(wanted)) == {"font-0": "0.sf2", "font-1": "renamed.SF2"}


def test_the_variable_names_files_and_folders(
    fonts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "elsewhere").mkdir()
    (fonts / "1.sf2").rename(tmp_path / "elsewhere" / "one.sf2")
    places = [fonts / "0.sf2", tmp_path / "elsewhere", tmp_path / "not there"]
    monkeypatch.setenv("STEMSMITH_SOUNDFONTS", os.pathsep.join(map(str, places)))
    assert names(find_fonts(known_fonts.KNOWN)) == {"font-0": "0.sf2", "font-1": "one.sf2"}


def test_only_files_of_a_known_size_are_hashed_and_once(
    fonts: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hashed: list[str] = []

    def file_hash(path: Path) -> str:
        hashed.append(path.name)
        return hashlib.sha256(path.read_bytes()).hexdigest()

    monkeypatch.setattr(storage, "file_hash", file_hash)
    (fonts / "another.sf2").write_bytes(b"RIFF")
    found = find_fonts(known_fonts.KNOWN)
    assert sorted(hashed) == ["0.sf2", "1.sf2", "2.sf2"]
    assert find_fonts(known_fonts.KNOWN) == found
    assert len(hashed) == 3
    os.utime(fonts / "0.sf2", ns=(1, 1))  # it may be another file now
    assert find_fonts(known_fonts.KNOWN) == found
    assert hashed[3:] == ["0.sf2"]


def test_a_damaged_memory_of_hashes_is_made_again(fonts: Path, own_cache: Path) -> None:
    record = own_cache / "soundfonts" / "hashes.json"
    for text in ("{", "[1]", '{"x": 1}'):
        record.parent.mkdir(exist_ok=True)
        record.write_text(text)
        assert len(find_fonts(known_fonts.KNOWN)) == 3


def test_without_a_cache_fonts_are_found_all_the_same(
    fonts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("STEMSMITH_CACHE", str(tmp_path / "file" / "cache"))
    assert len(find_fonts(known_fonts.KNOWN)) == 3


@pytest.mark.parametrize(
    ("platform", "environment", "expected"),
    [
        ("linux", {"HOME": "/home/ann"}, "/usr/share/sounds/sf2"),
        ("linux", {"HOME": "/home/ann"}, "/home/ann/.local/share/soundfonts"),
        ("linux", {"HOME": "/h", "XDG_DATA_HOME": "/data"}, "/data/sounds/sf3"),
        ("darwin", {"HOME": "/Users/ann"}, "/Users/ann/Library/Audio/Sounds/Banks"),
        ("win32", {"USERPROFILE": "C:/Users/ann"}, "C:/Users/ann/Documents/MuseScore4/SoundFonts"),
        ("win32", {"USERPROFILE": "C:/", "PROGRAMDATA": "D:/data"}, "D:/data/soundfonts"),
    ],
)
def test_systems_have_their_usual_folders(
    platform: str, environment: dict[str, str], expected: str
) -> None:
    assert Path(expected) in known_fonts._usual_folders(platform, environment)


def test_general_has_all_three_and_is_the_same_whatever_files_are_called(fonts: Path) -> None:
    bank = make_bank(bank="general")
    assert [font.file for font in bank.soundfonts] == ["0.sf2", "1.sf2", "2.sf2"]
    assert len(bank.patches) == 3 * 129
    (fonts / "0.sf2").rename(fonts / "z.sf2")
    renamed = make_bank(bank="general")
    assert [patch.name for patch in renamed.patches] == [patch.name for patch in bank.patches]


def test_a_missing_font_of_general_is_named_with_its_package(fonts: Path, here) -> None:
    (fonts / "1.sf2").unlink()
    with pytest.raises(UsageError, match=r"--bank general: not found: font-1 \(apt install font-1"):
        make_bank(bank="general")
    done = here("render", fonts, fonts / "corpus", "--bank", "general", "--jobs", 0)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "apt install font-1" in done.stderr
    bank = make_bank(bank="installed")
    assert [font.file for font in bank.soundfonts] == ["0.sf2", "2.sf2"]


def test_what_is_for_a_patch_bank_is_in_none_of_the_banks(
    fonts: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, *others = known_fonts.KNOWN
    kit = known(fonts / "0.sf2", "kit", is_general_midi=False)
    monkeypatch.setattr(known_fonts, "KNOWN", (kit, *others))
    monkeypatch.setattr(known_fonts, "_NAMED", {"installed": (kit, *others)})
    assert first.name != kit.name
    assert [font.file for font in make_bank(bank="installed").soundfonts] == ["1.sf2", "2.sf2"]


def test_a_corpus_names_its_fonts_and_goes_on_with_no_others(
    fonts: Path, make_song, tmp_path: Path
) -> None:
    make_song(tmp_path / "midi" / "song.mid", n_notes=8)
    make = (tmp_path / "midi", tmp_path / "corpus")
    corpus = render_corpus(*make, bank="installed", **QUICK)
    expected = [font.sha256 for font in known_fonts.KNOWN]
    assert [font["sha256"] for font in corpus.header["soundfonts"]] == expected
    assert render_corpus(*make, bank="general", **QUICK).root == corpus.root  # the same fonts
    (fonts / "2.sf2").unlink()
    with pytest.raises(UsageError, match="other arguments, other input files or other versions"):
        render_corpus(*make, bank="installed", **QUICK)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("--bank", "generl"), "--bank generl: no such file, and no bank but general or installed"),
        (("--bank", "x.sf2"), "x.sf2: is no patch bank but a soundfont; give it with --soundfont"),
        (("--bank", "general", "--soundfont", "x.sf2"), "give either --bank or --soundfont"),
        (("--bank", "a.yaml", "--patches", "b.yaml"), "give either --bank or --patches, which is"),
        (("--bank", "missing.yaml"), "missing.yaml: cannot be read"),
    ],
)
def test_a_bank_that_makes_no_sense_is_one_line(
    arguments: tuple[str, ...], expected: str, tmp_path: Path, here
) -> None:
    for command in (("render", tmp_path, tmp_path / "c"), ("scan", tmp_path)):
        done = here(*command, *arguments, "--jobs", 0)
        assert done.returncode == 2
        assert done.stderr.startswith(f"Error: {expected}")
        assert done.stderr.count("\n") == 1
    assert not (tmp_path / "c").exists()


def test_the_older_name_of_the_option_still_does_and_is_not_shown(
    fonts: Path, make_song, tmp_path: Path, here
) -> None:
    make_song(tmp_path / "midi" / "song.mid", ((40, 0),), n_notes=8)
    bank = tmp_path / "bank.yaml"
    bank.write_text(f"Violin:\n  - {{soundfont: {fonts}/0.sf2, preset: 40, name: mine}}\n")
    made = []
    for flag in ("--bank", "--patches"):
        corpus = tmp_path / flag
        how = ("--no-band", "--sample-rate", 16000, "--no-audit", "--jobs", 0)
        done = here("render", tmp_path / "midi", corpus, flag, bank, *how)
        assert (done.returncode, done.stderr) == (0, "") or "minute" in done.stderr
        made += Corpus(corpus).stem_records()
    assert made[0].patch == made[1].patch == "mine"
    assert made[0].sha256 == made[1].sha256
    shown = here("render", "--help").stdout
    assert "--bank" in shown
    assert "--patches" not in shown


def test_banks_lists_what_is_here(fonts: Path, here) -> None:
    (fonts / "2.sf2").unlink()
    done = here("banks", "--json")
    assert done.returncode == 0
    said = json.loads(done.stdout)
    assert (said["n_found"], said["is_general_complete"]) == (2, False)
    paths = {font["name"]: font["path"] for font in said["soundfonts"]}
    assert paths == {"font-0": str(fonts / "0.sf2"), "font-1": str(fonts / "1.sf2"), "font-2": None}
    assert said["soundfonts"][0]["sha256"] == known_fonts.KNOWN[0].sha256
    text = here("banks").stdout
    assert "font-2: 2.sf2, 0 MB, licence MIT" in text
    assert "not found; from: apt install font-2" in text
    assert text.splitlines()[-1].startswith("2 of 3 known soundfonts are here")


def test_the_list_is_sound() -> None:
    assert len({font.sha256 for font in KNOWN}) == len({font.file for font in KNOWN}) == len(KNOWN)
    assert all(len(font.sha256) == 64 for font in KNOWN)
    # The default font is where pretty_midi has it, on every machine.
    found = find_fonts(KNOWN[:1])
    assert [path.samefile(default_soundfont()) for path in found.values()] == [True]


def n_patches(bank) -> int:
    """Return how many patches are in the 34 classes that are rendered by default."""
    return sum(patch.rendering_class in RENDERING_CLASSES for patch in bank.patches)


def test_the_default_font_has_99_patches_and_general_405() -> None:
    assert n_patches(bank_from_soundfonts([default_soundfont()])) == 99
    missing = [font.name for font in KNOWN[:3] if font not in find_fonts(KNOWN[:3])]
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)}")
    bank = make_bank(bank="general")
    assert n_patches(bank) == 405
    assert len(bank.patches) == 583
    own = [n_patches(bank_from_soundfonts([Path(font.path)])) for font in bank.soundfonts]
    assert own == [99, 142, 164]
