"""The command line: exit codes, one-line errors, JSON, configuration, bad input."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest
from stemsmith.manifests import shards
from stemsmith.manifests.records import Reason, Rejection


def assert_one_line_error(done: subprocess.CompletedProcess[str], code: int, *texts: str) -> None:
    assert done.returncode == code, (done.stdout, done.stderr)
    assert done.stderr.startswith(("Error: ", "Usage: ")), done.stderr
    assert "Traceback" not in done.stderr
    if done.stderr.startswith("Error: "):
        assert done.stderr.count("\n") == 1, done.stderr
    for text in texts:
        assert text in done.stderr, (text, done.stderr)


def test_help_and_version_answer_without_loading_the_stages(stemsmith) -> None:
    assert stemsmith("--version").stdout.startswith("stemsmith, version ")
    for command in ("scan", "render", "validate", "demo"):
        done = stemsmith(command, "--help")
        assert done.returncode == 0
        assert "--jobs" in done.stdout
    code = "import sys, stemsmith.cli.main; print(sorted(sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout
    for heavy in ("'numpy'", "'dask'", "'pyarrow'", "'scipy'", "'distributed'"):
        assert heavy not in loaded


def test_scan_says_what_is_there_and_what_fits(band_folder: Path, here) -> None:
    done = here("scan", band_folder, "--jobs", 0, "-v")
    assert done.returncode == 0, done.stderr
    assert "7 files: 6 songs" in done.stdout
    assert "6 fit the band (piano,bass,guitar,drums >= 50)" in done.stdout
    assert "not-midi" in done.stdout
    assert "broken.mid" in done.stdout
    assert "twin.MIDI" in done.stdout


def test_scan_lists_every_song_as_json(band_folder: Path, here) -> None:
    done = here("scan", band_folder, "--jobs", 2, "--json", "--band", "strings")
    assert done.returncode == 0, done.stderr
    content = json.loads(done.stdout)
    assert (content["n_files"], content["n_songs"], content["n_fitting"]) == (7, 6, 2)
    song = next(s for s in content["songs"] if s["path"] == "album0/song0.mid")
    assert len(song["md5"]) == 32
    drums = next(part for part in song["parts"] if part["channel"] == 9)
    assert (drums["program"], drums["n_notes"]) == (128, 56)
    hashes = {s["path"]: s["notes_sha256"] for s in content["songs"]}
    assert hashes["twin.MIDI"] == hashes["album0/song0.mid"] != hashes["album0/song2.mid"]
    assert content["rejections"][0]["reason"] == "not-midi"


def test_summary_is_one_json_object(band_folder: Path, tmp_path: Path, here) -> None:
    done = here("render", band_folder, tmp_path / "c", "--songs", 2, "--splits", "1,1,0", "--json")
    assert done.returncode == 0, done.stderr
    summary = json.loads(done.stdout)
    assert summary["n_songs"] == {"train": 1, "validation": 1, "test": 0}
    validated = here("validate", tmp_path / "c", "--json")
    assert json.loads(validated.stdout)["n_songs"] == 2


def test_configuration_file_and_flags_that_win(band_folder: Path, tmp_path: Path, here) -> None:
    config = tmp_path / "run.toml"
    config.write_text('songs = 1\nseed = 9\ntail = 2.0\njobs = 0\nsplits = ["1", "0", "0"]\n')
    done = here("render", band_folder, tmp_path / "c", "--config", config, "--seed", 11)
    assert done.returncode == 0, done.stderr
    header = shards.read_manifest(tmp_path / "c", "corpus")
    assert header["config"]["tail_s"] == 2.0
    assert header["config"]["seed"] == 11
    assert header["n_songs"]["train"] == 1


def test_unknown_keys_in_a_configuration_are_errors(
    band_folder: Path, tmp_path: Path, here
) -> None:
    config = tmp_path / "run.toml"
    config.write_text("song = 1\n")
    done = here("render", band_folder, tmp_path / "c", "--config", config)
    assert_one_line_error(done, 2, "run.toml: unknown key 'song'", "songs")
    config.write_text("songs = \n")
    done = here("render", band_folder, tmp_path / "c", "--config", config)
    assert_one_line_error(done, 2, "run.toml: not valid TOML")


def test_an_empty_folder(tmp_path: Path, here) -> None:
    (tmp_path / "midi").mkdir()
    done = here("render", tmp_path / "midi", tmp_path / "c", "--jobs", 0)
    assert_one_line_error(done, 1, "no .mid, .midi, .kar, .rmi or .smf files")
    assert not (tmp_path / "c").exists()
    assert_one_line_error(here("scan", tmp_path / "midi", "--jobs", 0), 1, "no usable MIDI")


def test_a_folder_that_is_not_there(tmp_path: Path, here) -> None:
    done = here("render", tmp_path / "nowhere", tmp_path / "c", "--jobs", 0)
    assert_one_line_error(done, 2, "nowhere: not a folder of MIDI files")


def test_no_song_fits_the_band(make_song, tmp_path: Path, here) -> None:
    make_song(tmp_path / "midi" / "solo.mid", [(0, 0)])
    done = here("render", tmp_path / "midi", tmp_path / "c", "--jobs", 0)
    assert_one_line_error(done, 1, "1 no-band", "--no-band")
    assert not (tmp_path / "c").exists()


def test_splits_that_cannot_be_filled(band_folder: Path, tmp_path: Path, here) -> None:
    done = here("render", band_folder, tmp_path / "c", "--splits", "50,2,1", "--jobs", 0)
    assert_one_line_error(done, 2, "wants 53 songs; 6 fit")


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("--splits", "0.5,0.2"), "--splits 0.5,0.2"),
        (("--splits", "0.5,0.2,0.1"), "sum to 1"),
        (("--splits", "a,b,c"), "--splits a,b,c"),
        (("--songs", "0"), "--songs must be at least 1"),
        (("--band", "kazoo"), "no instrument class 'kazoo'"),
        (("--band", ","), "--band"),
        (("--sample-rate", "44101"), "--sample-rate"),
        (("--sample-rate", "200000"), "--sample-rate"),
        (("--target-peak", "3"), "--target-peak"),
        (("--target-lufs", "5"), "--target-lufs"),
        (("--tail", "-1"), "--tail"),
        (("--mix-source", "unsplit"), "--patch-choice program"),
        (("--soundfont", "missing.sf2"), "missing.sf2: cannot read the soundfont"),
        (("--patches", "missing.yaml"), "missing.yaml: cannot be read"),
        (("--patches", "x.yaml", "--soundfont", "x.sf2"), "either --patches or --soundfont"),
    ],
)
def test_values_that_make_no_sense(
    band_folder: Path, tmp_path: Path, here, arguments, text
) -> None:
    done = here("render", band_folder, tmp_path / "c", "--jobs", 0, *arguments)
    assert_one_line_error(done, 2, text)
    assert not (tmp_path / "c").exists()


def test_a_corrupt_soundfont(band_folder: Path, tmp_path: Path, here) -> None:
    from stemsmith.render.sound.sf2 import default_soundfont

    whole = default_soundfont().read_bytes()
    for name, data in {
        "text.sf2": b"not a soundfont",
        "cut.sf2": whole[:100_000],
        "nosamples.sf2": whole[:200] + bytes(len(whole) // 2 - 200) + whole[len(whole) // 2 : -400],
    }.items():
        (tmp_path / name).write_bytes(data)
        done = here(
            "render", band_folder, tmp_path / "c", "--soundfont", tmp_path / name, "--jobs", 0
        )
        assert_one_line_error(done, 2, name)
        assert not (tmp_path / "c").exists()


def test_hostile_files_become_rejections(make_song, tmp_path: Path, here) -> None:
    midi = tmp_path / "midi"
    song = make_song(midi / "good.mid").read_bytes()
    (midi / "empty.mid").write_bytes(b"")
    (midi / "cut.mid").write_bytes(song[: len(song) // 2])
    (midi / "type2.mid").write_bytes(song[:9] + b"\x02" + song[10:])
    (midi / "endless.mid").write_bytes(
        b"MThd\0\0\0\6\0\0\0\1\1\xe0MTrk\0\0\0\x10\0\x90\x40\x40\xff\xff\xff\x7f\x80\x40\0\0\xff\x2f\0"
    )
    (midi / "dangling.mid").symlink_to(midi / "nowhere")
    name = os.fsdecode(b"latin1-\xe9\x1b[31m.mid")
    (midi / name).write_bytes(song.replace(b"part 0", b"part X"))
    done = here("render", midi, tmp_path / "c", "--jobs", 0)
    assert done.returncode == 0, done.stderr
    assert "\x1b[31m" not in done.stdout
    rejections = shards.read_records(tmp_path / "c" / "rejections-00000.parquet", Rejection)
    assert {r.id: r.reason for r in rejections} == {
        "empty.mid": Reason.NOT_MIDI,
        "cut.mid": Reason.DAMAGED,
        "type2.mid": Reason.ASYNCHRONOUS,
        "endless.mid": Reason.TOO_LONG,
        "dangling.mid": Reason.UNREADABLE,
    }
    assert here("validate", tmp_path / "c", "--jobs", 0).returncode == 0


def test_silent_song_is_rejected_and_silent_stem_kept(make_song, tmp_path: Path, here) -> None:
    import mido

    midi = tmp_path / "midi"
    for name, silent in {"all.mid": range(16), "one.mid": (1,)}.items():
        path = make_song(midi / name)
        file = mido.MidiFile(path)
        for channel in silent:
            volume = mido.Message("control_change", control=7, value=0, channel=channel)
            file.tracks[1].insert(0, volume)
        file.save(path)
    done = here("render", midi, tmp_path / "c", "--jobs", 0, "--no-band")
    assert done.returncode == 0, done.stderr
    (rejection,) = shards.read_records(tmp_path / "c" / "rejections-00000.parquet", Rejection)
    assert (rejection.id, rejection.reason) == ("all.mid", Reason.SILENT)
    from stemsmith.manifests.records import Stem

    stems = shards.read_records(tmp_path / "c" / "stems-00000.parquet", Stem)
    assert [(s.program, s.loudness_lufs is None) for s in stems if s.is_silent] == [(33, True)]
    assert here("validate", tmp_path / "c", "--jobs", 0).returncode == 0


def test_a_full_disk_is_one_line_and_leaves_no_song(
    band_folder: Path, tmp_path: Path, stemsmith
) -> None:
    """A limit on the size of files stands in for the full disk: writing fails in the same way."""

    def limit() -> None:
        import signal

        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, 60_000))

    done = stemsmith(
        "render", band_folder, tmp_path / "c", "--seed", 3, "--jobs", 0, "--quiet", preexec_fn=limit
    )
    assert_one_line_error(done, 1, str(tmp_path / "c"))
    assert not list(tmp_path.glob("c/*/Track*"))
    again = stemsmith("render", band_folder, tmp_path / "c", "--seed", 3, "--jobs", 0)
    assert again.returncode == 0, again.stderr
    assert stemsmith("validate", tmp_path / "c", "--jobs", 0).returncode == 0


def test_no_permission_to_write(band_folder: Path, tmp_path: Path, here) -> None:
    (tmp_path / "file").write_text("")
    done = here("render", band_folder, tmp_path / "file" / "c", "--jobs", 0)
    assert_one_line_error(done, 1, str(tmp_path / "file"))
    done = here("render", band_folder, "/proc/c", "--jobs", 0)
    assert_one_line_error(done, 1, "/proc/c")


@pytest.mark.slow  # `make wheel-smoke`, which `make test` begins with, runs it as well
def test_demo_renders_the_bundled_scores(tmp_path: Path, stemsmith) -> None:
    done = stemsmith("demo", tmp_path / "demo", "--jobs", 2)
    assert done.returncode == 0, done.stderr
    header = shards.read_manifest(tmp_path / "demo" / "corpus", "corpus")
    assert sum(header["n_songs"].values()) >= 12
    assert header["rejections"] == {}
    assert str(tmp_path / "demo" / "corpus") in done.stdout
    assert stemsmith("validate", tmp_path / "demo" / "corpus", "--jobs", 2).returncode == 0
