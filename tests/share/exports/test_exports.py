"""What all exports have in common, tried with the layout of MUSDB18."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import soundfile
from exported_files import content, integers
from stemsmith.manifests.errors import NothingToDo, UsageError
from stemsmith.manifests.jobs import InProcess
from stemsmith.share import export_dataset, forecast_export
from stemsmith.share.exports import destination
from stemsmith.share.exports.exported import Exported
from stemsmith.share.exports.options import ExportConfig

SOURCES = ("drums", "bass", "other", "vocals")
Killed = Callable[[int], AbstractContextManager[None]]


def test_every_song_has_all_sources_that_add_up_to_its_mixture(
    corpus: Path, tmp_path: Path
) -> None:
    done = export_dataset(corpus, tmp_path / "x", "musdb")
    songs = sorted((tmp_path / "x").glob("*/*/"))
    assert len(songs) == sum(done.header["n_songs"].values()) > 2
    for song in songs:
        files = {path.stem: integers(path) for path in song.iterdir()}
        assert set(files) == {"mixture", *SOURCES}
        (original,) = corpus.glob(f"*/{song.name}/mix.flac")
        mono = integers(original)
        # The songs have 16-bit stems, of which all belong to a source: not a sample is rounded.
        assert np.array_equal(files["mixture"], np.repeat(mono, 2, axis=1))
        assert np.array_equal(sum(files[name] for name in SOURCES), files["mixture"])
        assert not files["vocals"].any() and files["drums"].any()
        assert song.parent.name == ("test" if "test" in original.parts else "train")


def test_silence_and_nothing_are_the_two_ways_to_miss_a_source(
    corpus: Path, tmp_path: Path
) -> None:
    export_dataset(corpus, tmp_path / "x", "musdb", missing="skip", limit=1)
    songs = list((tmp_path / "x").glob("*/*/"))
    assert len(songs) == 3
    for song in songs:
        assert {path.stem for path in song.iterdir()} == {"mixture", "drums", "bass", "other"}


def test_some_sources_of_another_taxonomy(corpus: Path, tmp_path: Path) -> None:
    export_dataset(
        corpus, tmp_path / "x", "musdb", taxonomy="slakh", stems=("piano", "bass"), limit=1
    )
    songs = list((tmp_path / "x").glob("*/*/"))
    assert len(songs) == 3
    for song in songs:
        assert {path.stem for path in song.iterdir()} == {"mixture", "piano", "bass"}
        rest = integers(song / "mixture.wav") - integers(song / "piano.wav")
        assert (rest - integers(song / "bass.wav")).any()  # the mixture has the others, too
    with pytest.raises(UsageError, match="--stems flute: no such source; known: bass, drums, gui"):
        export_dataset(corpus, tmp_path / "y", "musdb", taxonomy="slakh", stems=("flute",))


def test_the_checksums_are_those_of_all_files(corpus: Path, tmp_path: Path) -> None:
    done = export_dataset(corpus, tmp_path / "x", "musdb", limit=1)
    listed = dict(
        reversed(line.split("  ", 1))
        for line in (tmp_path / "x" / "SHA256SUMS").read_text().splitlines()
    )
    found = content(tmp_path / "x")
    assert done.header["checksums"]["sha256"] == found.pop("SHA256SUMS")
    del found["manifest.json"]
    assert listed == found and len(found) == done.header["n_files"]


def test_a_forecast_is_what_comes(corpus: Path, tmp_path: Path, here: Any) -> None:
    options = {"sample_rate": 8000, "missing": "skip", "limit": 1}
    forecast = forecast_export(corpus, "musdb", **options)
    assert not (tmp_path / "x").exists()
    export_dataset(corpus, tmp_path / "x", "musdb", **options)
    files = {path: path.stat().st_size for path in (tmp_path / "x").rglob("*.wav")}
    assert {p.relative_to(tmp_path / "x").as_posix() for p in files} == set(forecast.paths)
    assert sum(files.values()) == forecast.n_bytes
    done = here(
        "export", corpus, tmp_path / "y", "--format", "musdb", "--dry-run", "--limit", 1,
        "--sample-rate", 8000, "--missing", "skip", "--json",
    )  # fmt: skip
    values = json.loads(done.stdout)
    assert values["n_bytes"] == forecast.n_bytes and values["paths"] == list(forecast.paths)
    assert not (tmp_path / "y").exists()


def test_the_same_bytes_killed_or_not_and_by_workers(
    corpus: Path, tmp_path: Path, killed_after: Killed
) -> None:
    export_dataset(corpus, tmp_path / "x", "musdb")
    whole = content(tmp_path / "x")
    export_dataset(corpus, tmp_path / "x", "musdb")  # finished: nothing is done again
    assert content(tmp_path / "x") == whole
    for n in (0, 5, 14, 23, 38, 60):
        for _ in range(2):
            with killed_after(n):
                export_dataset(corpus, tmp_path / "killed", "musdb")
    export_dataset(corpus, tmp_path / "killed", "musdb")
    assert content(tmp_path / "killed") == whole
    export_dataset(corpus, tmp_path / "two", "musdb", jobs=2)
    assert content(tmp_path / "two") == whole


def test_what_is_finished_is_not_done_again(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = []
    write = destination.write_song

    def counting(job: destination.SongExport) -> object:
        if len(written) == 2:
            raise KeyboardInterrupt
        written.append(job.song.name)
        return write(job)

    monkeypatch.setattr("stemsmith.share.workflow.write_song", counting)
    with pytest.raises(KeyboardInterrupt):
        export_dataset(corpus, tmp_path / "x", "musdb")
    first = tuple(written)
    written.clear()
    with pytest.raises(KeyboardInterrupt):
        export_dataset(corpus, tmp_path / "x", "musdb")
    assert not set(first) & set(written)


def test_another_export_and_other_files_are_refused(
    corpus: Path, mixtures: Path, tmp_path: Path
) -> None:
    export_dataset(corpus, tmp_path / "x", "musdb", limit=1)
    with pytest.raises(UsageError, match="was made with other arguments"):
        export_dataset(corpus, tmp_path / "x", "musdb")
    (tmp_path / "y").mkdir()
    (tmp_path / "y" / "thesis.tex").touch()
    with pytest.raises(UsageError, match="not empty and no export folder"):
        export_dataset(corpus, tmp_path / "y", "musdb")
    with pytest.raises(UsageError, match="lies in the source"):
        export_dataset(corpus, corpus / "x", "musdb")
    with pytest.raises(UsageError, match="given twice"):
        export_dataset([corpus, str(corpus)], tmp_path / "z", "musdb")
    with pytest.raises(UsageError, match="have their own targets"):
        export_dataset(mixtures / "recipes", tmp_path / "z", "musdb", taxonomy="musdb")
    with pytest.raises(UsageError, match=r"unknown; known: .*musdb"):
        export_dataset(corpus, tmp_path / "z", "muzdb")
    assert not (tmp_path / "z").exists()


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"variant": "7"}, "--variant 7: the format musdb has none"),
        ({"splits": ("dev",)}, "--split dev: unknown"),
        ({"splits": ()}, "names no split"),
        ({"limit": 0}, "--limit 0: at least 1"),
        ({"sample_rate": 0}, "1000 to 384000"),
        ({"missing": "zeros"}, "--missing zeros: unknown; known: silence, skip"),
    ],
)
def test_options_that_make_no_sense(options: Any, text: str, corpus: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=text):
        export_dataset(corpus, tmp_path / "x", "musdb", **options)
    assert not (tmp_path / "x").exists()


def test_what_is_probably_not_meant_is_said(corpus: Path, tmp_path: Path, here: Any) -> None:
    done = here(
        "export", corpus, tmp_path / "x", "--format", "musdb", "--stems", "vocals,bass",
        "--split", "test,validation",
    )  # fmt: skip
    assert done.returncode == 0
    assert f"{tmp_path / 'x'}: no song has vocals: silent files, or none (--missing)" in done.stderr
    assert "split train" not in done.stderr
    counts = Exported(tmp_path / "x").header["n_sounding"]
    assert counts["vocals"] == 0 < counts["bass"]


def test_a_taxonomy_that_has_changed_is_another_export(corpus: Path, tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text('[targets]\nlow = ["bass"]\nrest = ["*"]\n')
    export_dataset(corpus, tmp_path / "x", "musdb", taxonomy=str(file), limit=1)
    file.write_text('[targets]\nlow = ["bass", "drums"]\nrest = ["*"]\n')
    with pytest.raises(UsageError, match="was made with other arguments"):
        export_dataset(corpus, tmp_path / "x", "musdb", taxonomy=str(file), limit=1)


def test_a_damaged_song_is_left_out_and_the_others_are_not(
    corpus: Path, tmp_path: Path, here: Any
) -> None:
    shutil.copytree(corpus, tmp_path / "c")
    stem = min((tmp_path / "c").glob("train/*/stems/*.flac"))
    stem.write_bytes(stem.read_bytes()[:1000])
    done = here("export", tmp_path / "c", tmp_path / "x", "--format", "musdb", "--jobs", 0)
    assert done.returncode == 0
    song = stem.parents[1].name
    assert "1 left out" in done.stdout
    (rejection,) = Exported(tmp_path / "x").rejection_records()
    assert rejection.id == song and str(stem) in rejection.detail
    assert not list((tmp_path / "x").glob(f"*/{song}"))
    assert len(list((tmp_path / "x").glob("*/*/"))) == len(list(corpus.glob("*/*/"))) - 1
    for other in (tmp_path / "c").glob("*/*/stems/*.flac"):
        other.unlink()
    with pytest.raises(NothingToDo, match=r"no song could be exported; .*missing"):
        export_dataset(tmp_path / "c", tmp_path / "y", "musdb")


def test_a_song_that_kills_its_worker_is_left_out(corpus: Path, tmp_path: Path) -> None:
    from stemsmith.manifests.jobs import Died

    class Deadly(InProcess):
        def map(self, function: Any, jobs: Any) -> Any:
            first, *rest = jobs
            yield Died(first)
            yield from super().map(function, rest)

    done = export_dataset(corpus, tmp_path / "x", "musdb", jobs=Deadly())
    assert [rejection.reason for rejection in done.rejection_records()] == ["worker-died"]


def test_songs_of_two_sources_that_share_a_name_are_told_apart(
    corpus: Path, tmp_path: Path
) -> None:
    shutil.copytree(corpus, tmp_path / "more")
    done = export_dataset([corpus, tmp_path / "more"], tmp_path / "x", "musdb", limit=1)
    names = sorted(path.name for path in (tmp_path / "x").glob("train/*/"))
    assert sum(done.header["n_songs"].values()) == 6
    assert names[0].startswith("c-Track0") and names[-1].startswith("more-Track0")


def test_other_layouts_and_mixtures_are_sources(
    mixtures: Path, musdb: Path, tmp_path: Path
) -> None:
    export_dataset([mixtures / "audio", f"musdb:{musdb}"], tmp_path / "x", "musdb", limit=1)
    song = tmp_path / "x" / "test" / "C - Three"
    for name in (*SOURCES, "mixture"):  # its own mixture, which is no sum
        assert np.array_equal(
            integers(song / f"{name}.wav"), integers(musdb / "test" / song.name / f"{name}.wav")
        )
    (clip,) = (tmp_path / "x" / "train").glob("train-*")
    files = {path.stem: integers(path) for path in clip.iterdir()}
    total = files.pop("mixture")
    assert np.array_equal(sum(files.values()), total) and total.any()


def test_what_would_clip_is_softer_with_all_of_its_song(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    stems = {name: rng.integers(-30000, 30000, 8000).astype(np.int16) for name in SOURCES}
    for name, samples in stems.items():
        path = tmp_path / "songs" / "test" / "Loud" / f"{name}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, samples, 8000)
    done = export_dataset(f"folder:{tmp_path / 'songs'}", tmp_path / "x", "musdb")
    (gain_db,) = done.header["gains_db"].values()
    (song,) = (tmp_path / "x").glob("*/Loud")
    files = {path.stem: integers(path) for path in song.iterdir()}
    total = files.pop("mixture")
    assert np.array_equal(sum(files.values()), total)
    assert 32700 < np.abs(total).max() <= 32767
    for name, samples in stems.items():
        expected = samples * 10 ** (gain_db / 20)
        assert np.abs(files[name][:, 0] - expected).max() <= 0.51


def test_typed_options_are_the_fields_of_the_configuration() -> None:
    from stemsmith.manifests.options import fields_of
    from stemsmith.share.exports.options import ExportOptions

    assert set(ExportOptions.__annotations__) == {f.name for f in fields_of(ExportConfig)}


def test_the_settings_of_musdb_name_the_songs_of_validation(corpus: Path, tmp_path: Path) -> None:
    export_dataset(corpus, tmp_path / "x", "musdb")
    settings = SimpleNamespace(**json.loads((tmp_path / "x" / "mus.yaml").read_text()))
    expected = {path.name for path in corpus.glob("validation/*/")}
    assert set(settings.validation_tracks) == expected
    assert set(settings.sources) == set(SOURCES)


def test_an_export_is_validated(corpus: Path, tmp_path: Path, here: Any) -> None:
    done = export_dataset(corpus, tmp_path / "x", "musdb", limit=1)
    checked = here("validate", tmp_path / "x")
    assert checked.returncode == 0
    n_files = done.header["n_files"]
    assert checked.stdout == f"{tmp_path / 'x'}: valid; {n_files} files of 3 songs, musdb\n"
    damaged = max((tmp_path / "x").rglob("*.wav"))
    damaged.write_bytes(damaged.read_bytes()[:-1] + b"x")
    checked = here("validate", tmp_path / "x")
    assert checked.returncode == 1
    assert checked.stderr.startswith(f"Error: {damaged}: ") and checked.stderr.count("\n") == 1
    damaged.unlink()
    assert here("validate", tmp_path / "x").stderr.startswith(f"Error: {damaged}: missing")
    sums = tmp_path / "x" / "SHA256SUMS"
    sums.write_text(sums.read_text() + "\n")
    assert here("validate", tmp_path / "x").stderr.startswith(f"Error: {sums}: ")
