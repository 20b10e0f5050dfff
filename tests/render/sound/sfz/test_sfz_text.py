"""The text of SFZ files, and the regions in it: by hand, and as sfizz itself reads them."""

from __future__ import annotations

import math
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sfz_maker import write_sfz, write_wav
from stemsmith.manifests.errors import UsageError
from stemsmith.render.sound.sfz.regions import Region, RegionTable, named_samples, parse_regions
from stemsmith.render.sound.sfz.text import Opcode, read_text


def opcodes(path: Path) -> list[tuple[str, list[tuple[str, str]]]]:
    """Return headers, each with the names and values below it."""
    return [
        (header, [(name, value) for name, value, _ in found])
        for header, _, found in read_text(path).sections
    ]


def regions(path: Path) -> tuple[Region, ...]:
    return parse_regions(read_text(path).sections).regions


def struck(path: Path) -> list[tuple[str, tuple[int, int]]]:
    """Return the samples that notes make sound, and their keys."""
    return [(region.sample, region.keys) for region in regions(path) if region.is_struck]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("<region>key=60", [("region", [("key", "60")])]),
        ("<group><region> key=60<region>key=61", [
            ("group", []), ("region", [("key", "60")]), ("region", [("key", "61")])]),
        # values have blanks; an opcode, a header or a comment ends them
        ("<region> sample=My Piano C4.wav key=60 lovel=1", [
            ("region", [("sample", "My Piano C4.wav"), ("key", "60"), ("lovel", "1")])]),
        ("<region> sample= a b.wav  // key=1\nkey=2", [
            ("region", [("sample", "a b.wav"), ("key", "2")])]),
        ("<region> sample=a b<region>", [("region", [("sample", "a b")]), ("region", [])]),
        ("<region> sample=a#1.wav key=c#4", [("region", [("sample", "a#1.wav"), ("key", "c#4")])]),
        ("<region> sample=x /* key=1\nkey=2 */ key=3", [
            ("region", [("sample", "x"), ("key", "3")])]),
        ("<region> /* never ends\nkey=2", [("region", [])]),
        ("<region> group_label=\nkey=2", [("region", [("group_label", ""), ("key", "2")])]),
        ("<region> label= key=2", [("region", [("label", ""), ("key", "2")])]),
        # what makes no sense is left out with the rest of its line
        ("<region> ??? key=1\nkey=2", [("region", [("key", "2")])]),
        ("<region> word key=1\r\nkey=2\r\n", [("region", [("key", "2")])]),
        ("<region key=1\nkey=2", []),
        ("key=1 <region> key=2", [("region", [("key", "2")])]),
        # definitions: one word, the shortest known name, names in names and values
        ("#define $K 60\n<region> key=$K", [("region", [("key", "60")])]),
        ("#define $A 1 #define $B 2\n<region> key=$A$B", [("region", [("key", "12")])]),
        ("#define $K 6\n#define $KEY 7\n<region> key=$KEY", [("region", [("key", "6EY")])]),
        ("#define $N 64\n<region> locc$N=3 lo$Ncc=1", [
            ("region", [("locc64", "3"), ("lo64cc", "1")])]),
        ("#define $A $B\n#define $B 5\n<region> key=$A", [("region", [("key", "5")])]),
        ("<region> sample=$MISSING.wav", [("region", [("sample", ".wav")])]),
        ("#define $E\n<region> key=6$E", [("region", [("key", "6")])]),
        ("<region> key=1 #define $K 2\n<region> key=$K", [
            ("region", [("key", "1")]), ("region", [("key", "2")])]),
    ],
)  # fmt: skip
def test_text(tmp_path: Path, text: str, expected: list[Any]) -> None:
    assert opcodes(write_sfz(tmp_path / "a.sfz", text)) == expected


def test_includes_are_read_where_they_stand(tmp_path: Path) -> None:
    write_sfz(tmp_path / "Data/part.txt", "<region> key=$K\n")
    write_sfz(tmp_path / "Data/deep.txt", '#include "Data/part.txt" #include "Data/part.txt"\n')
    path = write_sfz(
        tmp_path / "a.sfz",
        '#define $K 1\n#define $DIR Data\n<group> lovel=3 #include "$DIR\\part.txt"\n'
        '#define $K 2\n#include "Data/deep.txt"\n<region> key=4',
    )
    assert [found for header, found in opcodes(path) if header == "region"] == [
        [("key", key)] for key in "1224"
    ]
    assert read_text(path).files == {
        "a.sfz": path,
        "Data/part.txt": tmp_path / "Data/part.txt",
        "Data/deep.txt": tmp_path / "Data/deep.txt",
    }


def test_errors_name_file_and_line(tmp_path: Path) -> None:
    write_sfz(tmp_path / "sub/part.txt", "// one\n\n<region>\nkey=1\n")
    path = write_sfz(tmp_path / "a.sfz", '\n#include "sub/part.txt"\n<region> key=2\n')
    sections = read_text(path).sections
    assert [section.where for section in sections] == [
        f"{tmp_path / 'sub/part.txt'}: line 3",
        f"{path}: line 3",
    ]
    assert sections[0].opcodes == [Opcode("key", "1", f"{tmp_path / 'sub/part.txt'}: line 4")]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('\n#include "gone.txt"', "a.sfz: line 2: there is no file .*gone.txt"),
        ('#include "a.sfz"', "a.sfz: line 1: includes a.sfz, which includes it"),
        ('#include "b.txt"', "b.txt: line 1: includes a.sfz, which includes it"),
        ("#include b.txt", "line 1: #include needs the name of a file in quotes"),
        ('#include "/etc/passwd"', "/etc/passwd: give a path relative to the instrument's folder"),
        ('#include "C:\\\\x.txt"', "give a path relative to the instrument's folder"),
        ('#include "../../../x.txt"', "x.txt: lies outside of"),
        ('#include "folder"', "there is no file"),
        ("#define $A $A\n<region> key=$A", "line 2: definitions that contain each other"),
        ("#define $A " + "x" * 2000, "a definition of 2000 characters"),
        (
            "\n".join(f"#define ${chr(66 + i)} {f'${chr(65 + i)}' * 50}" for i in range(9))
            + "\n<region> key=$J",
            "definitions that contain each other, or too much text",
        ),
        ("<sample> name=a.wav base64data=AAAA", "samples within the text are not supported"),
    ],
)
def test_what_no_instrument_may_say(tmp_path: Path, text: str, message: str) -> None:
    folder = tmp_path / "x/y/z"
    (folder / "folder").mkdir(parents=True)
    write_sfz(folder / "b.txt", '#include "a.sfz"')
    path = write_sfz(folder / "a.sfz", text)
    with pytest.raises(UsageError, match=message) as caught:
        parse_regions(read_text(path).sections)
    assert "\n" not in str(caught.value)


def test_text_without_an_end_is_refused_in_time(tmp_path: Path) -> None:
    for n in range(16):
        write_sfz(tmp_path / f"{n}.txt", f'#include "{n + 1}.txt" #include "{n + 1}.txt"\n')
    write_sfz(tmp_path / "16.txt", "<region>")
    with pytest.raises(UsageError, match="more text than any instrument has"):
        read_text(write_sfz(tmp_path / "a.sfz", '#include "0.txt"'))
    blanks = write_sfz(tmp_path / "b.sfz", "<region> key=1" + " \t" * 200_000 + ". key=2")
    assert len(opcodes(blanks)[0][1]) == 2


def test_groups_hand_down_what_regions_do_not_change(tmp_path: Path) -> None:
    path = write_sfz(
        tmp_path / "a.sfz",
        """
        <global> lovel=10 hivel=100 sample=g.wav
        <master> hivel=90
        <group> lokey=40 hikey=50 lovel=20
        <region> sample=a.wav
        <region> lovel=30 key=45
        <group>
        <region> sample=b.wav
        <master>
        <region> sample=c.wav
        <global>
        <region> sample=d.wav
        """,
    )
    found = [(r.sample, r.keys, r.velocities) for r in regions(path)]
    assert found == [
        ("a.wav", (40, 50), (20, 90)),
        ("g.wav", (45, 45), (30, 90)),
        ("b.wav", (0, 127), (10, 90)),
        ("c.wav", (0, 127), (10, 100)),
        ("d.wav", (0, 127), (0, 127)),
    ]


@pytest.mark.parametrize(
    ("text", "keys"),
    [
        ("key=60", (60, 60)),
        ("key=c4", (60, 60)),
        ("key=C#-1", (1, 1)),
        ("key=Db4", (61, 61)),
        ("key=G9", (127, 127)),
        ("key=072", (72, 72)),
        ("lokey=a3 hikey=b3", (57, 59)),
        ("key=60 lokey=50", (50, 60)),
        ("lokey=50 key=60", (60, 60)),
        ("lokey=-1", (0, 127)),
        ("", (0, 127)),
    ],
)
def test_keys_have_numbers_and_names(tmp_path: Path, text: str, keys: tuple[int, int]) -> None:
    path = write_sfz(tmp_path / "a.sfz", f"<region> sample=a.wav {text}")
    assert struck(path) == [("a.wav", keys)]


def test_the_default_path_is_that_of_the_last_control_header(tmp_path: Path) -> None:
    path = write_sfz(
        tmp_path / "a.sfz",
        """
        <control> default_path=One\\Two/ note_offset=1
        <group> sample=a.wav key=60
        <region>
        <control> default_path=Other_
        <region>
        <region> sample=*sine
        <control>
        <region> sample=sub\\b.wav
        """,
    )
    assert [(r.sample, r.keys[0]) for r in regions(path)] == [
        ("One/Two/a.wav", 61),
        ("Other_a.wav", 61),
        ("*sine", 61),
        ("sub/b.wav", 61),
    ]
    assert [name for name, _ in named_samples(regions(path))] == [
        "One/Two/a.wav",
        "Other_a.wav",
        "sub/b.wav",
    ]


@pytest.mark.parametrize(
    ("text", "is_struck"),
    [
        ("<region> sample=a.wav", True),
        ("<region> sample=a.wav trigger=first", True),
        ("<region> sample=a.wav trigger=release", False),
        ("<region> sample=a.wav trigger=release_key", False),
        ("<region> sample=a.wav trigger=legato", False),
        ("<region> sample=a.wav hikey=-1 on_locc64=1", False),
        ("<region> sample=*silence", False),
        ("<region> sample=a.wav sw_last=24", False),
        ("<global> sw_default=24 <region> sample=a.wav sw_last=24", True),
        ("<global> sw_default=24 <region> sample=a.wav sw_last=25", False),
        ("<global> sw_default=c1 <region> sample=a.wav sw_lolast=20 sw_hilast=30", True),
        ("<region> sample=a.wav sw_down=20", False),
        ("<region> sample=a.wav locc64=65", False),
        ("<region> sample=a.wav hicc64=65", True),
        ("<region> sample=a.wav locc7=90 hicc7=110", True),
        ("<control> set_cc20=50 <region> sample=a.wav locc20=50", True),
        ("<control> set_hdcc20=0.5 <region> sample=a.wav lohdcc20=0.6", False),
        ("<region> sample=a.wav locc131=5", True),  # the velocity of the note
    ],
)
def test_what_a_note_makes_sound(tmp_path: Path, text: str, is_struck: bool) -> None:
    path = write_sfz(tmp_path / "a.sfz", text)
    assert [region.is_struck for region in regions(path)] == [is_struck]


HEADERS = ("global", "master", "group", "region", "region", "region", "control")
PIECES = (
    "key=60", "key=c#4", "lokey=20", "hikey=90", "lokey=f2", "hikey=Bb5", "hikey=-1", "key=128",
    "lokey=x", "lovel=20", "hivel=90", "lovel=64.5", "trigger=release", "sample=a.wav",
    "sample=sub\\a.wav", "sample=sub/a.wav", "sample=A.WAV", "sample=*sine", "sample=",
    "default_path=sub/", "note_offset=3", "octave_offset=-1", "volume=-6", "$Kkey=40",
    "key=$NUMBER", "key=$N", "// key=1", "/* key=1", "*/", "tune=5 // x", "junk", "<", ">",
    "#define $N 50", "#define $NUMBER 51", "#define $K lo", '#include "part.txt"', "\n",
)  # fmt: skip


@pytest.mark.parametrize("seed", range(40))
def test_regions_are_those_of_sfizz(tmp_path: Path, seed: int) -> None:
    sfizz = pytest.importorskip("pysfizz")._sfizz
    rng = random.Random(seed)
    for file in ("a.wav", "sub/a.wav", "sub/sub/a.wav"):
        write_wav(tmp_path / file, np.full(8, 0.5))
    write_sfz(tmp_path / "part.txt", "<region> lokey=33 sample=a.wav\n")
    lines = []
    for _ in range(12):
        pieces = rng.choices(PIECES, k=rng.randint(0, 6))
        lines.append(f"<{rng.choice(HEADERS)}> {' '.join(pieces)}")
    path = write_sfz(tmp_path / "a.sfz", "\n".join(lines))
    synth = sfizz.Synth(44100, 1024)
    synth.load_sfz_file(str(path))
    theirs = [synth.get_region_data(i) for i in range(synth.get_num_regions())]
    # sfizz drops regions whose file is not there; here they are an error later.
    present = ("", "a.wav", "sub/a.wav", "sub/sub/a.wav")
    ours = [r for r in regions(path) if r.sample[:1] == "*" or r.sample.lower() in present]
    assert [(r.sample.lower(), r.keys, r.velocities[0]) for r in ours] == [
        (d["sample_id"].lower(), (d["lokey"], d["hikey"]), pytest.approx(127 * d["lovel"]))
        for d in theirs
    ]
    # sfizz lets a region reach up to the next whole velocity.
    assert [min(math.floor(r.velocities[1]), 127) for r in ours] == [
        min(math.ceil(127 * d["hivel"] - 1e-3), 128) - (d["hivel"] < 1) for d in theirs
    ]


def test_effects_of_the_instrument_are_known(tmp_path: Path) -> None:
    def read(text: str) -> RegionTable:
        return parse_regions(read_text(write_sfz(tmp_path / "a.sfz", text)).sections)

    assert read("<effect> type=fverb <region> sample=*sine").has_effects
    assert not read("<region> sample=*sine").has_effects
