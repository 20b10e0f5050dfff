"""Options of `render` that change what is heard."""

from __future__ import annotations

import json
from pathlib import Path

import mido
import numpy as np
import pytest
import soundfile
import yaml
from distributed import LocalCluster
from stemsmith.manifests import shards
from stemsmith.manifests.records import Rejection, Song, Stem
from stemsmith.render.sound.sf2 import default_soundfont


def rendered(here, midi: Path, corpus: Path, *options: object) -> tuple[list[Song], list[Stem]]:
    done = here("render", midi, corpus, "--jobs", 0, *options)
    assert done.returncode == 0, done.stderr
    assert here("validate", corpus, "--jobs", 0).returncode == 0
    return (
        shards.read_records(corpus / "songs-00000.parquet", Song),
        shards.read_records(corpus / "stems-00000.parquet", Stem),
    )


def samples(corpus: Path, relative: str) -> np.ndarray:
    return soundfile.read(corpus / relative, dtype="int16")[0].astype(np.int64)


def test_flakh_takes_own_presets_and_the_unsplit_mixture(make_song, tmp_path: Path, here) -> None:
    """Solo strings have no pan: the stems of a Flakh song must then add up to its mixture."""
    make_song(tmp_path / "midi" / "song.mid", [(40, 0), (41, 1), (42, 2), (43, 3)])
    options = ("--no-band", "--patch-choice", "program", "--mix-source", "unsplit")
    (song,), stems = rendered(here, tmp_path / "midi", tmp_path / "c", *options)
    assert song.mix_source == "unsplit"
    assert [stem.patch.split(":")[1][:7] for stem in stems] == [
        f"000-{p:03d}" for p in range(40, 44)
    ]
    assert {stem.gain_db for stem in stems} == {song.overall_gain_db}
    metadata = yaml.safe_load((tmp_path / "c" / song.path / "metadata.yaml").read_bytes())
    assert metadata["normalized"] is False
    assert metadata["stemsmith"]["mix_source"] == "unsplit"
    total = sum(samples(tmp_path / "c", stem.path) for stem in stems)
    mix = samples(tmp_path / "c", song.mix_path)
    assert np.abs(mix).max() > 10_000
    difference = np.abs(mix - total)
    assert np.quantile(difference, 0.99) <= len(stems) / 2 + 1  # rounding to 16 bits
    assert difference.max() < 0.005 * np.abs(mix).max()  # where voices start, see test_synth


def test_an_unsplit_mixture_holds_what_the_stems_leave_out(make_song, tmp_path: Path, here) -> None:
    make_song(tmp_path / "midi" / "song.mid", [(40, 0), (103, 1)])
    options = ("--no-band", "--patch-choice", "program", "--mix-source", "unsplit")
    (song,), stems = rendered(here, tmp_path / "midi", tmp_path / "c", *options)
    (stem,) = stems
    difference = samples(tmp_path / "c", song.mix_path) - samples(tmp_path / "c", stem.path)
    assert np.abs(difference).max() > 100


def test_a_song_without_a_single_sample_is_rejected(make_song, tmp_path: Path, here) -> None:
    make_song(tmp_path / "midi" / "song.mid", [(40, 0)])
    empty = mido.MidiFile(tracks=[mido.MidiTrack([
        mido.Message("note_on", note=60, velocity=64), mido.Message("note_off", note=60),
    ])])  # fmt: skip
    empty.save(tmp_path / "midi" / "empty.mid")
    songs, _ = rendered(here, tmp_path / "midi", tmp_path / "c", "--no-band", "--tail", 0,
                        "--min-notes", 1)  # fmt: skip
    assert [song.source for song in songs] == ["song.mid"]
    (rejection,) = shards.read_records(tmp_path / "c" / "rejections-00000.parquet", Rejection)
    assert (rejection.id, rejection.reason) == ("empty.mid", "silent")


def test_one_program_has_one_patch_in_a_song_and_others_elsewhere(
    make_song, tmp_path: Path, here
) -> None:
    for k in range(8):
        make_song(tmp_path / "midi" / f"{k}.mid", [(0, 0), (0, 1), (1, 2)], seed=k, n_notes=8)
    _, stems = rendered(here, tmp_path / "midi", tmp_path / "c", "--no-band")
    patches: dict[str, set[str]] = {}
    for stem in stems:
        if stem.program == 0:
            patches.setdefault(stem.song_id, set()).add(stem.patch)
        assert stem.rendering_class == "Acoustic Piano"
    assert all(len(names) == 1 for names in patches.values())
    assert len(set.union(*patches.values())) > 1


def test_effects_of_a_patch_bank_are_heard(make_song, tmp_path: Path, here) -> None:
    make_song(tmp_path / "midi" / "song.mid", [(40, 0)], n_notes=8)
    font = default_soundfont()
    stems = {}
    for name, effects in {
        "dry": "[]",
        "wet": "[{LowpassFilter: {cutoff_frequency_hz: 300}}]",
    }.items():
        bank = tmp_path / f"{name}.yaml"
        bank.write_text(
            f"Violin: [{{soundfont: {font}, preset: 40, name: my violin, effects: {effects}}}]"
        )
        corpus = tmp_path / name
        _, (stem,) = rendered(here, tmp_path / "midi", corpus, "--no-band", "--patches", bank)
        assert stem.patch == "my violin"
        spectrum = np.abs(np.fft.rfft(samples(corpus, stem.path)))
        edge = len(spectrum) * 2000 // 22050
        stems[name] = np.square(spectrum[edge:]).sum() / np.square(spectrum).sum()
    assert stems["wet"] < 0.1 * stems["dry"]


def test_sample_rate_tail_peak_and_loudness_are_obeyed(make_song, tmp_path: Path, here) -> None:
    make_song(tmp_path / "midi" / "song.mid", [(40, 0), (41, 1)], n_notes=16)
    (song,), stems = rendered(
        here, tmp_path / "midi", tmp_path / "c", "--no-band", "--sample-rate", 16000,
        "--tail", 1, "--target-peak", -6, "--target-lufs", -30, "--max-gain", 40,
    )  # fmt: skip
    assert soundfile.info(tmp_path / "c" / song.mix_path).samplerate == 16000
    assert song.n_samples == 16000 * 2 // 1  # one second of notes and one of tail
    assert np.abs(samples(tmp_path / "c", song.mix_path)).max() <= 32768 * 10 ** (-6 / 20)
    if song.overall_gain_db == 0:
        for stem in stems:
            assert stem.loudness_lufs + stem.gain_db == pytest.approx(-30, abs=1e-3)


def test_sparse_hits_get_no_more_than_the_largest_gain(tmp_path: Path, here) -> None:
    file = mido.MidiFile(ticks_per_beat=480)
    track = mido.MidiTrack()
    for time, velocity in ((0, 70), (480 * 60, 70)):
        track.append(mido.Message("note_on", channel=9, note=42, velocity=velocity, time=time))
        track.append(mido.Message("note_off", channel=9, note=42, time=30))
    file.tracks.append(track)
    (tmp_path / "midi").mkdir()
    file.save(tmp_path / "midi" / "hits.mid")
    (song,), (stem,) = rendered(
        here, tmp_path / "midi", tmp_path / "c", "--no-band", "--max-gain", 6
    )
    assert stem.is_gain_limited
    assert stem.gain_db == pytest.approx(6 + song.overall_gain_db)


def test_a_song_that_changes_after_the_scan_is_rejected(make_song, tmp_path: Path) -> None:
    from stemsmith.render.corpus.config import RenderConfig
    from stemsmith.render.songs.corpus import CorpusDestination
    from stemsmith.render.songs.plan import plan_corpus
    from stemsmith.render.songs.render import render_song
    from stemsmith.render.workflow import make_bank, scan

    midi, config = tmp_path / "midi", RenderConfig(band=None)
    path = make_song(midi / "song.mid", [(40, 0)])
    plan = plan_corpus(scan(midi).found, midi, tmp_path / "c", config, make_bank())
    make_song(path, [(41, 0)])
    with CorpusDestination(tmp_path / "c", plan).opened():
        result = render_song(plan.jobs[0])
    assert isinstance(result, Rejection)
    assert result.reason == "changed"


def test_a_running_cluster_renders_the_same_bytes(
    corpus: Path, band_folder: Path, tmp_path: Path, here
) -> None:
    with LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address=":0"
    ) as cluster:
        address = cluster.scheduler_address
        done = here("render", band_folder, tmp_path / "c", "--seed", 3, "--scheduler", address)
    assert done.returncode == 0, done.stderr
    for path in corpus.rglob("*.flac"):
        assert (tmp_path / "c" / path.relative_to(corpus)).read_bytes() == path.read_bytes()
    one, other = (json.loads((c / "manifest.json").read_text()) for c in (corpus, tmp_path / "c"))
    assert one == other


@pytest.mark.slow
def test_real_scores_render_and_validate(shared: Path, tmp_path: Path, here) -> None:
    corpus = tmp_path / "c"
    done = here("render", shared / "midi" / "dev", corpus, "--songs", 6, "--seed", 1)
    assert done.returncode == 0, done.stderr
    assert here("validate", corpus).returncode == 0
    done = here("render", shared / "midi" / "chorales", tmp_path / "b", "--no-band", "--songs", 6)
    assert done.returncode == 0, done.stderr
    stems = shards.read_records(tmp_path / "b" / "stems-00000.parquet", Stem)
    assert len(stems) >= 24


def test_two_threads_of_one_process_render_the_same_bytes(
    band_folder: Path, corpus: Path, tmp_path: Path
) -> None:
    """Dask workers may have several threads; buffers and soundfonts are the process's."""
    from concurrent.futures import ThreadPoolExecutor

    from stemsmith.render.corpus.config import RenderConfig
    from stemsmith.render.songs.corpus import CorpusDestination
    from stemsmith.render.songs.plan import plan_corpus
    from stemsmith.render.songs.render import render_song
    from stemsmith.render.workflow import make_bank, scan

    scanned, config = scan(band_folder).found, RenderConfig(seed=3)
    plan = plan_corpus(scanned, band_folder, tmp_path / "c", config, make_bank())
    destination = CorpusDestination(tmp_path / "c", plan)
    with destination.opened(), ThreadPoolExecutor(3) as pool:
        list(pool.map(render_song, destination.open_jobs()))
        destination.close()
    for path in corpus.rglob("*.flac"):
        assert (tmp_path / "c" / path.relative_to(corpus)).read_bytes() == path.read_bytes()


def test_a_corpus_inside_the_midi_folder_can_be_resumed(make_song, tmp_path: Path, here) -> None:
    make_song(tmp_path / "song.mid")
    for _ in range(2):
        done = here("render", tmp_path, tmp_path / "corpus", "--jobs", 0)
        assert done.returncode == 0, done.stderr


def test_effects_that_overflow_are_an_error_that_names_the_patch(
    make_song, tmp_path: Path, here
) -> None:
    make_song(tmp_path / "midi" / "song.mid", [(40, 0)], n_notes=4)
    bank = tmp_path / "bank.yaml"
    bank.write_text(
        f"Violin: [{{soundfont: {default_soundfont()}, preset: 40, name: loud, "
        "effects: [{Gain: {gain_db: 20000}}]}]"
    )
    done = here(
        "render", tmp_path / "midi", tmp_path / "c", "--no-band", "--patches", bank, "--jobs", 0
    )
    assert done.returncode == 2
    assert "loud: its effects or instrument give infinite samples" in done.stderr
    assert not list(tmp_path.glob("c/*/Track*"))
