"""Corpora without audio: the same bytes whenever somebody asks, rendered once, in little room."""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from stemsmith.manifests import cache as caches
from stemsmith.manifests import places, storage
from stemsmith.manifests.corpus import Corpus
from stemsmith.manifests.errors import InvalidCorpus, Unreadable, UsageError
from stemsmith.manifests.programs import rendering_class_of
from stemsmith.manifests.splits import SPLITS
from stemsmith.mixing.workflow import mix
from stemsmith.render.again import lazy
from stemsmith.render.checking import certify_corpus, validate_corpus
from stemsmith.render.corpus.config import RenderConfig
from stemsmith.render.midi.playing import Dynamic
from stemsmith.render.packs import pack, restore
from stemsmith.render.renditions.config import RenditionConfig
from stemsmith.render.sound.sf2 import default_soundfont
from stemsmith.render.workflow import (
    make_bank,
    merge_corpus,
    render_corpus,
    render_renditions,
)

SMALL: dict[str, Any] = {"band": None, "sample_rate": 8000, "tail_s": 0.3}
SPLIT: dict[str, Any] = {"splits": "2,1,1"}
PARTS = ((0, 0), (33, 1), (40, 2), (0, 9))
MIXED: dict[str, Any] = {
    "target": "bass", "n_mixtures": 9, "clip_s": 1.0, "min_rms_dbfs": -60.0, "seed": 2,
}  # fmt: skip


def hashes(root: Path) -> dict[str, str]:
    files = (path for path in root.rglob("*") if path.is_file())
    return {path.relative_to(root).as_posix(): storage.file_hash(path) for path in files}


@pytest.fixture(scope="module")
def scores(tmp_path_factory: pytest.TempPathFactory, make_song) -> Path:
    """Return four songs of 2 s."""
    folder = tmp_path_factory.mktemp("scores")
    for k in range(4):
        make_song(folder / f"{k}.mid", PARTS, n_notes=24, seed=k)
    return folder


@pytest.fixture(scope="module")
def eager(tmp_path_factory: pytest.TempPathFactory, scores: Path) -> Corpus:
    """Return a corpus with its audio; read only."""
    return render_corpus(scores, tmp_path_factory.mktemp("eager") / "c", **SMALL, **SPLIT)


@pytest.fixture(scope="module")
def idle(tmp_path_factory: pytest.TempPathFactory, scores: Path) -> Corpus:
    """Return the same corpus without audio; read only."""
    return render_corpus(scores, tmp_path_factory.mktemp("lazy") / "c", lazy=True, **SMALL, **SPLIT)


@pytest.fixture(autouse=True)
def fresh_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, own_cache: Path) -> Iterator[Path]:
    """Give each test an empty cache of songs, beside what is known of soundfonts."""
    folder = tmp_path / "cache"
    folder.mkdir()
    for known in own_cache.glob("*"):
        if known.name != "songs":
            (folder / known.name).symlink_to(known)
    monkeypatch.setenv("STEMSMITH_CACHE", str(folder))
    monkeypatch.delenv("STEMSMITH_CACHE_GB", raising=False)
    yield folder / "songs"


@pytest.fixture
def n_rendered(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return a list to which each song is added that is rendered again."""
    rendered: list[str] = []
    write_track, write_stem = lazy.write_track, lazy.write_stem

    def track(job: Any, folder: Path) -> Any:
        rendered.append(job.track)
        return write_track(job, folder)

    def stem(job: Any, stem_id: str) -> Any:
        rendered.append(stem_id)
        return write_stem(job, stem_id)

    monkeypatch.setattr(lazy, "write_track", track)
    monkeypatch.setattr(lazy, "write_stem", stem)
    return rendered


def check_same_audio(idle: Corpus, eager: Corpus) -> None:
    """Compare every file of audio, byte for byte."""
    audio = list(eager.root.rglob("*.flac"))
    assert audio
    for path in audio:
        name = path.relative_to(eager.root)
        assert places.is_file(idle.root / name)
        assert places.read_bytes(idle.root / name) == path.read_bytes(), name


# ---------------------------------------------------------------------------------------------
# What is kept


def test_all_but_audio_is_that_of_the_eager_corpus(eager: Corpus, idle: Corpus) -> None:
    kept, whole = hashes(idle.root), hashes(eager.root)
    own = {"manifest.json", "lazy.json"}
    assert kept.keys() - own == {name for name in whole if not name.endswith(".flac")} - own
    assert all(kept[name] == whole[name] for name in kept.keys() - own)
    header = dict(idle.header)
    assert header.pop("lazy") == {"fingerprint": eager.header["fingerprint"]}
    own_fingerprint = header.pop("fingerprint")
    assert own_fingerprint != eager.header["fingerprint"]
    assert header == {k: v for k, v in eager.header.items() if k != "fingerprint"}


def test_nothing_is_left_of_the_rendering(idle: Corpus) -> None:
    assert not list(idle.root.rglob("*.flac"))
    assert not (idle.root / ".render").exists()


def test_eager_and_lazy_runs_are_two(scores: Path, eager: Corpus, idle: Corpus) -> None:
    with pytest.raises(UsageError, match="was made with other arguments"):
        render_corpus(scores, eager.root, lazy=True, **SMALL, **SPLIT)
    with pytest.raises(UsageError, match="was made with other arguments"):
        render_corpus(scores, idle.root, **SMALL, **SPLIT)
    before = hashes(idle.root)
    render_corpus(scores, idle.root, lazy=True, **SMALL, **SPLIT)
    assert hashes(idle.root) == before


def test_killed_and_resumed(scores: Path, idle: Corpus, tmp_path: Path, killed_after) -> None:
    for n_steps in (20, 50):
        with killed_after(n_steps):
            render_corpus(scores, tmp_path / "c", lazy=True, **SMALL, **SPLIT)
    render_corpus(scores, tmp_path / "c", lazy=True, **SMALL, **SPLIT)
    assert hashes(tmp_path / "c") == hashes(idle.root)


def test_the_command_makes_the_same(scores: Path, idle: Corpus, tmp_path: Path, here) -> None:
    done = here("render", scores, tmp_path / "c", "--lazy", "--no-band", "--sample-rate", 8000,
                "--tail", 0.3, "--splits", "2,1,1", "--jobs", 1)  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert hashes(tmp_path / "c") == hashes(idle.root)


def test_jobs_of_an_array_make_the_same(scores: Path, idle: Corpus, tmp_path: Path) -> None:
    for job in ("2/2", "1/2"):
        render_corpus(scores, tmp_path / "c", lazy=True, job=job, **SMALL, **SPLIT)
        with pytest.raises(UsageError, match="the unfinished run here was made with other"):
            render_corpus(scores, tmp_path / "c", job="1/2", **SMALL, **SPLIT)
    merge_corpus(tmp_path / "c")
    assert hashes(tmp_path / "c") == hashes(idle.root)


def test_its_pack_is_that_of_the_eager_corpus(
    scores: Path, eager: Corpus, idle: Corpus, tmp_path: Path
) -> None:
    pack(eager, tmp_path / "eager")
    pack(idle, tmp_path / "lazy")
    assert (tmp_path / "lazy").read_bytes() == (tmp_path / "eager").read_bytes()
    again = restore(tmp_path / "lazy", tmp_path / "again", midi_dir=scores)
    assert hashes(again.root) == hashes(eager.root)


# ---------------------------------------------------------------------------------------------
# The same bytes


def test_every_file_has_the_bytes_of_the_eager_corpus(
    eager: Corpus, idle: Corpus, n_rendered: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    check_same_audio(idle, eager)
    assert sorted(n_rendered) == sorted(idle), "each song is rendered once"
    for name, track in eager.items():
        np.testing.assert_array_equal(idle[name].mixture, track.mixture)
        for stem, other in track.stems.items():
            np.testing.assert_array_equal(idle[name].stems[stem].audio, other.audio)
    assert len(n_rendered) == len(idle)
    monkeypatch.chdir(idle.root.parent)  # and by a relative path
    assert places.sha256_of(Path(idle.root.name, *idle["Track00001"].record.mix_path.split("/")))


def test_a_copy_elsewhere_shares_the_songs(
    eager: Corpus, idle: Corpus, tmp_path: Path, n_rendered: list[str]
) -> None:
    copy = Corpus(shutil.copytree(idle.root, tmp_path / "copy"))
    (tmp_path / "link").symlink_to(copy.root)
    check_same_audio(idle, eager)
    check_same_audio(copy, eager)
    check_same_audio(Corpus(tmp_path / "link"), eager)
    assert len(n_rendered) == len(idle)


OPTIONS: dict[str, dict[str, Any]] = {
    "produced": {
        "n_channels": 2, "effects": "class", "room": "drawn", "equalise": True, "dry": True,
        "master": "bus", "balance": "real", "on_defect": "redraw", "pan": "drawn",
    },
    "pieces": {"drum_pieces": True, "drums": "joined", "humanise": True, "on_defect": "drop"},
    "unsplit": {"mix_source": "unsplit", "patch_choice": "program"},
    "dynamics": {"dynamics": (Dynamic("p", 50), Dynamic("f", 110)), "seed": 3},
}  # fmt: skip


@pytest.mark.parametrize("name", OPTIONS)
def test_every_option_is_done_again(scores: Path, tmp_path: Path, name: str) -> None:
    if name == "produced":
        pytest.importorskip("pedalboard")
        pytest.importorskip("pyroomacoustics")
    options = {**SMALL, **OPTIONS[name], "n_songs": 2}
    eager = render_corpus(scores, tmp_path / "e", **options)
    idle = render_corpus(scores, tmp_path / "l", lazy=True, **options)
    check_same_audio(idle, eager)


def test_renditions_are_rendered_stem_by_stem(
    scores: Path, tmp_path: Path, n_rendered: list[str]
) -> None:
    config = RenditionConfig(
        n_renditions=3, headroom_db=30, sample_rate=8000, tail_s=0.3, n_channels=2, pan="drawn",
        dynamics=(Dynamic("p", 48), Dynamic("f", 112)), tempos="0.8,120", shifts_s=(0.0, 0.2),
    )  # fmt: skip
    eager = render_renditions(scores, tmp_path / "e", config)
    idle = render_renditions(scores, tmp_path / "l", config, lazy=True)
    assert not list(idle.root.rglob("*.flac"))
    name = next(iter(idle))
    np.testing.assert_array_equal(idle[name].mixture, eager[name].mixture)
    assert len(n_rendered) == len(idle[name].stems)
    check_same_audio(idle, eager)
    assert len(n_rendered) == len(set(n_rendered)) == idle.header["n_stems"]


def test_mixtures_of_it_are_those_of_the_eager_corpus(
    eager: Corpus, idle: Corpus, tmp_path: Path, here
) -> None:
    for name, corpus in (("e", eager), ("l", idle)):
        # One folder, since recipes have the path to the corpus.
        place = tmp_path / "corpus"
        place.unlink(missing_ok=True)
        place.symlink_to(corpus.root)
        mix(place, tmp_path / name, audio_format="flac", **MIXED)
        shutil.rmtree(tmp_path / "cache" / "songs", ignore_errors=True)
    one, other = hashes(tmp_path / "e"), hashes(tmp_path / "l")
    assert {n: h for n, h in one.items() if n.endswith((".tar", ".parquet"))} == {
        n: h for n, h in other.items() if n.endswith((".tar", ".parquet"))
    }
    done = here("validate", tmp_path / "l", "--jobs", 0)
    assert done.returncode == 0, done.stderr


def test_evaluation_of_it_gives_the_scores_of_the_eager_corpus(
    eager: Corpus, idle: Corpus, tmp_path: Path
) -> None:
    from stemsmith.evaluate.workflow import evaluate_system

    scored = [
        evaluate_system("oracle:irm", corpus, tmp_path / name, bss="none", splits=SPLITS)
        for name, corpus in (("e", eager), ("l", idle))
    ]
    assert scored[0].scores.num_rows
    assert scored[0].scores.equals(scored[1].scores)
    again = evaluate_system("oracle:irm", idle, tmp_path / "l", bss="none", splits=SPLITS)
    assert again.scores.equals(scored[0].scores)


@pytest.mark.parametrize("loader", ["stream", "resident"])
def test_training_on_it_gives_the_weights_of_the_eager_corpus(
    eager: Corpus, idle: Corpus, tmp_path: Path, loader: str
) -> None:
    pytest.importorskip("lightning")
    import torch
    from stemsmith.train.workflow import train_model

    weights, others = [], set(multiprocessing.active_children())
    for name, corpus in (("e", eager), ("l", idle)):
        mixtures = mix(corpus, tmp_path / f"m{name}", **MIXED)
        shutil.rmtree(tmp_path / "cache" / "songs", ignore_errors=True)
        run = train_model(
            mixtures, tmp_path / name, target="bass", epochs=1, batch_size=2, device="cpu",
            settings={"n_layers": 1, "n_units": 4, "segment_frames": 20, "sample_rate": 8000},
            loader=loader, n_workers=2, cache=tmp_path / f"decoded{name}",
        )  # fmt: skip
        assert not set(multiprocessing.active_children()) - others  # nobody waits for what loaded
        weights.append(run.model().state_dict())
    assert (tmp_path / "cache" / "songs").is_dir(), "songs were rendered where they were needed"
    assert all(torch.equal(weights[0][key], weights[1][key]) for key in weights[0])


# ---------------------------------------------------------------------------------------------
# Once, and in little room


def read_all(root: str, go: Any, found: Any) -> None:
    """Read all audio of a corpus in a process of its own; put what was rendered."""
    rendered: list[str] = []
    write = lazy.write_track

    def counted(job: Any, folder: Path) -> Any:
        rendered.append(job.track)
        return write(job, folder)

    lazy.write_track = counted
    go.wait()
    corpus = Corpus(root)
    hashed = {
        stem.record.path: places.sha256_of(corpus.root / stem.record.path)
        for track in corpus.values()
        for stem in track.stems.values()
    }
    found.put((rendered, hashed))


def test_processes_render_a_song_once(eager: Corpus, idle: Corpus) -> None:
    context = multiprocessing.get_context("spawn")
    go, found = context.Event(), context.Queue()
    several = [context.Process(target=read_all, args=(str(idle.root), go, found)) for _ in range(3)]
    for process in several:
        process.start()
    go.set()
    results = [found.get(timeout=300) for _ in several]
    for process in several:
        process.join()
        assert process.exitcode == 0
    assert sorted(track for rendered, _ in results for track in rendered) == sorted(idle)
    expected = {
        stem.record.path: stem.record.sha256
        for track in eager.values()
        for stem in track.stems.values()
    }
    assert all(hashed == expected for _, hashed in results)


def test_a_small_cache_serves_all_and_stays_small(
    eager: Corpus, idle: Corpus, fresh_cache: Path, n_rendered: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    n_song = max(
        sum(path.stat().st_size for path in (eager.root / track.record.path).rglob("*.flac"))
        for track in eager.values()
    )
    monkeypatch.setenv("STEMSMITH_CACHE_GB", str(1.5 * n_song / 1e9))
    for _ in range(2):
        for name in eager:
            record = eager[name].record
            assert places.sha256_of(idle.root / record.mix_path) == record.mix_sha256
    assert len(n_rendered) > len(idle), "songs had to go, and came again"
    n_kept = sum(path.stat().st_size for path in fresh_cache.rglob("*.flac"))
    assert 0 < n_kept <= 1.5 * n_song


def test_a_file_that_is_read_stays_readable_when_its_song_is_removed(
    eager: Corpus, idle: Corpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STEMSMITH_CACHE_GB", "1e-6")
    first, *others = eager.values()
    with places.opened(idle.root / first.record.mix_path) as file:
        begin = file.read(100)
        for track in others:
            assert places.sha256_of(idle.root / track.record.mix_path) == track.record.mix_sha256
        data = begin + file.read()
    assert data == (eager.root / first.record.mix_path).read_bytes()


def test_threads_may_ask_for_one_song(eager: Corpus, idle: Corpus, n_rendered: list[str]) -> None:
    record = eager["Track00002"].record
    found: list[str] = []

    def read() -> None:
        found.append(places.sha256_of(idle.root / record.mix_path))

    threads = [threading.Thread(target=read) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == 4 * [record.mix_sha256]
    assert n_rendered == ["Track00002"]


@pytest.mark.parametrize("text", ["0", "-1", "nan", "inf", "much"])
def test_a_bound_that_is_none_is_one_line(
    idle: Corpus, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STEMSMITH_CACHE_GB", text)
    with pytest.raises(UsageError, match=f"STEMSMITH_CACHE_GB={text}: not a number of gigabytes"):
        _ = idle["Track00001"].mixture


def test_commands_bound_the_cache_while_they_run(
    idle: Corpus, tmp_path: Path, here, monkeypatch: pytest.MonkeyPatch
) -> None:
    bounds: list[str] = []
    made = caches.most_cached_bytes

    def watched() -> Any:
        bounds.append(caches.os.environ["STEMSMITH_CACHE_GB"])
        return made()

    monkeypatch.setattr(lazy, "most_cached_bytes", watched)
    command = ("mix", idle.root, tmp_path / "m", "--mixtures", 3, "--clip", 1, "--min-rms", -60,
               "--audio", "--jobs", 0)  # fmt: skip
    done = here(*command, "--cache-gb", "0.5")
    assert done.returncode == 0, done.stderr
    assert set(bounds) == {"0.5"}
    assert "STEMSMITH_CACHE_GB" not in caches.os.environ
    for command in ("mix", "train", "evaluate"):
        done = here(command, "a", "b", "c", "--cache-gb", 0)
        assert done.returncode == 2
        assert "0.0 is not in the range x>0" in done.stderr


# ---------------------------------------------------------------------------------------------
# What is not the same any more


def copy_of(idle: Corpus, folder: Path) -> Corpus:
    return Corpus(shutil.copytree(idle.root, folder))


def test_what_is_no_file_of_the_corpus_is_not_there(idle: Corpus, tmp_path: Path) -> None:
    folder = idle.root / idle["Track00001"].record.path
    for path in (
        folder / "stems" / "S77.flac",
        folder / "S00.flac",
        idle.root / "train" / "Track99999" / "mix.flac",
        idle.root / "mix.flac",
        idle.root / "nowhere" / "mix.flac",
    ):
        assert not places.is_file(path)
        with pytest.raises(FileNotFoundError):
            places.opened(path)
    with pytest.raises(FileNotFoundError):
        places.opened(folder / "stems" / "S00.wav")
    assert not places.is_file(tmp_path / "a" / "b.flac")


def test_a_score_that_has_changed_is_named(idle: Corpus, tmp_path: Path) -> None:
    copy = copy_of(idle, tmp_path / "c")
    track = copy["Track00001"]
    score = copy.root / track.record.path / "all_src.mid"
    other = copy.root / copy["Track00002"].record.path / "all_src.mid"
    score.write_bytes(other.read_bytes())
    with pytest.raises(InvalidCorpus, match=r"rendered again, it is not what its record says; no"):
        _ = track.mixture
    score.write_bytes(b"MThd")
    with pytest.raises(InvalidCorpus, match=rf"{score}: cannot be rendered: "):
        _ = track.mixture
    score.unlink()
    with pytest.raises(InvalidCorpus, match=rf"{score}: cannot be rendered: "):
        _ = track.mixture
    assert not list((tmp_path / "cache" / "songs").glob("[0-9a-f]" * 64)), "nothing is kept of it"


def test_versions_that_differ_are_named(
    idle: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from stemsmith.manifests.audio import flac

    copy = copy_of(idle, tmp_path / "c")
    monkeypatch.setattr(flac, "_libflac", lambda: None)
    with pytest.raises(InvalidCorpus, match=r"not what its record says; versions differ: libflac"):
        _ = copy["Track00001"].mixture


def test_what_it_is_made_of_may_lie_elsewhere(
    scores: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = bytearray(default_soundfont().read_bytes())
    data[data.index(b"ISFT") + 8] ^= 1
    font = tmp_path / "mine.sf2"
    font.write_bytes(data)
    made = render_corpus(scores, tmp_path / "l", soundfonts=[font], n_songs=1, lazy=True, **SMALL)
    copies = [copy_of(made, tmp_path / f"c{k}") for k in range(3)]
    sources = json.loads((made.root / "lazy.json").read_text())
    assert sources["soundfonts"] == {storage.file_hash(font): str(font)}
    assert copies[0]["Track00001"].mixture.any()
    font.rename(tmp_path / "moved.sf2")
    shutil.rmtree(tmp_path / "cache" / "songs")
    with pytest.raises(UsageError, match=r"c1/lazy.json: 1 of 1 soundfonts are missing: mine.sf2"):
        _ = copies[1]["Track00001"].mixture
    monkeypatch.setenv("STEMSMITH_SOUNDFONTS", str(tmp_path))
    assert copies[2]["Track00001"].mixture.any()


def test_patch_banks_are_files(scores: Path, tmp_path: Path) -> None:
    bank = tmp_path / "bank.yaml"
    font = default_soundfont()
    entry = "{}: [{{soundfont: {}, preset: {}}}]\n"
    lines = [entry.format(rendering_class_of(n), font, n) for n in (0, 33, 40)]
    bank.write_text("".join(lines))
    eager = render_corpus(scores, tmp_path / "e", bank=bank, n_songs=1, **SMALL)
    idle = render_corpus(scores, tmp_path / "l", bank=bank, n_songs=1, lazy=True, **SMALL)
    check_same_audio(idle, eager)
    with pytest.raises(UsageError, match="--lazy: the patch bank must be given as its YAML file"):
        render_corpus(scores, tmp_path / "x", bank=make_bank(bank=bank), lazy=True, **SMALL)
    made = make_bank()  # which is no more than its soundfont
    assert render_corpus(scores, tmp_path / "y", bank=made, n_songs=1, lazy=True, **SMALL)
    copy = copy_of(idle, tmp_path / "copy")
    bank.write_text(bank.read_text().replace("preset: 33", "preset: 34"))
    shutil.rmtree(tmp_path / "cache" / "songs")
    with pytest.raises(UsageError, match=r"lazy.json: was rendered with another patch bank"):
        _ = copy["Track00001"].mixture


DAMAGED: dict[str, tuple[Callable[[Any], Any], str]] = {
    "list": (lambda c: [c], "damaged: it is not a table of names and values"),
    "fonts": (lambda c: {**c, "soundfonts": [1]}, "damaged: soundfonts is not a table"),
    "bank": (lambda c: {**c, "bank": 3}, "damaged: bank is not text"),
    "dynamics": (lambda c: {**c, "dynamics": [["p"]]}, r"damaged: \['p'\] is no dynamic"),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_a_damaged_file_of_sources_is_one_line(idle: Corpus, tmp_path: Path, name: str) -> None:
    change, message = DAMAGED[name]
    copy = copy_of(idle, tmp_path / "c")
    path = copy.root / "lazy.json"
    path.write_text(json.dumps(change(json.loads(path.read_text()))))
    with pytest.raises(InvalidCorpus, match=f"{path}: {message}"):
        _ = copy["Track00001"].mixture
    path.write_text("{")
    other = copy_of(copy, tmp_path / "d")
    with pytest.raises(InvalidCorpus, match=r"lazy.json: cannot be read as JSON"):
        _ = other["Track00001"].mixture
    path.unlink()
    with pytest.raises(Unreadable, match=r"mix.flac: cannot be read: not there"):
        _ = copy["Track00001"].mixture


def test_reading_renders_in_a_fresh_process(idle: Corpus, eager: Corpus) -> None:
    """Nothing of ours need be imported before: the front door is enough."""
    record = eager["Track00001"].record
    code = (
        "import stemsmith, sys, hashlib\n"
        f"corpus = stemsmith.Corpus({str(idle.root)!r})\n"
        "print(hashlib.sha256(corpus['Track00001'].mixture.tobytes()).hexdigest())\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    expected = hashlib.sha256(eager["Track00001"].mixture.tobytes()).hexdigest()
    assert done.stdout.strip() == expected, record.mix_path


def test_it_is_validated_and_certified_by_rendering_it(
    idle: Corpus, eager: Corpus, tmp_path: Path, n_rendered: list[str]
) -> None:
    copies = [copy_of(one, tmp_path / f"c{k}") for k, one in enumerate((idle, eager))]
    assert validate_corpus(copies[0].root)
    bytes_of = [dict(certify_corpus(one.root).content["bytes"]) for one in copies]
    assert sorted(n_rendered) == sorted(idle)
    assert bytes_of[0]["n_files"] == bytes_of[1]["n_files"]


def test_a_config_of_python_is_taken(scores: Path, tmp_path: Path) -> None:
    config = RenderConfig(**SMALL, n_songs=1)
    assert render_corpus(scores, tmp_path / "c", config, lazy=True).header["lazy"]
