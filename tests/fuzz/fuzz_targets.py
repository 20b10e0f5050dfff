"""What reads files of other people, and what must be true of it whatever the file is.

A target takes a spoiled file to where it belongs and reads it as a command would. The file is read,
or refused by one of our errors: one line that names it. Anything else is a fault, and so is what
the single targets say: a checkpoint must not have other weights than were written.
"""

from __future__ import annotations

import hashlib
import io
import json
import shutil
import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from itertools import count
from pathlib import Path
from typing import Any

import fuzz_mutations as mutations
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import soundfile
from fuzz_mutations import Case
from hypothesis import strategies as st

__all__ = ["TARGETS", "Target", "try_case"]

OLD = Path(__file__).parents[1] / "data" / "0.1"
SCORES = Path(__file__).parents[2] / "cli" / "scores"
SAMPLE_RATE = 16_000
_NUMBERS = count()


@dataclass(frozen=True, slots=True)
class Target:
    """Something that reads files.

    Attributes
    ----------
    cases : callable
        Returns the strategy of spoiled files.
    read : callable
        Reads one, in a folder that is there for the whole process and that `prepare` filled.
    n_in_tests : int
        Number of examples in ordinary tests: a second's worth.
    prepare : callable
        Puts into an empty folder what the file belongs to.
    """

    cases: Callable[[], st.SearchStrategy[Case]]
    read: Callable[[Path, Case], None]
    n_in_tests: int
    prepare: Callable[[Path], object] = lambda _: None


def try_case(target: Target, folder: Path, case: Case) -> bool:
    """Return whether a file was read, and not refused; anything else is raised."""
    from stemsmith.manifests.errors import StemsmithError

    try:
        target.read(folder, case)
    except StemsmithError as error:
        text = str(error)
        assert text.isprintable(), f"not one line of plain text: {text!r}"
        assert str(folder) in text or case.name in text, f"does not name the file: {text!r}"
        return False
    return True


def is_deep(case: Case) -> bool:
    """Return whether a case is one of the few that are worth an expensive look."""
    return zlib.crc32(case.data) % 8 == 0


def one_file(folder: Path, case: Case) -> Path:
    """Write a file under a name that no cache knows."""
    for path in folder.glob("case-*"):
        path.unlink()
    path = folder / f"case-{next(_NUMBERS)}-{case.name}"
    path.write_bytes(case.data)
    return path


# MIDI.


@cache
def midi_seeds() -> tuple[Case, ...]:
    import mido

    files = [
        *OLD.glob("scores/*/*.mid"),
        *OLD.glob("corpus/*/*/MIDI/S00.mid"),
        *SCORES.glob("*.mid"),
    ]
    seeds = [path.read_bytes() for path in files if path.stat().st_size < 4000]
    song = mido.MidiFile(type=1, ticks_per_beat=96)
    texts = mido.MidiTrack([
        mido.MetaMessage("track_name", name="conductor"),
        mido.MetaMessage("set_tempo", tempo=400_000), mido.MetaMessage("time_signature"),
        mido.MetaMessage("key_signature", key="C"), mido.MetaMessage("copyright", text="CC0-1.0"),
        mido.MetaMessage("smpte_offset"), mido.MetaMessage("sequence_number", number=3),
        mido.MetaMessage("set_tempo", tempo=300_000, time=200),
    ])  # fmt: skip
    song.tracks.append(texts)
    for channel, program in ((0, 0), (1, 33), (9, 0)):
        track = mido.MidiTrack([mido.Message("sysex", data=[0x7E, 0x7F, 9, 1])])
        for control, value in (
            (0, 1),
            (32, 0),
            (101, 0),
            (100, 1),
            (6, 70),
            (38, 3),
            (64, 127),
            (7, 90),
        ):
            track.append(
                mido.Message("control_change", channel=channel, control=control, value=value)
            )
        track.append(mido.Message("program_change", channel=channel, program=program))
        for pitch in range(48, 60):
            track.append(mido.Message("note_on", channel=channel, note=pitch, time=10))
            track.append(mido.Message("pitchwheel", channel=channel, pitch=pitch * 9))
            track.append(mido.Message("note_off", channel=channel, note=pitch, time=20))
        track.append(mido.Message("control_change", channel=channel, control=64, value=0))
        song.tracks.append(track)
    out = io.BytesIO()
    song.save(file=out)
    data = out.getvalue()
    smpte = data[:12] + struct.pack(">bB", -25, 40) + data[14:]
    riff = (
        b"RIFF"
        + struct.pack("<L", len(data) + 12)
        + b"RMIDdata"
        + struct.pack("<L", len(data))
        + data
    )
    return tuple(Case("song.mid", seed) for seed in (*seeds, data, smpte, riff))


def read_midi(folder: Path, case: Case) -> None:
    from stemsmith.manifests.errors import UsageError
    from stemsmith.manifests.records import Rejection
    from stemsmith.render.midi.scan import ScanJob, load_score, scan_files

    path = one_file(folder, case)
    (found,) = scan_files(ScanJob(str(folder), (path.name,), 1200.0))
    if isinstance(found, Rejection):
        assert found.id == path.name
        raise UsageError(f"{path}: {found.detail}")
    _, score = load_score(path, 1200.0)
    assert 0 <= found.duration_s <= 1200  # one note without length is a score too
    assert (
        0 < found.n_notes == sum(len(score.notes(part).pitch) for part in range(len(found.parts)))
    )
    for part in range(len(found.parts)):
        seconds = score.tempo_map.seconds([event.tick for event in score.events(part)])
        assert np.isfinite(seconds).all()
        assert (np.diff(seconds) >= 0).all()


# SoundFonts.


@cache
def soundfont_seeds() -> tuple[Case, ...]:
    import tempfile

    import soundfont_maker as maker

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "f.sf2")
        writers = (maker.write_two_layers, maker.write_two_banks)
        return tuple(Case("f.sf2", write(path).read_bytes()) for write in writers)


def read_soundfont(folder: Path, case: Case) -> None:
    from stemsmith.render.sound.sf2 import read_soundfont
    from stemsmith.render.sound.synth import check_soundfonts
    from stemsmith.render.sound.velocity_layers import velocity_layers

    path = one_file(folder, case)
    assert read_soundfont(path).presets
    velocity_layers(path)
    check_soundfonts([str(path)])


# YAML and TOML.

BANK = b"""\
Electric Bass:
  - {soundfont: fonts/f.sf2, bank: 0, preset: 40}
  - {soundfont: fonts/f.sf2, preset: 40, name: amped, effects: [{Distortion: {drive_db: 6}}]}
Drums:
  - instrument: no.vst3
"""


@cache
def yaml_seeds() -> tuple[Case, ...]:
    metadata = next(OLD.glob("corpus/*/*/metadata.yaml")).read_bytes()
    return Case("bank.yaml", BANK), Case("metadata.yaml", metadata)


def prepare_bank(folder: Path) -> None:
    import soundfont_maker as maker

    (folder / "fonts").mkdir()
    maker.write_two_banks(folder / "fonts" / "f.sf2", 40)


def read_yaml(folder: Path, case: Case) -> None:
    from stemsmith.manifests.documents import read_yaml
    from stemsmith.render.sound.patches import bank_from_yaml

    path = one_file(folder, case)
    if case.name == "bank.yaml":
        assert bank_from_yaml(path).patches
    else:
        read_yaml(path)


TAXONOMY = b"""\
[targets]
strings = ["violin", "viola", "cello"]
drums = ["drums"]
rest = ["*"]
"""
CONFIG = b"""\
target = "drums"
mixtures = 12
clip = 4.5
seed = 3
split = ["train", "test"]
min-rms = -50.5
"""


def read_toml(folder: Path, case: Case) -> None:
    import click
    from stemsmith.cli.mix import mix
    from stemsmith.manifests.errors import UsageError
    from stemsmith.mixing.sources.taxonomy import read_taxonomy

    path = one_file(folder, case)
    if case.name == "taxonomy.toml":
        assert read_taxonomy(str(path)).targets
        return
    try:
        mix.make_context("mix", ["corpus", "out", "--config", str(path)])
    except click.ClickException as error:
        # Click's own text: main.py makes one line of it.
        raise UsageError(f"{path}: {' '.join(error.format_message().split())!r}") from error


# Folders of version 0.1.


def copy_old(folder: Path) -> None:
    for name in ("corpus", "renditions", "mixtures", "results", "run"):
        shutil.copytree(OLD / name, folder / name)


def old_files(pattern: str) -> tuple[Case, ...]:
    paths = sorted(OLD.glob(pattern))
    return tuple(Case(path.relative_to(OLD).as_posix(), path.read_bytes()) for path in paths)


def in_its_place(folder: Path, case: Case) -> Iterator[Path]:
    """Put a file where it belongs, and then what was there."""
    path = folder / case.name
    path.write_bytes(case.data)
    yield path
    path.write_bytes((OLD / case.name).read_bytes())


def vouch(manifest: Path, change: Callable[[dict[str, Any]], object] = lambda _: None) -> None:
    """Change a manifest as somebody would who knows how its own hash is made."""
    from stemsmith.mixing.mixtures import fingerprint_of

    try:
        header = json.loads(manifest.read_bytes())
        change(header)
        if header["stage"] == "mixtures":
            header["fingerprint"] = fingerprint_of(header)
        manifest.write_text(json.dumps(header))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        pass


def look_into(root: Path, is_deep: bool) -> None:
    """Do with a folder what people do."""
    from stemsmith.evaluate.benchmark.results import Results
    from stemsmith.evaluate.workflow import validate_results
    from stemsmith.folders import open_folder
    from stemsmith.manifests.corpus import Corpus
    from stemsmith.mixing.mixtures import Mixtures
    from stemsmith.mixing.workflow import validate_mixtures
    from stemsmith.render.checking import validate_corpus

    opened: Any = open_folder(root)
    if isinstance(opened, Corpus):
        for track in opened.values():
            assert sum(stem.notes.num_rows for stem in track.stems.values()) >= 0
        list(opened.iter_stems())
        assert opened.rejections.num_rows >= 0
        if is_deep:
            assert all(track.mixture.ndim == 2 for track in opened.values())
            validate_corpus(root)
    elif isinstance(opened, Mixtures):
        assert opened.targets is not None
        assert opened.hours == opened.hours
        assert opened.roots is not None
        assert len(opened) == sum(1 for _ in opened.records())
        assert sum(opened.splits.values()) is not None
        if is_deep:
            for mixture in opened:
                mixture.realise()
                mixture.labels()
        validate_mixtures(root)
    elif isinstance(opened, Results):
        assert opened.system is not None
        assert opened.scores.num_rows >= 0
        validate_results(root)


def read_manifest(folder: Path, case: Case) -> None:
    for manifest in in_its_place(folder, case):
        try:
            vouch(manifest)
            look_into(manifest.parent, is_deep(case))
        finally:
            shutil.copy(OLD / case.name, manifest)


# Parquet.


def parquet_rows() -> list[tuple[str, list[dict[str, Any]]]]:
    return [
        (seed.name, pq.read_table(io.BytesIO(seed.data)).to_pylist()) for seed in parquet_seeds()
    ]


@cache
def parquet_seeds() -> tuple[Case, ...]:
    return tuple(seed for seed in old_files("*/*.parquet") if "rejections" not in seed.name)


def encode_records(name: str, rows: list[dict[str, Any]], shape: mutations.Step) -> bytes:
    """Write rows with the schema of the file they are of, or with one that they have."""
    schema = pq.read_schema(OLD / name)
    way, where, value = shape
    field = where % len(schema)
    if way % 8 == 0:
        schema = schema.remove(field)
    elif way % 8 == 1:
        kind = (pa.int32(), pa.string(), pa.float32(), pa.list_(pa.int64()))[value % 4]
        schema = schema.set(field, pa.field(schema.field(field).name, kind))
    try:
        table = pa.Table.from_pylist(rows, schema)
        out = io.BytesIO()
        pq.write_table(table, out, compression="zstd", write_page_checksum=True)
    except (pa.ArrowException, OverflowError, TypeError, ValueError):
        return (OLD / name).read_bytes()[: 4000 + value % 1000]
    return out.getvalue()


def parquet_cases() -> st.SearchStrategy[Case]:
    values = mutations.spoiled_records(parquet_rows(), encode_records)
    return values | mutations.spoiled_bytes(parquet_seeds())


def read_parquet(folder: Path, case: Case) -> None:
    path, root = folder / case.name, folder / case.name.split("/")[0]

    def vouch_for_shard(header: dict[str, Any]) -> None:
        for entry in header["shards"]:
            if entry["file"] == path.name:
                entry["sha256"] = hashlib.sha256(case.data).hexdigest()

    try:
        path.write_bytes(case.data)
        vouch(root / "manifest.json", vouch_for_shard)
        look_into(root, is_deep(case))
    finally:
        shutil.copy(OLD / case.name, path)
        shutil.copy(OLD / root.name / "manifest.json", root)


# Tar shards.


@cache
def tar_seeds() -> tuple[Case, ...]:
    return old_files("mixtures/audio-*.tar")


def tar_cases() -> st.SearchStrategy[Case]:
    """Return shards of which bytes, or fields of headers with their checksums, are others."""

    def spoil(index: int, member: int, field: int, text: bytes) -> Case:
        seed = tar_seeds()[index]
        data = bytearray(seed.data)
        heads = [at for at in range(0, len(data), 512) if data[at + 257 : at + 262] == b"ustar"]
        at = heads[member % len(heads)]
        start, size = (
            (0, 100),
            (100, 8),
            (124, 12),
            (136, 12),
            (156, 1),
            (157, 100),
            (257, 8),
            (345, 155),
        )[field]
        data[at + start : at + start + size] = text[:size].ljust(size, b"\0")
        data[at + 148 : at + 156] = b" " * 8
        data[at + 148 : at + 156] = b"%06o\0 " % sum(data[at : at + 512])
        return Case(seed.name, bytes(data))

    texts = st.sampled_from([
        b"../../evil", b"/etc/passwd", b"a/../b", b"", b".", b"a\0b", b"\\x", b"1", b"2", b"3",
        b"5", b"L", b"x", b"g",
        b"S", b"0", b"77777777777", b"-1", b"\x80" + b"\xff" * 11, b"\xff" * 12, b"00000000000",
        b"00000001000",
        b"train-00000000.mixture.flac", b"9", b" 7 ", "ä".encode(), b"\xff\xfe",
    ])  # fmt: skip
    headers = st.builds(spoil, st.integers(0, 2), st.integers(0, 99), st.integers(0, 7), texts)
    return headers | mutations.spoiled_bytes(tar_seeds())


def read_tar(folder: Path, case: Case) -> None:
    from stemsmith.manifests import shards
    from stemsmith.manifests.mixtures import Mixture
    from stemsmith.manifests.tar_shards import read_members
    from stemsmith.mixing.validate import FileCheck, check_file
    from stemsmith.train.data.clips import MixtureClip, read_clip

    name = case.name.replace("audio-", "mixtures-").replace(".tar", ".parquet")
    recipes = shards.read_records(OLD / name, Mixture)
    path = one_file(folder, Case(Path(case.name).name, case.data))
    members = read_members(path)
    assert not [member for member in members if member.startswith("/") or ".." in member]
    assert all(place.offset + place.n_bytes <= len(case.data) for place in members.values())
    finding = check_file(
        FileCheck(str(path), hashlib.sha256(case.data).hexdigest(), tuple(members))
    )
    assert finding.offence is None
    for mixture in recipes:
        read_clip(MixtureClip(mixture, {}, str(path)), ("bass",), SAMPLE_RATE)


# Runs.


@cache
def checkpoint_seeds() -> tuple[Case, ...]:
    (seed,) = old_files("run/checkpoints/best.ckpt")
    return seed, Case("run/checkpoints/best.ckpt without checksum", seed.data)


def prepare_run(folder: Path) -> None:
    from stemsmith.manifests import storage

    copy_old(folder)
    for path in (folder / "run" / "checkpoints").glob("*.ckpt"):
        storage.write_with_checksum(path, path.read_bytes())
    shutil.copytree(OLD / "run", folder / "unchecked")


def read_checkpoint(folder: Path, case: Case) -> None:
    from stemsmith.train.run import TrainedRun
    from stemsmith.train.weights import read_epochs

    is_checked = case.name.endswith(".ckpt")
    run = TrainedRun(folder / ("run" if is_checked else "unchecked"))
    path = run.checkpoint()
    path.write_bytes(case.data)
    run.model()
    read_epochs(path)
    assert not is_checked or case.data == checkpoint_seeds()[0].data, "other weights are believed"


def read_run(folder: Path, case: Case) -> None:
    from stemsmith.train.run import TrainedRun
    from stemsmith.train.workflow import list_runs, validate_run

    path = folder / "run" / "run.json"
    path.write_bytes(case.data)
    run = TrainedRun(path.parent)
    for value in (run.model_name, run.targets, run.n_parameters, run.machine, run.best):
        assert repr(value)
    list_runs(folder / "run")
    validate_run(path.parent)


# Scores of museval.


def read_museval(folder: Path, case: Case) -> None:
    from stemsmith.evaluate.metrics.museval_json import median_of_medians, read_track

    path = one_file(folder, Case("track.json", case.data))
    try:
        assert median_of_medians([read_track(path)]) is not None
    finally:
        path.rename(folder / "track.json")


# Audio.


@cache
def audio_seeds(ending: str) -> tuple[Case, ...]:
    rng = np.random.default_rng(0)
    seeds = []
    for n_channels, subtype in {
        "wav": ((1, "PCM_16"), (2, "PCM_24"), (1, "FLOAT"), (2, "ULAW")),
        "flac": ((1, "PCM_16"), (2, "PCM_24")),
        "mp3": ((1, "MPEG_LAYER_III"), (2, "MPEG_LAYER_III")),
    }[ending]:
        audio = 0.1 * rng.standard_normal((3000, n_channels))
        out = io.BytesIO()
        soundfile.write(out, audio, SAMPLE_RATE, format=ending.upper(), subtype=subtype)
        seeds.append(Case(f"audio.{ending}", out.getvalue()))
    return tuple(seeds)


def read_audio(folder: Path, case: Case) -> None:
    from stemsmith.manifests.audio import read
    from stemsmith.manifests.errors import InvalidCorpus

    path = one_file(folder, case)
    info = read.audio_info(path)
    assert info.sample_rate >= 0
    assert info.n_channels >= 1
    n_read = sum(block.shape[1] for block in read.read_blocks(path, 4096))
    audio = read.read_excerpt(path, 0, n_read)
    assert audio.shape == (info.n_channels, n_read)
    assert audio.dtype == np.float32
    try:
        read.read_int16(path)
    except InvalidCorpus as error:
        assert str(error).isprintable()
    assert read.decode(case.data, str(path))[0].shape[0] == info.n_channels


def of_audio(ending: str) -> Target:
    return Target(lambda: mutations.spoiled_bytes(audio_seeds(ending)), read_audio, 60)


TARGETS: dict[str, Target] = {
    "midi": Target(lambda: mutations.spoiled_bytes(midi_seeds()), read_midi, 80),
    "sf2": Target(lambda: mutations.spoiled_bytes(soundfont_seeds()), read_soundfont, 60),
    "yaml": Target(lambda: mutations.spoiled_words(yaml_seeds()), read_yaml, 60, prepare_bank),
    "toml": Target(
        lambda: mutations.spoiled_words(
            [Case("taxonomy.toml", TAXONOMY), Case("config.toml", CONFIG)]
        ),
        read_toml,
        100,
    ),
    "manifest": Target(
        lambda: mutations.spoiled_json(old_files("*/manifest.json")), read_manifest, 30, copy_old
    ),
    "parquet": Target(parquet_cases, read_parquet, 30, copy_old),
    "tar": Target(tar_cases, read_tar, 60),
    "checkpoint": Target(
        lambda: mutations.spoiled_bytes(checkpoint_seeds()), read_checkpoint, 40, prepare_run
    ),
    "run.json": Target(
        lambda: mutations.spoiled_json(old_files("run/run.json")), read_run, 30, prepare_run
    ),
    "museval": Target(
        lambda: mutations.spoiled_json(old_files("results/museval/*/*.json")), read_museval, 100
    ),
    "wav": of_audio("wav"),
    "flac": of_audio("flac"),
    "mp3": of_audio("mp3"),
}
