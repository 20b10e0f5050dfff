"""Packs: the same corpus again, byte for byte, or one line that says what differs."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from sfz_maker import strings
from stemsmith.manifests import documents, shards, storage
from stemsmith.manifests.audio import flac
from stemsmith.manifests.corpus import Corpus
from stemsmith.manifests.errors import InvalidCorpus, UsageError
from stemsmith.manifests.programs import rendering_class_of
from stemsmith.manifests.records import Reason
from stemsmith.render import packs
from stemsmith.render.again.pack import Pack, read_pack, write_pack
from stemsmith.render.again.proof import check_sum
from stemsmith.render.checking import validate_corpus
from stemsmith.render.corpus.config import RenderConfig
from stemsmith.render.midi.playing import Dynamic
from stemsmith.render.packs import pack, restore
from stemsmith.render.renditions.config import RenditionConfig
from stemsmith.render.sound.sf2 import default_soundfont
from stemsmith.render.workflow import render_corpus, render_renditions

SMALL: dict[str, Any] = {"band": None, "sample_rate": 8000, "tail_s": 0.3}
PARTS = ((0, 0), (33, 1), (40, 2), (0, 9))


class Said:
    """A progress that keeps what it is told."""

    def __init__(self) -> None:
        self.warnings: list[str] = []
        self.notes: list[str] = []
        self.warn, self.note = self.warnings.append, self.notes.append

    def loop(self, *_: Any, **__: Any) -> Any:
        from stemsmith.manifests.jobs import QUIET

        return QUIET.loop("", 0)


def hashes(root: Path) -> dict[str, str]:
    files = (path for path in root.rglob("*") if path.is_file())
    return {path.relative_to(root).as_posix(): storage.file_hash(path) for path in files}


def elsewhere(scores: Path, folder: Path) -> Path:
    """Copy scores to where nobody would look for them, under other names, among others."""
    files = sorted(path for path in scores.rglob("*") if path.is_file())
    for number, path in enumerate(files):
        place = folder / f"deep{number % 2}" / f"{len(files) - number} ü.bin"
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, place)
        same_size = bytearray(path.read_bytes())
        same_size[-1:] = bytes([(same_size[-1] + 1) % 256])
        place.with_suffix(".mid").write_bytes(same_size)
    return folder


@pytest.fixture(scope="module")
def scores(tmp_path_factory: pytest.TempPathFactory, make_song) -> Path:
    """Return four songs of 2 s, two of which are the same music, and a file that is none."""
    folder = tmp_path_factory.mktemp("scores")
    for k in range(3):
        make_song(folder / f"album{k % 2}" / f"song {k}.mid", PARTS, n_notes=24, seed=k)
    make_song(folder / "twin.mid", ((5, 0), (33, 1), (40, 2), (0, 9)), n_notes=24, seed=0)
    (folder / "broken.mid").write_bytes(b"MThd")
    (folder / "licences.tsv").write_text("album1\tCC0-1.0\n", "utf-8")
    return folder


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, scores: Path) -> Corpus:
    """Return a corpus of them; read only."""
    return render_corpus(scores, tmp_path_factory.mktemp("made") / "c", **SMALL)


@pytest.fixture(scope="module")
def packed(made: Corpus, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return its pack; read only."""
    path = tmp_path_factory.mktemp("packed") / "c.pack.json"
    pack(made, path)
    return path


# ---------------------------------------------------------------------------------------------
# The same bytes


def test_a_corpus_is_made_again_byte_for_byte(
    scores: Path, made: Corpus, packed: Path, tmp_path: Path
) -> None:
    said = Said()
    again = restore(packed, tmp_path / "again", midi_dir=elsewhere(scores, tmp_path / "m"),
                    progress=said)  # fmt: skip
    assert hashes(again.root) == hashes(made.root)
    assert said.warnings == []
    assert validate_corpus(again.root)
    before = {p: p.stat().st_mtime_ns for p in again.root.rglob("*")}
    restore(packed, again.root, midi_dir=scores, progress=said)
    assert {p: p.stat().st_mtime_ns for p in again.root.rglob("*")} == before
    assert said.notes[-1] == f"{again.root}: is there already"


def test_the_scores_within_a_corpus_will_do(made: Corpus, packed: Path, tmp_path: Path) -> None:
    again = restore(packed, tmp_path / "again", midi_dir=made.root)
    assert hashes(again.root) == hashes(made.root)


def test_only_the_scores_that_were_selected_are_needed(scores: Path, tmp_path: Path) -> None:
    chosen = render_corpus(scores, tmp_path / "c", n_songs=2, seed=4, **SMALL)
    pack(chosen, tmp_path / "p")
    for song in chosen.values():
        place = tmp_path / "few" / song.record.source
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(scores / song.record.source, place)
    assert len(list((tmp_path / "few").rglob("*.mid"))) == 2
    again = restore(tmp_path / "p", tmp_path / "again", midi_dir=tmp_path / "few")
    assert hashes(again.root) == hashes(chosen.root)


def test_a_pack_is_small_and_the_same_whoever_makes_it(
    made: Corpus, packed: Path, tmp_path: Path, here
) -> None:
    n_audio = sum(path.stat().st_size for path in made.root.rglob("*.flac"))
    assert packed.stat().st_size < n_audio / 50  # of songs of 2 s
    done = here("pack", made.root, tmp_path / "p", "--jobs", 1)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "p").read_bytes() == packed.read_bytes()
    for text in (str(made.root), str(Path.home())):
        assert text.encode() not in packed.read_bytes()
    copied = tmp_path / "copy"
    shutil.copytree(made.root, copied)
    pack(copied, tmp_path / "p")  # which replaces a pack
    assert (tmp_path / "p").read_bytes() == packed.read_bytes()


def write_response(path: Path, seed: int) -> None:
    rng = np.random.default_rng(seed)
    path.parent.mkdir(parents=True, exist_ok=True)
    taps = rng.standard_normal(800) * np.exp(-np.arange(800) / 100)
    soundfile.write(path, 0.1 * taps, 8000, subtype="FLOAT")


OPTIONS: dict[str, dict[str, Any]] = {
    "stereo": {"n_channels": 2, "pan": "drawn", "humanise": True},
    "produced": {
        "n_channels": 2, "effects": "class", "room": "drawn", "equalise": True, "dry": True,
        "master": "bus", "balance": "real", "on_defect": "redraw",
    },
    "pieces": {"drum_pieces": True, "drums": "joined", "jitter_s": 0.01, "tuning_cents": 4},
    "unsplit": {"mix_source": "unsplit", "patch_choice": "program", "render_omitted": True},
    "dynamics": {
        "dynamics": (Dynamic("p", 50), Dynamic("f", 110), Dynamic("as-written", None)), "seed": 3,
    },
    "splits": {"splits": "1,1,1", "near_duplicates": False, "licence": "CC-BY-4.0"},
    "licences": {"licence_ok": ["CC0-1.0"], "min_stem_notes": 3},
    "codec": {"codec": "mp3:128", "on_defect": "drop"},
}  # fmt: skip


@pytest.mark.parametrize("name", OPTIONS)
def test_every_option_is_done_again(scores: Path, tmp_path: Path, name: str) -> None:
    for package in {"produced": ("pedalboard", "pyroomacoustics"), "codec": ("av",)}.get(name, ()):
        pytest.importorskip(package)
    first = render_corpus(scores, tmp_path / "c", **{**SMALL, **OPTIONS[name]})
    pack(first, tmp_path / "p")
    again = restore(tmp_path / "p", tmp_path / "again", midi_dir=scores)
    assert hashes(again.root) == hashes(first.root)


def test_files_that_options_name_are_found_by_content(scores: Path, tmp_path: Path) -> None:
    pytest.importorskip("pedalboard")
    for number in range(3):
        write_response(tmp_path / "rooms" / f"{number}.wav", number)
    (tmp_path / "effects.yaml").write_text(
        "bass: [{Compressor: {threshold_db: -20, ratio: [3, 6]}}]\n"
        "others: [{HighpassFilter: {cutoff_frequency_hz: [80, 140], probability: 0.5}}]\n"
    )
    (tmp_path / "levels.yaml").write_text(
        "groups:\n"
        + "".join(
            f"  {group}: {{quantiles_lu: {{0: {low}, 50: -4, 100: -2.5}}}}\n"
            for group, low in (("other", -9), ("drums", -7.25), ("bass", -8))
        )
    )
    first = render_corpus(
        scores, tmp_path / "c", room=str(tmp_path / "rooms"), balance=str(tmp_path / "levels.yaml"),
        effects=str(tmp_path / "effects.yaml"), **SMALL,
    )  # fmt: skip
    pack(first, tmp_path / "p")
    (tmp_path / "effects.yaml").unlink()
    (tmp_path / "levels.yaml").unlink()
    for number in range(3):
        place = tmp_path / "others" / "below" / f"hall {number}.wav"
        place.parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "rooms" / f"{2 - number}.wav").rename(place)
    with pytest.raises(UsageError, match=r"rooms: 0.wav is not there; 3 of 3 impulse responses"):
        restore(tmp_path / "p", tmp_path / "again", midi_dir=scores)
    again = restore(tmp_path / "p", tmp_path / "again", midi_dir=scores, room=tmp_path / "others")
    assert hashes(again.root) == hashes(first.root)
    write_response(tmp_path / "others" / "1.wav", 9)
    next((tmp_path / "others" / "below").glob("*1.wav")).unlink()
    with pytest.raises(UsageError, match=r"1.wav is there with another content; 1 of 3"):
        restore(tmp_path / "p", tmp_path / "b", midi_dir=scores, room=tmp_path / "others")


def test_patch_banks_with_sfz_instruments_and_recorded_notes(make_song, tmp_path: Path) -> None:
    pytest.importorskip("pysfizz")
    make_song(tmp_path / "m" / "a.mid", ((25, 0), (40, 1), (0, 9)), n_notes=10)
    instrument, font = strings(tmp_path / "strings"), default_soundfont()
    bank = tmp_path / "bank.yaml"
    classes = {
        rendering_class_of(25): f"[{{sfz: {instrument}, name: plucked}}]",
        rendering_class_of(40): f"[{{soundfont: {font}, preset: 48}}]",
        rendering_class_of(128): f"[{{soundfont: {font}, bank: 128, preset: 0}}]",
    }
    bank.write_text("".join(f"{name}: {patches}\n" for name, patches in classes.items()))
    first = render_corpus(tmp_path / "m", tmp_path / "c", bank=bank, **SMALL)
    pack(first, tmp_path / "p")
    with pytest.raises(UsageError, match="it was rendered with a patch bank; give that with --ba"):
        restore(tmp_path / "p", tmp_path / "again", midi_dir=tmp_path / "m")
    again = restore(tmp_path / "p", tmp_path / "again", midi_dir=tmp_path / "m", bank=bank)
    assert hashes(again.root) == hashes(first.root)
    bank.write_text(bank.read_text().replace("plucked", "pulled"))
    with pytest.raises(UsageError, match="was rendered with another patch bank"):
        restore(tmp_path / "p", tmp_path / "b", midi_dir=tmp_path / "m", bank=bank)


RENDITIONS: dict[str, dict[str, Any]] = {
    "plain": {"n_renditions": 2, "shifts_s": (0.0, 0.2)},
    "varied": {
        "n_renditions": 5, "dynamics": (Dynamic("p", 48), Dynamic("f", 112), Dynamic("m", 80)),
        "tempos": "0.8,120,as-written", "tempo_mode": "replace", "shifts_s": (0.2, 0.0),
        "rule": "distinct", "jitter_s": 0.01, "tuning_cents": 3, "n_channels": 2, "pan": "drawn",
    },
}  # fmt: skip


@pytest.mark.parametrize("name", RENDITIONS)
def test_renditions_are_made_again(scores: Path, tmp_path: Path, name: str) -> None:
    config = RenditionConfig(headroom_db=30, sample_rate=8000, tail_s=0.3, **RENDITIONS[name])
    first = render_renditions(scores, tmp_path / "c", config)
    packed = pack(first, tmp_path / "p")
    assert packed.kind == "renditions"
    again = restore(tmp_path / "p", tmp_path / "again", midi_dir=elsewhere(scores, tmp_path / "m"))
    assert hashes(again.root) == hashes(first.root)
    some = restore(tmp_path / "p", tmp_path / "some", midi_dir=scores, tracks=["Track00002"])
    assert {name.rpartition("-")[0] for name in some} == {"Track00002"}
    whole, part = hashes(first.root), hashes(some.root)
    of_all = {"manifest.json", "README.md"} | {n for n in part if n.endswith(".parquet")}
    assert {n: part[n] for n in part.keys() - of_all} == {n: whole[n] for n in part.keys() - of_all}
    assert validate_corpus(some.root)


def test_aligned_scores_are_asked_for(make_song, tmp_path: Path) -> None:
    make_song(tmp_path / "m" / "a.mid", ((40, 0),), n_notes=6)
    shutil.copytree(tmp_path / "m", tmp_path / "aligned")
    config = RenditionConfig(
        headroom_db=30, aligned=str(tmp_path / "aligned"), sample_rate=8000, tail_s=0.3
    )
    first = render_renditions(tmp_path / "m", tmp_path / "c", config)
    pack(first, tmp_path / "p")
    with pytest.raises(UsageError, match="was rendered with aligned scores; give their folder"):
        restore(tmp_path / "p", tmp_path / "again", midi_dir=tmp_path / "m")
    moved = (tmp_path / "aligned").rename(tmp_path / "moved")
    again = restore(tmp_path / "p", tmp_path / "again", midi_dir=tmp_path / "m", aligned=moved)
    assert hashes(again.root) == hashes(first.root)
    make_song(moved / "a.mid", ((40, 0),), n_notes=6, ticks_per_note=80)
    with pytest.raises(InvalidCorpus, match=r"\(a.mid\): other stems are planned here than"):
        restore(tmp_path / "p", tmp_path / "b", midi_dir=tmp_path / "m", aligned=moved)


@pytest.mark.parametrize(
    "config",
    [
        RenderConfig(),
        RenderConfig(**{**SMALL, **OPTIONS["splits"]}),
        RenderConfig(**OPTIONS["produced"]),
        RenderConfig(codec="opus:96", band=["violin", "bass"]),
    ],
    ids=["default", "splits", "produced", "codec"],
)
def test_a_manifest_gives_the_options_back(config: RenderConfig) -> None:
    content = json.loads(json.dumps(config.to_dict(), sort_keys=True))
    assert RenderConfig.from_dict(content, config.dynamics) == config
    with pytest.raises(UsageError, match=r"config\.colour: is no option of this version"):
        RenderConfig.from_dict({**content, "colour": 1}, ())
    for key, value in (("seed", "1"), ("tail_s", "x"), ("audit", 1), ("pan", 3), ("seed", None)):
        with pytest.raises(UsageError, match=rf"config\.{key} is"):
            RenderConfig.from_dict({**content, key: value}, ())


# ---------------------------------------------------------------------------------------------
# Parts of a corpus


def test_some_songs_are_a_corpus_that_says_so(
    scores: Path, made: Corpus, packed: Path, tmp_path: Path
) -> None:
    names = list(made)[1:3]
    few = tmp_path / "few"
    for name in names:
        place = few / f"{name}.mid"
        place.parent.mkdir(exist_ok=True)
        shutil.copy(scores / made[name].record.source, place)
    part = restore(packed, tmp_path / "part", midi_dir=few, tracks=names[::-1])
    assert list(part) == names
    assert part.header["restored_from"] == {
        "fingerprint": made.header["fingerprint"],
        "n_songs": made.header["n_songs"],
        "versions": made.header["versions"],
    }
    assert sum(part.header["n_songs"].values()) == 2
    assert part.header["rejections"] == made.header["rejections"]
    assert part.header["fingerprint"] != made.header["fingerprint"]
    whole, own = hashes(made.root), hashes(part.root)
    files = {name for name in own if "/" in name}
    assert {n: own[n] for n in files} == {n: whole[n] for n in whole if n in files}
    assert len(files) == sum(len(s.files) for s in read_pack(packed).selected(names))
    assert validate_corpus(part.root)
    again = restore(packed, part.root, midi_dir=few, tracks=names)
    assert hashes(again.root) == own
    with pytest.raises(UsageError, match="was made with other arguments"):
        restore(packed, part.root, midi_dir=scores)
    with pytest.raises(UsageError, match=r"--track Track7: not in the pack, which has Track00001"):
        restore(packed, tmp_path / "x", midi_dir=scores, tracks=["Track7"])
    pack(part, tmp_path / "q")
    twice = restore(tmp_path / "q", tmp_path / "twice", midi_dir=few)
    assert hashes(twice.root) == own


def test_all_tracks_by_name_are_the_whole(
    scores: Path, made: Corpus, packed: Path, tmp_path: Path
) -> None:
    again = restore(packed, tmp_path / "c", midi_dir=scores, tracks=list(made))
    assert hashes(again.root) == hashes(made.root)


# ---------------------------------------------------------------------------------------------
# What differs


def test_a_score_that_has_changed_is_named(
    scores: Path, made: Corpus, packed: Path, tmp_path: Path, here
) -> None:
    copy = tmp_path / "m"
    shutil.copytree(scores, copy)
    source = made["Track00002"].record.source
    data = bytearray((copy / source).read_bytes())
    data[-1] ^= 1
    (copy / source).write_bytes(data)
    done = here("restore", packed, tmp_path / "c", "--midi", copy, "--jobs", 0)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"Error: {copy / source}: has changed; 1 of {len(made)} scores are not")
    (copy / source).unlink()
    done = here("restore", packed, tmp_path / "c", "--midi", copy, "--jobs", 0)
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"Error: {copy / source}: is missing, under any name; 1 of")
    assert not (tmp_path / "c").exists()


def another_font(path: Path) -> Path:
    """Write the default soundfont with another comment, which changes nothing of its sound."""
    data = bytearray(default_soundfont().read_bytes())
    place = data.index(b"ISFT") + 8
    data[place] ^= 1
    path.write_bytes(data)
    return path


def test_a_soundfont_is_known_by_its_content(scores: Path, tmp_path: Path) -> None:
    font = another_font(tmp_path / "mine.sf2")
    first = render_corpus(scores, tmp_path / "c", soundfonts=[font], n_songs=1, **SMALL)
    pack(first, tmp_path / "p")
    sha256 = storage.file_hash(font)
    with pytest.raises(UsageError, match=f"1 of 1 soundfonts are missing: mine.sf2 .* {sha256}; g"):
        restore(tmp_path / "p", tmp_path / "again", midi_dir=scores)
    shutil.copy(font, tmp_path / "renamed.sf2")
    shutil.copy(default_soundfont(), font)
    with pytest.raises(UsageError, match=r"/mine.sf2 is another one; give it with --soundfont"):
        restore(tmp_path / "p", tmp_path / "again", midi_dir=scores, soundfonts=[font])
    again = restore(
        tmp_path / "p", tmp_path / "again", midi_dir=scores, soundfonts=[tmp_path / "renamed.sf2"]
    )
    assert hashes(again.root) == hashes(first.root)


def changed(path: Path, change: Callable[[Any], None], copy: Path) -> Path:
    """Write a copy of a pack whose content was changed."""
    content = json.loads(path.read_text("utf-8"))
    change(content)
    copy.write_text(json.dumps(content, ensure_ascii=False), "utf-8")
    return copy


def test_another_version_is_a_warning_where_the_bytes_are_the_same(
    scores: Path, made: Corpus, packed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = packs.config_of

    def with_others(*arguments: Any) -> Any:
        config, production, versions = here(*arguments)
        return config, production, {**versions, "numpy": "9.9"}

    monkeypatch.setattr(packs, "config_of", with_others)
    said = Said()
    again = restore(packed, tmp_path / "c", midi_dir=scores, progress=said)
    assert hashes(again.root) == hashes(made.root)
    was = made.header["versions"]["numpy"]
    assert said.warnings == [
        f"{packed}: made with numpy {was} (here 9.9): files may become others, which is told"
    ]

    def spoil(content: Any) -> None:
        content["songs"][1]["files"]["stems/S01.flac"] = ["0" * 64, "1" * 64]

    spoiled = changed(packed, spoil, tmp_path / "p")
    with pytest.raises(InvalidCorpus) as caught:
        restore(spoiled, tmp_path / "d", midi_dir=scores)
    folder = tmp_path / "d" / made["Track00002"].record.path
    assert str(caught.value) == (
        f"{folder}/stems/S01.flac: has other samples than the packed one; versions differ: "
        f"numpy {was} (here 9.9)"
    )
    assert not folder.exists(), "what is not proved does not stay"

    def repack(content: Any) -> None:
        content["manifest"]["shards"][0]["sha256"] = "0" * 64  # as another pyarrow would

    again = restore(changed(packed, repack, tmp_path / "q"), tmp_path / "e", midi_dir=scores)
    assert again.header["versions"]["numpy"] == "9.9"
    assert again.header["restored_from"]["versions"]["numpy"] == was
    assert validate_corpus(again.root)


SPOILED: dict[str, tuple[Callable[[Any], None], str]] = {
    "midi": (
        lambda c: c["songs"][0]["files"].update({"MIDI/S00.mid": "0" * 64}),
        r"MIDI/S00.mid: has other bytes than the packed one; no version differs",
    ),
    "metadata": (
        lambda c: c["songs"][0]["files"].update({"metadata.yaml": "0" * 64}),
        r"metadata.yaml: has other bytes than the packed one; no version differs",
    ),
    "samples": (
        lambda c: c["songs"][0]["files"].update({"stems/S00.flac": ["0" * 64, "0" * 64]}),
        r"stems/S00.flac: has other samples than the packed one; no version differs",
    ),
    "records": (
        lambda c: c["songs"][0].update(records="0" * 64),
        r"its records \(levels, notes or envelopes\) are not; no version differs",
    ),
    "less": (
        lambda c: c["songs"][0]["files"].pop("stems/S00.flac"),
        r"stems/S00.flac: is rendered, and not in the pack",
    ),
    "more": (
        lambda c: c["songs"][0]["files"].update({"stems/S77.flac": "0" * 64}),
        r"stems/S77.flac: is not rendered",
    ),
    "shard": (
        lambda c: c["manifest"]["shards"][0].update(sha256="0" * 64),
        r"songs-00000.parquet has other bytes than the packed one, of the same records",
    ),
    "audit": (
        lambda c: c["manifest"].update(audit={}),
        r"its manifest says another audit than the packed one",
    ),
    "manifest": (
        lambda c: c.update(manifest_sha256="0" * 64),
        r"manifest.json: says what the packed one did, in other bytes",
    ),
    "seed": (lambda c: c["manifest"]["config"].update(seed=9), "than the packed one"),
    "group": (lambda c: c["songs"][0].update(group="0" * 64), r"its records .* are not"),
}


@pytest.mark.parametrize("name", SPOILED)
def test_every_hash_is_proved(scores: Path, packed: Path, tmp_path: Path, name: str) -> None:
    change, message = SPOILED[name]
    with pytest.raises(InvalidCorpus, match=message) as caught:
        restore(changed(packed, change, tmp_path / "p"), tmp_path / "c", midi_dir=scores)
    assert "\n" not in str(caught.value)


@pytest.fixture
def another_encoder(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Return a function after which FLAC is written as on a machine without libFLAC."""
    return lambda: monkeypatch.setattr(flac, "_libflac", lambda: None)


ENCODED: dict[str, dict[str, Any]] = {
    "plain": {},
    "pieces": {"drum_pieces": True, "n_channels": 2},
    "unsplit": {"mix_source": "unsplit", "patch_choice": "program"},
    "produced": {"dry": True, "master": "bus", "effects": "class"},
}


@pytest.mark.parametrize("name", ENCODED)
def test_another_encoder_is_proved_by_samples(
    scores: Path, tmp_path: Path, name: str, another_encoder: Callable[[], None]
) -> None:
    if name == "produced":
        pytest.importorskip("pedalboard")
    first = render_corpus(scores, tmp_path / "c", n_songs=2, **{**SMALL, **ENCODED[name]})
    pack(first, tmp_path / "p")
    another_encoder()
    said = Said()
    again = restore(tmp_path / "p", tmp_path / "again", midi_dir=scores, progress=said)
    assert validate_corpus(again.root)
    of_then, of_now = hashes(first.root), hashes(again.root)
    assert of_then.keys() == of_now.keys()
    audio = {name for name in of_then if name.endswith(".flac")}
    assert all(of_then[name] != of_now[name] for name in audio)
    for file in audio:
        np.testing.assert_array_equal(
            *(soundfile.read(root / file, dtype="int16")[0] for root in (first.root, again.root))
        )
    others = {n for n in of_then if "/" in n} - audio
    assert {n: of_then[n] for n in others} == {n: of_now[n] for n in others}
    warned = f"{len(audio)} FLAC files have other bytes than the packed ones, and the same samples"
    assert said.warnings[-1].endswith(warned)
    assert "libsndfile none (here" in said.warnings[0]
    assert "libflac" in again.header["restored_from"]["versions"]
    assert "libflac" not in again.header["versions"]
    assert "libsndfile" in again.header["versions"]

    def spoil(content: Any) -> None:
        files = content["songs"][0]["files"]
        name = list(files)[-2]  # the mixture, or the master
        files[name] = ["0" * 64, "0" * 64]

    with pytest.raises(InvalidCorpus, match=r"flac: has other samples .* libflac .* \(here none\)"):
        restore(changed(tmp_path / "p", spoil, tmp_path / "q"), tmp_path / "d", midi_dir=scores)


def test_mixtures_are_proved_as_the_sum_of_their_stems(made: Corpus, tmp_path: Path) -> None:
    copy = Corpus(shutil.copytree(made.root, tmp_path / "c"))
    for song in copy.song_records():
        stems = [stem for stem in copy.stem_records() if stem.track == song.track]
        check_sum(copy.root, song, stems)
        samples, rate = soundfile.read(copy.root / song.mix_path, dtype="int16")
        samples[-1] ^= 1
        soundfile.write(copy.root / song.mix_path, samples, rate, subtype="PCM_16")
        with pytest.raises(InvalidCorpus, match=r"mix.flac: is not the sum of its stems"):
            check_sum(copy.root, song, stems)


def test_renditions_of_another_encoder_are_proved_by_samples(
    scores: Path, tmp_path: Path, another_encoder: Callable[[], None]
) -> None:
    config = RenditionConfig(headroom_db=30, sample_rate=8000, tail_s=0.3)
    first = render_renditions(scores, tmp_path / "c", config)
    pack(first, tmp_path / "p")
    another_encoder()
    again = restore(tmp_path / "p", tmp_path / "again", midi_dir=scores)
    assert hashes(first.root).keys() == hashes(again.root).keys()
    assert validate_corpus(again.root)
    assert "restored_from" in again.header


# ---------------------------------------------------------------------------------------------
# Killed, and with workers


@pytest.mark.slow
def test_killed_and_resumed(scores: Path, tmp_path: Path, make_song, stemsmith) -> None:
    midi = tmp_path / "m"
    for k in range(6):
        make_song(midi / f"{k}.mid", n_notes=200, seed=k)
    first = render_corpus(midi, tmp_path / "c", sample_rate=16000, tail_s=0.5)
    pack(first, tmp_path / "p")
    command = [
        sys.executable, "-m", "stemsmith.cli.main", "restore", tmp_path / "p", tmp_path / "d",
        "--midi", midi, "-q", "--jobs", "0",
    ]  # fmt: skip
    rng = random.Random(5)
    n_killed = 0
    for _ in range(2):
        process = subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
        )
        n_before = len(list((tmp_path / "d").glob("*/Track*")))
        n_wanted = n_before + rng.choice((1, 2))
        while process.poll() is None and len(list((tmp_path / "d").glob("*/Track*"))) < n_wanted:
            time.sleep(0.01)
        n_killed += process.poll() is None
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        assert len(list((tmp_path / "d").glob("*/Track*"))) >= n_before
    assert n_killed
    kept = {p: p.stat().st_mtime_ns for p in (tmp_path / "d").glob("*/Track*/**/*")}
    done = stemsmith("restore", tmp_path / "p", tmp_path / "d", "--midi", midi, "--jobs", 2)
    assert done.returncode == 0, done.stderr
    assert hashes(tmp_path / "d") == hashes(first.root)
    assert {p: p.stat().st_mtime_ns for p in kept} == kept


@pytest.mark.parametrize("n_steps", [5, 40, 90, 150, 230])
def test_killed_at_any_write(
    scores: Path, made: Corpus, packed: Path, tmp_path: Path, killed_after, n_steps: int
) -> None:
    with killed_after(n_steps):
        restore(packed, tmp_path / "c", midi_dir=scores)
    again = restore(packed, tmp_path / "c", midi_dir=scores)
    assert hashes(again.root) == hashes(made.root)


def test_an_unfinished_restoration_is_its_own(
    scores: Path, packed: Path, tmp_path: Path, killed_after, here
) -> None:
    with killed_after(90):
        restore(packed, tmp_path / "c", midi_dir=scores)
    with pytest.raises(UsageError, match="the unfinished run here was made with other arguments"):
        restore(packed, tmp_path / "c", midi_dir=scores, tracks=["Track00001"])
    with pytest.raises(UsageError, match="the unfinished run here was made with other arguments"):
        render_corpus(scores, tmp_path / "c", **SMALL)


# ---------------------------------------------------------------------------------------------
# Packs that are none, and corpora that have none


DAMAGED: dict[str, tuple[Callable[[Any], None], str]] = {
    "later": (lambda c: c.update(pack=2), "a pack of version 2, and this stemsmith reads up to 1"),
    "no version": (lambda c: c.update(pack="x"), "'x' is no version of a pack"),
    "true": (lambda c: c.update(pack=True), "True is no version of a pack"),
    "no songs": (lambda c: c.update(songs=[]), "it has no songs"),
    "no manifest": (lambda c: c.pop("manifest"), "manifest is missing"),
    "fonts": (lambda c: c["manifest"].update(soundfonts=3), "manifest.soundfonts is not a list"),
    "font": (
        lambda c: c["manifest"]["soundfonts"][0].update(file="../x.sf2"), "no file with its hash",
    ),
    "schema": (lambda c: c["manifest"].update(schema_version=99), "the schema version 99"),
    "stage": (lambda c: c["manifest"].update(stage="mixtures"), "it is of a folder of mixtures"),
    "kind": (lambda c: c["manifest"].update(kind="matched"), "of a folder of corpus, matched"),
    "hash": (lambda c: c["songs"][0].update(sha256="xyz"), "a hash of Track00001 is none"),
    "hashes": (
        lambda c: c["songs"][0]["files"].update({"stems/S00.flac": []}),
        "Track00001: stems/S00.flac has no hash",
    ),
    "track": (lambda c: c["songs"][0].update(track="../../x"), "track is '../../x', which is not"),
    "split": (lambda c: c["songs"][0].update(split="../train"), "split is '../train', not train"),
    "source": (lambda c: c["songs"][0].update(source="/etc/x"), "source is '/etc/x', which leads"),
    "source up": (lambda c: c["songs"][0].update(source="a/../../x"), "which leads out of the"),
    "folder": (lambda c: c["songs"][0].update(folder=".."), "the folder of Track00001 is '..'"),
    "file": (
        lambda c: c["songs"][0]["files"].update({"../../x.flac": "0" * 64}),
        "a file of Track00001 is '../../x.flac', which leads out of the corpus",
    ),
    "shard": (
        lambda c: c["manifest"]["shards"][0].update(file="../x.parquet"), "no file with its hash",
    ),
    "twice": (lambda c: c["songs"].append(c["songs"][1]), "Track00002 is there twice"),
    "dynamic": (lambda c: c["dynamics"].append(["p"]), r"\['p'\] is no dynamic"),
    "reason": (lambda c: c["rejections"].append(["a", "b", "c", "d"]), "is no rejection"),
    "size": (lambda c: c["songs"][0].update(n_bytes=-1), "MD5 or size of the score of Track00001"),
}  # fmt: skip


@pytest.mark.parametrize("name", DAMAGED)
def test_a_damaged_pack_is_one_line(packed: Path, tmp_path: Path, name: str, here) -> None:
    change, message = DAMAGED[name]
    spoiled = changed(packed, change, tmp_path / "p")
    with pytest.raises(InvalidCorpus, match=message):
        read_pack(spoiled)
    done = here("restore", spoiled, tmp_path / "c", "--midi", tmp_path)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"Error: {spoiled}: ")
    assert not (tmp_path / "c").exists()


@pytest.mark.parametrize("key", ["effects", "colour", "seed", "splits"])
def test_options_that_are_none_are_one_line(
    scores: Path, packed: Path, tmp_path: Path, key: str
) -> None:
    spoiled = changed(
        packed, lambda c: c["manifest"]["config"].update({key: [["x"]]}), tmp_path / "p"
    )
    with pytest.raises(UsageError, match=rf"{spoiled}: made by stemsmith .*: config.{key}"):
        restore(spoiled, tmp_path / "c", midi_dir=scores)


def test_what_is_no_pack_is_one_line(
    made: Corpus, packed: Path, scores: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for path, message in (
        (tmp_path / "nowhere", "there is no such pack"),
        (tmp_path, "is a folder; give the file that `stemsmith pack` has written"),
        (made.root / "manifest.json", "is no pack, which `stemsmith pack CORPUS FILE` writes"),
        (next(made.root.rglob("mix.flac")), "is no pack"),
    ):
        with pytest.raises(UsageError, match=f"{path}: {message}"):
            restore(path, tmp_path / "c", midi_dir=scores)
    data = packed.read_bytes()
    rng = random.Random(3)
    for _ in range(40):
        cut = rng.randrange(10, len(data) - 3)
        (tmp_path / "p").write_bytes(data[:cut])
        with pytest.raises(InvalidCorpus, match=r"p: cannot be read as JSON"):
            read_pack(tmp_path / "p")
    (tmp_path / "p").write_bytes(b'{"pack": ' + b"[" * 100_000)
    with pytest.raises(InvalidCorpus, match="nested more than"):
        read_pack(tmp_path / "p")
    monkeypatch.setitem(documents._LARGEST, "JSON", 1000)
    with pytest.raises(InvalidCorpus, match="no JSON of ours is so large"):
        read_pack(packed)


def test_a_spoiled_byte_never_makes_another_corpus(
    scores: Path, made: Corpus, packed: Path, tmp_path: Path
) -> None:
    """Whatever a byte becomes: one line of ours, or the same corpus."""
    few = tmp_path / "few.json"
    whole = read_pack(packed)
    write_pack(few, Pack(whole.manifest, whole.manifest_sha256, (), whole.rejections, whole.songs))
    data, rng = few.read_bytes(), random.Random(11)
    track = next(iter(made))
    wanted = hashes(made.root / made[track].record.path)
    for number in range(25):
        spoiled = bytearray(data)
        spoiled[rng.randrange(len(data))] = rng.randrange(32, 127)
        (tmp_path / "p").write_bytes(spoiled)
        destination = tmp_path / f"c{number}"
        try:
            again = restore(tmp_path / "p", destination, midi_dir=scores, tracks=[track])
        except (InvalidCorpus, UsageError) as error:
            assert len(str(error).splitlines()) == 1
        else:
            assert hashes(again.root / again[track].record.path) == wanted
        shutil.rmtree(destination, ignore_errors=True)


def test_packs_replace_only_packs(made: Corpus, tmp_path: Path, here) -> None:
    (tmp_path / "thesis").write_text("precious")
    for path, message in (
        (tmp_path / "thesis", "is there already, and no pack; choose another"),
        (tmp_path, "is a folder; name a file"),
        (tmp_path / "no" / "p", "its folder is not there"),
    ):
        done = here("pack", made.root, path, "--jobs", 0)
        assert done.returncode == 2
        assert done.stderr == f"Error: {path}: {message}" + done.stderr.partition(message)[2]
        assert done.stderr.count("\n") == 1
    assert (tmp_path / "thesis").read_text() == "precious"


def test_a_pack_that_nobody_could_read_is_not_written(
    made: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from stemsmith.render.again import pack as module

    monkeypatch.setattr(module, "_LARGEST", 100)
    with pytest.raises(UsageError, match="pack corpora of fewer songs"):
        pack(made, tmp_path / "p")
    assert not list(tmp_path.iterdir())


def test_corpora_that_are_not_whole_are_not_packed(made: Corpus, tmp_path: Path) -> None:
    copy = tmp_path / "c"
    shutil.copytree(made.root, copy)
    score = next(copy.rglob("all_src.mid"))
    data = score.read_bytes()
    score.write_bytes(data + b"\0")
    with pytest.raises(InvalidCorpus, match=r"all_src.mid: is not the score of its song"):
        pack(copy, tmp_path / "p")
    score.unlink()
    with pytest.raises(InvalidCorpus, match=r"all_src.mid: missing"):
        pack(copy, tmp_path / "p")
    score.write_bytes(data)
    (copy / "stems-00000.parquet").write_bytes(b"")
    with pytest.raises(InvalidCorpus, match="SHA-256 is not the one in manifest"):
        pack(copy, tmp_path / "p")
    assert not (tmp_path / "p").exists()


def test_what_cannot_be_packed_says_so(workshop: Path, here) -> None:
    for folder, message in (
        ("mixtures", "holds mixtures"),
        ("run", "holds a trained run"),
        ("scores", "holds MIDI files, not a corpus"),
    ):
        done = here("pack", folder, "p.json")
        assert done.returncode == 1
        assert done.stderr.startswith(f"Error: {folder}: {message}")
        assert done.stderr.count("\n") == 1
    header = shards.read_manifest(Path("corpus"), "corpus")
    shards.write_manifest(Path("corpus"), {**header, "kind": "matched"})
    done = here("pack", "corpus", "p.json", "--jobs", 0)
    assert done.returncode == 2
    assert done.stderr.startswith("Error: corpus: holds stems that match others")


def test_what_an_older_version_wrote_is_packed_and_found_to_differ(workshop: Path, here) -> None:
    assert here("pack", "corpus", "p.json", "--jobs", 0).returncode == 0
    done = here("restore", "p.json", "again", "--midi", "scores", "--jobs", 0)
    assert done.returncode == 1
    assert "its records (levels, notes or envelopes) are not" in done.stderr.splitlines()[-1]


def test_the_commands_say_what_they_made(
    scores: Path, made: Corpus, packed: Path, tmp_path: Path, here
) -> None:
    done = here("pack", made.root, tmp_path / "p", "--jobs", 0, "--json")
    assert json.loads(done.stdout) == {
        "pack": str(tmp_path / "p"),
        "kind": "songs",
        "n_songs": 4,
        "n_files": sum(len(song.files) for song in read_pack(packed).songs),
        "n_bytes": packed.stat().st_size,
    }
    for extra, is_whole in (((), True), (("--track", "Track00003"), False)):
        destination = tmp_path / f"c{is_whole}"
        done = here("restore", tmp_path / "p", destination, "--midi", scores, *extra, "--jobs", 0,
                    "--json")  # fmt: skip
        assert done.returncode == 0, done.stderr
        said = json.loads(done.stdout)
        assert (said["is_whole"], said["has_same_bytes"]) == (is_whole, is_whole)
        assert sum(said["n_songs"].values()) == (4 if is_whole else 1)
    done = here("restore", tmp_path / "p", tmp_path / "x", "--midi", scores, "--bank", "b.yaml",
                "--soundfont", "a.sf2")  # fmt: skip
    assert done.returncode == 2
    assert done.stderr == "Error: give either --bank or --soundfont\n"
    done = here("restore", tmp_path / "p", scores, "--midi", scores)
    assert done.returncode == 2
    assert "not empty and no corpus folder" in done.stderr
    done = here("restore", tmp_path / "p", tmp_path / "x", "--midi", scores, "--room", scores)
    assert "has no impulse responses; leave --room out" in done.stderr


def test_a_song_that_cannot_be_rendered_here_is_named(
    scores: Path, packed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from stemsmith.render.again import restore as module
    from stemsmith.render.midi.smf import Unusable

    def refused(job: Any, prove: Any) -> Any:
        raise Unusable(Reason.SILENT, "nothing sounds")

    publish_song = module.publish_song
    monkeypatch.setattr(module, "publish_song", refused)
    with pytest.raises(InvalidCorpus, match=r"cannot be rendered here: silent: nothing sounds; no"):
        restore(packed, tmp_path / "c", midi_dir=scores)
    assert not list((tmp_path / "c").rglob("*.rejections.parquet"))
    monkeypatch.setattr(module, "publish_song", publish_song)
    again = restore(packed, tmp_path / "c", midi_dir=scores)
    assert len(again) == 4
