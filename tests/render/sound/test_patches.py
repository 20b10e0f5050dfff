"""SoundFont headers, patch banks, the choice of patches, effect chains and VST3 instruments."""

from __future__ import annotations

import contextlib
import hashlib
import struct
import sys
import tracemalloc
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pretty_midi
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from stemsmith.manifests.errors import UsageError, install_command
from stemsmith.manifests.programs import DRUMS, rendering_class_of
from stemsmith.manifests.records import Part
from stemsmith.mixing.production.chain import Effect, parse_effects
from stemsmith.render.midi.smf import Event
from stemsmith.render.sound.patch_choice import PatchChoice
from stemsmith.render.sound.patches import (
    Bank,
    Patch,
    bank_from_soundfonts,
    bank_from_yaml,
)
from stemsmith.render.sound.sf2 import PresetHeader, default_soundfont, read_soundfont
from stemsmith.render.sound.synth import Preset
from stemsmith.render.sound.vst3 import play_instrument

Floats = npt.NDArray[np.float32]
TIMGM_SHA256 = "82475b91a76de15cb28a104707d3247ba932e228bada3f47bba63c6b31aaf7a1"


def riff_chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack("<4sL", kind, len(data)) + data + b"\0" * (len(data) % 2)


def soundfont_bytes(
    presets: Sequence[tuple[int, int, str]], info: Mapping[bytes, bytes] | None = None
) -> bytes:
    """Return a SoundFont of (bank, number, name) presets without any sound."""
    records = [*presets, (0, 0, "EOP")]
    headers = b"".join(
        struct.pack("<20sHHHLLL", name.encode("latin-1"), number, bank, 0, 0, 0, 0)
        for bank, number, name in records
    )
    texts = {b"ifil": b"\2\0\1\0", **(info or {})}
    info_list = b"INFO" + b"".join(riff_chunk(kind, data) for kind, data in texts.items())
    preset_list = b"pdta" + riff_chunk(b"phdr", headers) + riff_chunk(b"pbag", b"\0" * 8)
    lists = riff_chunk(b"LIST", info_list) + riff_chunk(b"LIST", b"sdta")
    return riff_chunk(b"RIFF", b"sfbk" + lists + riff_chunk(b"LIST", preset_list))


def write_soundfont(
    path: Path, *presets: tuple[int, int, str], info: Mapping[bytes, bytes] | None = None
) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(soundfont_bytes(presets, info))
    return path


@pytest.fixture(scope="module")
def timgm() -> Path:
    return Path(pretty_midi.__file__).parent / "TimGM6mb.sf2"


# SoundFont files.


def test_the_default_soundfont_is_the_one_of_pretty_midi(timgm: Path) -> None:
    assert default_soundfont().samefile(timgm)


def test_timgm6mb_is_read(timgm: Path) -> None:
    soundfont = read_soundfont(timgm)
    assert (soundfont.path, soundfont.file) == (str(timgm.resolve()), "TimGM6mb.sf2")
    assert soundfont.sha256 == TIMGM_SHA256 == hashlib.sha256(timgm.read_bytes()).hexdigest()
    assert "GPL-2" in soundfont.licence
    assert len(soundfont.presets) == 136
    assert soundfont.presets[0] == PresetHeader(0, 0, "Piano 1")
    melodic = [preset.number for preset in soundfont.presets if preset.bank == 0]
    assert melodic == list(range(128))
    assert {preset.bank for preset in soundfont.presets} == {0, 128}


def test_presets_come_by_bank_and_number_without_the_terminator(tmp_path: Path) -> None:
    path = write_soundfont(
        tmp_path / "small.sf2", (128, 0, "Kit"), (0, 40, "Violin"), (8, 4, "EP"), (0, 2, "Grand")
    )
    assert read_soundfont(path).presets == (
        PresetHeader(0, 2, "Grand"),
        PresetHeader(0, 40, "Violin"),
        PresetHeader(8, 4, "EP"),
        PresetHeader(128, 0, "Kit"),
    )


def test_a_name_ends_at_its_first_zero_byte(tmp_path: Path) -> None:
    path = write_soundfont(tmp_path / "small.sf2", (0, 0, " Pi\xe4no \0rubbish"))
    assert [preset.name for preset in read_soundfont(path).presets] == ["Piäno"]


def test_the_licence_is_what_the_file_says(tmp_path: Path) -> None:
    info = {b"INAM": b"Font\0", b"ICOP": b"CC0 1.0\0", b"IENG": b"Ann\0\0", b"ICMT": b"Thanks\0"}
    path = write_soundfont(tmp_path / "small.sf2", (0, 0, "Piano"), info=info)
    assert read_soundfont(path).licence == "author: Ann\ncopyright: CC0 1.0\ncomment: Thanks"
    silent = write_soundfont(tmp_path / "silent.sf2", (0, 0, "Piano"))
    assert read_soundfont(silent).licence == ""


def test_a_licence_file_beside_it_holds_before_all_others(tmp_path: Path, timgm: Path) -> None:
    path = tmp_path / "font.sf2"
    path.write_bytes(timgm.read_bytes())
    assert "GPL-2" in read_soundfont(path).licence  # known by its hash, whatever its name
    (tmp_path / "font.sf2.LICENSE").write_text("Do what you want.\n", "utf-8")
    assert read_soundfont(path).licence == "Do what you want."


def test_chunks_of_odd_length_are_padded(tmp_path: Path) -> None:
    path = write_soundfont(tmp_path / "odd.sf2", (0, 0, "Piano"), info={b"ICOP": b"abc"})
    assert read_soundfont(path).licence == "copyright: abc"


@pytest.mark.parametrize("is_padded", [True, False])
def test_lists_of_odd_length_may_lack_their_pad_byte(tmp_path: Path, is_padded: bool) -> None:
    """As in two soundfonts of Debian, whose lists follow each other at odd places."""
    path = write_soundfont(tmp_path / "odd.sf2", (0, 5, "Piano"))
    data = path.read_bytes()
    at = data.index(b"LIST", 16)  # the second list, without samples: five bytes more are odd
    odd = b"LIST" + struct.pack("<L", 9) + b"sdtajunk!" + b"\0" * is_padded
    lists = data[8:at] + odd + data[at + 12 :]
    path.write_bytes(b"RIFF" + struct.pack("<L", len(lists)) + lists)
    assert [preset.name for preset in read_soundfont(path).presets] == ["Piano"]


def test_a_pad_byte_that_is_not_zero_belongs_to_the_next_chunk(tmp_path: Path) -> None:
    info = b"INFO" + b"ICOP" + struct.pack("<L", 3) + b"abc" + riff_chunk(b"IENG", b"Ann\0")
    whole = soundfont_bytes([(0, 0, "Piano")])
    at = whole.index(b"LIST", 16)
    lists = b"sfbk" + riff_chunk(b"LIST", info) + whole[at:]
    path = tmp_path / "odd.sf2"
    path.write_bytes(b"RIFF" + struct.pack("<L", len(lists)) + lists)
    assert read_soundfont(path).licence == "author: Ann\ncopyright: abc"


def test_texts_are_utf_8_where_they_can_be(tmp_path: Path) -> None:
    copyright_sign = "\N{COPYRIGHT SIGN} Ann"
    for encoding in ("utf-8", "latin-1"):
        info = {b"ICOP": copyright_sign.encode(encoding)}
        path = write_soundfont(tmp_path / f"{encoding}.sf2", (0, 0, "Piano"), info=info)
        assert read_soundfont(path).licence == f"copyright: {copyright_sign}"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"RIFF",
        b"not a soundfont",
        b"RIFF\4\0\0\0WAVE",
        b"RIFF\4\0\0\0sfbk",
        b"MThd" + bytes(100),
        soundfont_bytes([]),
    ],
    ids=["empty", "4 bytes", "text", "wave", "no chunks", "midi", "no presets"],
)
def test_what_is_no_soundfont_is_a_usage_error(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "bad.sf2"
    path.write_bytes(data)
    with pytest.raises(UsageError) as caught:
        read_soundfont(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("name", ["missing.sf2", "folder.sf2"])
def test_a_soundfont_that_cannot_be_opened_is_a_usage_error(tmp_path: Path, name: str) -> None:
    (tmp_path / "folder.sf2").mkdir()
    with pytest.raises(UsageError, match=name):
        read_soundfont(tmp_path / name)


def test_a_soundfont_cut_off_anywhere_is_a_usage_error(tmp_path: Path) -> None:
    data = soundfont_bytes([(0, 0, "Piano"), (128, 0, "Kit")], {b"ICOP": b"CC0"})
    path = tmp_path / "cut.sf2"
    accepted = []
    for size in range(len(data)):
        path.write_bytes(data[:size])
        try:
            read_soundfont(path)
        except UsageError as error:
            assert str(path) in str(error)
        else:
            accepted.append(size)
    assert accepted == []


SMALL_FONT = soundfont_bytes([(0, 0, "Piano"), (128, 0, "Kit")], {b"ICOP": b"CC0"})


@given(st.lists(st.tuples(st.integers(0, len(SMALL_FONT) - 1), st.integers(1, 255)), max_size=4))
@settings(deadline=None, max_examples=200, derandomize=True)
def test_flipped_bytes_raise_nothing_else(
    tmp_path_factory: pytest.TempPathFactory, flips: list[tuple[int, int]]
) -> None:
    data = bytearray(SMALL_FONT)
    for position, mask in flips:
        data[position] ^= mask
    path = tmp_path_factory.getbasetemp() / "flipped.sf2"
    path.write_bytes(data)
    try:
        assert read_soundfont(path).presets
    except UsageError as error:
        assert str(path) in str(error)


def test_a_length_field_allocates_nothing(tmp_path: Path) -> None:
    data = SMALL_FONT.replace(b"ICOP\3\0\0\0", b"ICOP\xff\xff\xff\x3f")
    assert data != SMALL_FONT
    path = tmp_path / "long.sf2"
    path.write_bytes(data)
    tracemalloc.start()
    with contextlib.suppress(UsageError):
        read_soundfont(path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1 << 22


# Banks of SoundFont files.


def part(program: int, bank: int = 0, kit: int = 0) -> Part:
    return Part(0, 9 if program == DRUMS else 0, program, bank, kit, 10, "")


def name_of(patch: Patch | None) -> str | None:
    return None if patch is None else patch.name


def test_every_preset_is_a_patch_of_its_programs_class(timgm: Path) -> None:
    bank = bank_from_soundfonts([timgm])
    assert len(bank.patches) == 136
    assert len({patch.name for patch in bank.patches}) == 136
    assert [s.file for s in bank.soundfonts] == ["TimGM6mb.sf2"]
    for patch in bank.patches:
        assert patch.preset is not None
        assert patch.preset.soundfont == str(timgm.resolve())
        program = DRUMS if patch.preset.bank == 128 else patch.preset.number
        assert patch.rendering_class == rendering_class_of(program)
    assert bank.patches[33].name == "TimGM6mb.sf2:000-033 Fingered Bass"


def test_a_preset_beyond_general_midi_is_no_patch(tmp_path: Path) -> None:
    path = write_soundfont(tmp_path / "f.sf2", (0, 0, "Piano"), (0, 200, "Odd"), (128, 200, "Kit"))
    bank = bank_from_soundfonts([path])
    assert [p.name for p in bank.patches] == ["f.sf2:000-000 Piano", "f.sf2:128-200 Kit"]


def test_kits_of_general_midi_2_are_drums_once(tmp_path: Path) -> None:
    path = write_soundfont(
        tmp_path / "f.sf2", (0, 0, "Piano"), (120, 0, "Kit 2"), (120, 32, "Jazz 2"), (128, 0, "Kit")
    )
    bank = bank_from_soundfonts([path])
    assert [(p.name[6:13], p.rendering_class) for p in bank.patches] == [
        ("000-000", "Acoustic Piano"),
        ("120-032", "Drums"),
        ("128-000", "Drums"),
    ]
    choice = PatchChoice.PROGRAM
    assert name_of(bank.patch_for(part(128, kit=32), choice, 0, "s")) == "f.sf2:120-032 Jazz 2"
    assert name_of(bank.patch_for(part(128, kit=8), choice, 0, "s")) == "f.sf2:128-000 Kit"


@pytest.mark.parametrize("bank", [126, 127])
def test_banks_in_an_order_of_their_own_are_left_out(tmp_path: Path, bank: int) -> None:
    mt_32 = [(bank, number, f"MT {number}") for number in range(128)]
    path = write_soundfont(tmp_path / "f.sf2", (0, 0, "Piano"), *mt_32)
    found = bank_from_soundfonts([path])
    assert [patch.name for patch in found.patches] == ["f.sf2:000-000 Piano"]
    (warning,) = found.warnings
    assert warning.startswith(f"f.sf2: bank {bank} (")
    assert warning.endswith("is left out: 128 presets")
    alone = write_soundfont(tmp_path / "alone.sf2", *mt_32)
    with pytest.raises(UsageError, match=r"alone.sf2: none of its presets is one of General MIDI"):
        bank_from_soundfonts([alone])


def test_a_single_preset_is_doubted(tmp_path: Path) -> None:
    path = write_soundfont(tmp_path / "kit.sf2", (0, 0, "Black Pearl"))
    (warning,) = bank_from_soundfonts([path]).warnings
    assert warning.startswith("kit.sf2: a single preset is hardly a General MIDI soundfont")
    assert "'000-000 Black Pearl' counts as Acoustic Piano" in warning
    assert "--bank FILE.yaml" in warning
    whole = write_soundfont(tmp_path / "w.sf2", *((0, n, f"{n}") for n in range(128)))
    assert not bank_from_soundfonts([whole]).warnings


def test_banks_of_several_files_are_joined(tmp_path: Path) -> None:
    one = write_soundfont(tmp_path / "one.sf2", (0, 0, "Grand"))
    two = write_soundfont(tmp_path / "two.sf2", (0, 0, "Upright"), (0, 33, "Bass"))
    bank = bank_from_soundfonts([one, two, one])
    assert [p.name for p in bank.patches] == [
        "one.sf2:000-000 Grand",
        "two.sf2:000-000 Upright",
        "two.sf2:000-033 Bass",
    ]
    first = bank.patch_for(part(0), PatchChoice.PROGRAM, 0, "song")
    assert name_of(first) == "one.sf2:000-000 Grand"


def test_two_files_of_one_name_are_a_usage_error(tmp_path: Path) -> None:
    one = write_soundfont(tmp_path / "a" / "font.sf2", (0, 0, "Grand"))
    two = write_soundfont(tmp_path / "b" / "font.sf2", (0, 0, "Upright"))
    with pytest.raises(UsageError, match=r"b/font\.sf2.*called font\.sf2 too"):
        bank_from_soundfonts([one, two])


# The choice.


@pytest.fixture
def small_bank(tmp_path: Path) -> Bank:
    path = write_soundfont(
        tmp_path / "f.sf2",
        (0, 0, "Grand"),
        (0, 1, "Bright"),
        (8, 0, "Wide"),
        (0, 4, "Electric"),
        (0, 33, "Bass"),
        (128, 0, "Standard"),
        (128, 25, "Analog"),
    )
    return bank_from_soundfonts([path])


def choose(bank: Bank, wanted: Part, choice: PatchChoice, song: str = "s", seed: int = 0) -> str:
    patch = bank.patch_for(wanted, choice, seed, song)
    return "none" if patch is None else patch.name.split(" ")[1]


def test_by_class_any_patch_of_the_class_is_drawn(small_bank: Bank) -> None:
    songs = [str(k) for k in range(60)]
    drawn = {choose(small_bank, part(0), PatchChoice.CLASS, song) for song in songs}
    assert drawn == {"Grand", "Bright", "Wide"}
    kits = {choose(small_bank, part(DRUMS), PatchChoice.CLASS, song) for song in songs}
    assert kits == {"Standard", "Analog"}
    assert {choose(small_bank, part(36), PatchChoice.CLASS, song) for song in songs} == {"Bass"}


def test_by_class_a_class_without_patches_has_none(small_bank: Bank) -> None:
    assert choose(small_bank, part(40), PatchChoice.CLASS) == "none"


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        (part(0), "Grand"),
        (part(1), "Bright"),
        (part(0, bank=8), "Wide"),
        (part(1, bank=8), "Bright"),  # no such variation
        (part(0, bank=127), "Grand"),
        (part(36), "none"),
        (part(36, bank=8), "none"),
        (part(DRUMS), "Standard"),
        (part(DRUMS, kit=25), "Analog"),
        (part(DRUMS, kit=48), "Standard"),  # no such kit
        (part(DRUMS, bank=8, kit=25), "Analog"),
    ],
)
def test_by_program_a_part_has_its_own_preset(small_bank: Bank, wanted: Part, found: str) -> None:
    for seed in range(3):
        assert choose(small_bank, wanted, PatchChoice.PROGRAM, seed=seed) == found


def test_draws_are_uniform_over_a_class() -> None:
    n_patches, n_songs = 5, 4000
    patches = tuple(
        Patch(f"{k}", "Electric Bass", Preset("f.sf2", k, 33)) for k in range(n_patches)
    )
    bank = Bank(patches, ())
    drawn = Counter(
        name_of(bank.patch_for(part(33), PatchChoice.CLASS, 0, str(k))) for k in range(n_songs)
    )
    expected = n_songs / n_patches
    chi_square = sum((n - expected) ** 2 / expected for n in drawn.values())
    assert len(drawn) == n_patches
    assert chi_square < 18.5  # 99.9 % of the uniform draws with 4 degrees of freedom


def test_draws_are_reproducible_and_follow_seed_song_and_program(timgm: Path) -> None:
    def draws(seed: int = 0, prefix: str = "song", program: int = 4) -> list[str | None]:
        bank = bank_from_soundfonts([timgm])
        return [
            name_of(bank.patch_for(part(program), PatchChoice.CLASS, seed, f"{prefix}{k}"))
            for k in range(20)
        ]

    assert draws() == draws()
    assert len({tuple(d) for d in (draws(), draws(1), draws(prefix="b"), draws(program=5))}) == 4


def test_a_draw_depends_on_neither_kit_nor_bank_nor_track(timgm: Path) -> None:
    bank = bank_from_soundfonts([timgm])
    for k in range(20):
        one = bank.patch_for(part(0), PatchChoice.CLASS, 0, str(k))
        other = bank.patch_for(Part(7, 3, 0, 8, 0, 999, "x"), PatchChoice.CLASS, 0, str(k))
        assert one == other


# Banks of YAML files.


@pytest.fixture
def write_bank(tmp_path: Path) -> Callable[[str], Path]:
    """Return a function that writes ``bank.yaml`` beside ``fonts/f.sf2``."""
    write_soundfont(tmp_path / "fonts" / "f.sf2", (0, 33, "Finger"), (3, 34, "Pick"))

    def write(text: str) -> Path:
        path = tmp_path / "bank.yaml"
        path.write_text(text, "utf-8")
        return path

    return write


WriteBank = Callable[[str], Path]


def mistake(path: Path) -> str:
    """Return the message about a bank file, after the file's name."""
    with pytest.raises(UsageError) as caught:
        bank_from_yaml(path)
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith(f"{path}: ")
    return message.removeprefix(f"{path}: ")


def test_a_bank_file_is_read(write_bank: WriteBank, tmp_path: Path) -> None:
    bank = bank_from_yaml(
        write_bank(
            """
            Electric Bass:
              - {soundfont: fonts/f.sf2, preset: 33}
              - {soundfont: fonts/../fonts/f.sf2, bank: 3, preset: 34, name: picked}
            Synth Bass:
              - {soundfont: fonts/f.sf2, bank: 3, preset: 34}
            """
        )
    )
    font = str((tmp_path / "fonts" / "f.sf2").resolve())
    assert bank.patches == (
        Patch("f.sf2:000-033 Finger", "Electric Bass", Preset(font, 0, 33)),
        Patch("picked", "Electric Bass", Preset(font, 3, 34)),
        Patch("f.sf2:003-034 Pick", "Synth Bass", Preset(font, 3, 34)),
    )
    assert [soundfont.path for soundfont in bank.soundfonts] == [font]
    assert bank.warnings == ()
    assert name_of(bank.patch_for(part(38), PatchChoice.CLASS, 0, "s")) == "f.sf2:003-034 Pick"


def test_paths_are_relative_to_the_bank_file(
    write_bank: WriteBank, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_bank("Electric Bass: [{soundfont: fonts/f.sf2, preset: 33}]")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert len(bank_from_yaml(path).patches) == 1
    assert len(bank_from_yaml(Path("..") / "bank.yaml").patches) == 1
    font = tmp_path / "fonts" / "f.sf2"
    absolute = write_bank(f"Electric Bass: [{{soundfont: '{font}', preset: 33}}]")
    assert len(bank_from_yaml(absolute).patches) == 1


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "a patch bank maps classes to lists of patches"),
        ("- one\n- two", "a patch bank maps classes to lists of patches"),
        ("Electric Bass: {soundfont: fonts/f.sf2}", "Electric Bass: must be a list of patches"),
        ("Electric Bass: [f.sf2]", "Electric Bass[0]: a patch is a mapping, not 'f.sf2'"),
        (
            "Electric Bass: [{soundfont: fonts/f.sf2, preset: 33, gain: 3}]",
            "Electric Bass[0]: unknown key 'gain'",
        ),
        ("Electric Bass: [{preset: 33}]", "Electric Bass[0]: give either a soundfont or an in"),
        (
            "Electric Bass: [{soundfont: fonts/f.sf2, preset: 33, instrument: a.vst3}]",
            "Electric Bass[0]: give either a soundfont or an instrument",
        ),
        (
            "Electric Bass: [{soundfont: fonts/f.sf2}]",
            "Electric Bass[0]: bank and preset must be whole numbers",
        ),
        (
            "Electric Bass: [{soundfont: fonts/f.sf2, preset: 33, bank: x}]",
            "Electric Bass[0]: bank and preset must be whole numbers",
        ),
        (
            "Electric Bass:\n"
            "- {soundfont: fonts/f.sf2, preset: 33}\n"
            "- {soundfont: fonts/f.sf2, preset: 35}",
            "Electric Bass[1]: f.sf2 has no preset 35 in bank 0",
        ),
        (
            "Electric Bass:\n"
            "- {soundfont: fonts/f.sf2, preset: 33, name: same}\n"
            "- {soundfont: fonts/f.sf2, preset: 34, bank: 3, name: same}",
            "two patches are called 'same'; name them apart",
        ),
        ("Electric Bass: [{soundfont: fonts/f.sf2", "not valid YAML: "),
        ("Electric Bass: [!!python/object:os.system {}]", "not valid YAML: "),
        ("Electric Bass: []", "no usable patch"),
    ],
)
def test_a_mistake_in_a_bank_file_is_named(write_bank: WriteBank, text: str, expected: str) -> None:
    assert mistake(write_bank(text)).startswith(expected)


def test_an_unknown_class_is_named_with_the_known_ones(write_bank: WriteBank) -> None:
    message = mistake(write_bank("Basses: [{soundfont: fonts/f.sf2, preset: 33}]"))
    assert message.startswith("no class 'Basses'; known: ")
    assert {"Electric Bass", "Drums", "Synth Bass"} <= set(message.split("known: ")[1].split(", "))


def test_a_bank_file_that_is_not_text_or_not_there_is_a_usage_error(tmp_path: Path) -> None:
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00\x01\x80")
    assert mistake(tmp_path / "binary.yaml").startswith("not valid YAML: ")
    assert mistake(tmp_path / "missing.yaml").startswith("cannot be read: ")


def test_a_missing_soundfont_of_a_bank_file_is_a_usage_error(write_bank: WriteBank) -> None:
    path = write_bank("Electric Bass: [{soundfont: fonts/gone.sf2, preset: 33}]")
    with pytest.raises(UsageError, match=r"fonts/gone\.sf2: cannot read the soundfont"):
        bank_from_yaml(path)


def test_two_soundfonts_of_one_name_in_a_bank_file_are_a_usage_error(
    write_bank: WriteBank, tmp_path: Path
) -> None:
    write_soundfont(tmp_path / "other" / "f.sf2", (0, 33, "Other"))
    path = write_bank(
        "Electric Bass:\n"
        "- {soundfont: fonts/f.sf2, preset: 33, name: a}\n"
        "- {soundfont: other/f.sf2, preset: 33, name: b}"
    )
    with pytest.raises(UsageError, match=r"called f\.sf2 too"):
        bank_from_yaml(path)


def test_an_instrument_that_is_not_there_is_skipped_with_a_warning(
    write_bank: WriteBank, tmp_path: Path
) -> None:
    path = write_bank(
        "Drums: [{instrument: plugins/Kit.vst3}]\n"
        "Electric Bass: [{soundfont: fonts/f.sf2, preset: 33}]"
    )
    bank = bank_from_yaml(path)
    assert [patch.rendering_class for patch in bank.patches] == ["Electric Bass"]
    plugin = tmp_path / "plugins" / "Kit.vst3"
    assert bank.warnings == (f"{path}: Drums[0]: skipped, there is no plugin {plugin}",)


def test_a_bank_with_nothing_left_is_a_usage_error(write_bank: WriteBank) -> None:
    message = mistake(write_bank("Drums: [{instrument: plugins/Kit.vst3}]"))
    assert message.startswith("no usable patch; ")
    assert "there is no plugin" in message


def test_an_instrument_is_a_patch_without_a_preset(
    write_bank: WriteBank, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stemsmith.render.sound.patches.instrument_problem", lambda path: "")
    plugin = tmp_path / "plugins" / "Kit.vst3"
    plugin.mkdir(parents=True)  # a bundle
    bank = bank_from_yaml(write_bank("Drums: [{instrument: plugins/Kit.vst3}]"))
    assert bank.patches == (Patch("Kit.vst3", "Drums", None, str(plugin.resolve())),)
    assert bank.warnings == ()
    assert name_of(bank.patch_for(part(DRUMS), PatchChoice.CLASS, 0, "s")) == "Kit.vst3"
    assert bank.patch_for(part(DRUMS), PatchChoice.PROGRAM, 0, "s") is None


def test_an_instrument_that_does_not_load_is_skipped_with_a_warning(
    write_bank: WriteBank, tmp_path: Path
) -> None:
    pytest.importorskip("pedalboard", reason="needs the extra effects")
    (tmp_path / "Broken.vst3").write_bytes(b"")
    bank = bank_from_yaml(
        write_bank(
            "Drums: [{instrument: Broken.vst3}]\n"
            "Electric Bass: [{soundfont: fonts/f.sf2, preset: 33}]"
        )
    )
    assert [patch.rendering_class for patch in bank.patches] == ["Electric Bass"]
    (warning,) = bank.warnings
    assert "Broken.vst3 does not load" in warning


# Effects.


@pytest.fixture(scope="module")
def pedalboard() -> Any:
    return pytest.importorskip("pedalboard", reason="needs the extra effects")


BASS_WITH = "Electric Bass: [{{soundfont: fonts/f.sf2, preset: 33, effects: {}}}]"


@pytest.mark.usefixtures("pedalboard")
def test_effects_of_a_bank_file_are_read_in_order(write_bank: WriteBank) -> None:
    effects = "[{PeakFilter: {q: 2, cutoff_frequency_hz: 800}}, {Reverb: }, {Gain: {gain_db: -3}}]"
    (patch,) = bank_from_yaml(write_bank(BASS_WITH.format(effects))).patches
    assert patch.effects == (
        Effect("PeakFilter", (("cutoff_frequency_hz", 800.0), ("q", 2.0))),
        Effect("Reverb", ()),
        Effect("Gain", (("gain_db", -3.0),)),
    )


@pytest.mark.usefixtures("pedalboard")
@pytest.mark.parametrize(
    ("effects", "expected"),
    [
        ("Reverb", "effects must be a list"),
        ("{Reverb: {}}", "effects must be a list"),
        ("[Reverb]", "an effect is one name with its parameters, not 'Reverb'"),
        ("[{Reverb: {}, Gain: {}}]", "an effect is one name with its parameters"),
        ("[{Flanger: {}}]", "no effect 'Flanger'; known: Chorus, "),
        ("[{Pedalboard: {}}]", "no effect 'Pedalboard'; known: Chorus, "),
        ("[{Gain: 3}]", "Gain: parameters must be a mapping"),
        ("[{Gain: {loudness: 3}}]", "Gain: "),
        ("[{Gain: {gain_db: loud}}]", "Gain: "),
        ("[{Gain: {gain_db: [3]}}]", "Gain: "),
        ("[{Reverb: {room_size: 5}}]", "Reverb: "),
        ("[{Delay: {feedback: -1}}]", "Delay: "),
        ("[{Gain: {gain_db: .nan}}]", "Gain: "),
        ("[{Reverb: {room_size: .nan}}]", "Reverb: "),
        ("[{Distortion: {drive_db: .inf}}]", "Distortion: "),
    ],
)
def test_a_mistake_in_an_effect_chain_is_named(
    write_bank: WriteBank, effects: str, expected: str
) -> None:
    message = mistake(write_bank(BASS_WITH.format(effects)))
    assert message.startswith(f"Electric Bass[0]: {expected}")


@pytest.mark.parametrize(
    "use",
    [
        lambda: parse_effects([{"Gain": {"gain_db": 3}}], "bank.yaml"),
        lambda: play_instrument("a.vst3", [], np.zeros(0), (1, 10), 44100),
    ],
    ids=["parse", "play"],
)
def test_without_pedalboard_one_line_names_the_command(
    monkeypatch: pytest.MonkeyPatch, use: Callable[[], object]
) -> None:
    monkeypatch.setitem(sys.modules, "pedalboard", None)
    with pytest.raises(UsageError) as caught:
        use()
    assert install_command("effects") in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_bank_without_effects_needs_no_pedalboard(
    write_bank: WriteBank, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pedalboard", None)
    assert len(bank_from_yaml(write_bank(BASS_WITH.format("[]"))).patches) == 1


# Instruments.


class FakeInstrument:
    """A plugin that returns given audio and keeps what it was called with."""

    def __init__(self, audio: Floats) -> None:
        self.audio = audio
        self.messages: list[Any] = []
        self.options: dict[str, Any] = {}

    def __call__(self, messages: list[Any], **options: Any) -> Floats:
        self.messages, self.options = messages, options
        return self.audio


@pytest.fixture
def play(pedalboard: Any, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Floats]:
    """Return a function that plays events with a fake instrument."""

    def play_with(
        instrument: FakeInstrument, events: Sequence[Event] = (), n_samples: int = 8
    ) -> Floats:
        loaded: list[str] = []

        def load_plugin(path: str) -> FakeInstrument:
            loaded.append(path)
            return instrument

        monkeypatch.setattr(pedalboard, "load_plugin", load_plugin)
        seconds = np.array([event.tick / 100 for event in events])
        audio = play_instrument("/plugins/kit.vst3", events, seconds, (1, n_samples), 16000)[0]
        assert loaded == ["/plugins/kit.vst3"]
        return audio

    return play_with


Play = Callable[..., Floats]


def test_an_instrument_hears_all_messages_but_programs_and_exclusives(play: Play) -> None:
    instrument = FakeInstrument(np.zeros((2, 8), np.float32))
    events = [
        Event(0, b"\xf0\x7e\x7f\x09\x01\xf7"),
        Event(0, b"\xc0\x05"),
        Event(10, b"\x90\x3c\x40"),
        Event(15, b"\xb0\x40\x7f"),
        Event(16, b"\xe0\x01\x41"),
        Event(17, b"\xd0\x11"),
        Event(20, b"\xc0\x06"),
        Event(25, b"\x80\x3c\x00"),
    ]
    play(instrument, events)
    assert [(bytes(m.bytes()), m.time) for m in instrument.messages] == [
        (b"\x90\x3c\x40", 0.1),
        (b"\xb0\x40\x7f", 0.15),
        (b"\xe0\x01\x41", 0.16),
        (b"\xd0\x11", 0.17),
        (b"\x80\x3c\x00", 0.25),
    ]


def test_an_instrument_plays_as_long_as_asked_from_a_clean_state(play: Play) -> None:
    instrument = FakeInstrument(np.zeros((2, 8), np.float32))
    play(instrument, n_samples=8)
    assert instrument.options["duration"] == 8 / 16000
    assert instrument.options["sample_rate"] == 16000
    assert instrument.options["num_channels"] == 2
    assert instrument.options["reset"] is True


def test_an_instruments_audio_is_the_mean_of_left_and_right(play: Play) -> None:
    stereo = np.array([[0.5, 0.25, -1.0, 0.0], [0.5, -0.25, 0.0, 1.0]], np.float32)
    audio = play(FakeInstrument(stereo), n_samples=4)
    assert audio.dtype == np.float32
    np.testing.assert_array_equal(audio, np.array([0.5, 0.0, -0.5, 0.5], np.float32))


@pytest.mark.parametrize("n_played", [0, 5, 8, 11])
def test_an_instruments_audio_is_padded_or_cut(play: Play, n_played: int) -> None:
    audio = play(FakeInstrument(np.ones((2, n_played), np.float32)), n_samples=8)
    assert audio.shape == (8,)
    np.testing.assert_array_equal(audio, (np.arange(8) < n_played).astype(np.float32))


def test_an_instrument_may_play_into_two_channels(
    pedalboard: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    stereo = np.arange(12, dtype=np.float32).reshape(2, 6)
    monkeypatch.setattr(pedalboard, "load_plugin", lambda _: FakeInstrument(stereo))
    audio = play_instrument("/plugins/kit.vst3", [], np.zeros(0), (2, 8), 16000)
    np.testing.assert_array_equal(audio, np.pad(stereo, ((0, 0), (0, 2))))
