"""Mixing from Python, and what a folder of mixtures gives back."""

from __future__ import annotations

import json
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from stemsmith import mixing
from stemsmith.manifests.errors import InvalidCorpus, UsageError
from stemsmith.manifests.jobs import Quiet
from stemsmith.mixing.audio.labels import realise_labels
from stemsmith.mixing.audio.realise import realise
from stemsmith.mixing.mixtures import Mixtures
from stemsmith.mixing.workflow import mix, validate_mixtures


def tree(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


class Noted(Quiet):
    """Remembers what it is told."""

    def __init__(self) -> None:
        self.warnings: list[str] = []

    def warn(self, message: str) -> None:
        self.warnings.append(message)


def test_a_call_and_the_command_write_the_same_bytes(
    corpus: Path, musdb: Path, tmp_path: Path, here: Callable
) -> None:
    options = ("--clip", 1, "--hours", 0.003, "--target", "vocals", "--audio", "--seed", 2)
    done = here("mix", corpus, f"musdb:{musdb}", tmp_path / "one", "--mode", "incoherent",
                "--taxonomy", "musdb", *options, "--stems", "vocals,drums", "--augment",
                "polarity,gain", "--jobs", 0)  # fmt: skip
    assert done.returncode == 0, done.stderr
    opened = SimpleNamespace(root=corpus)  # as a corpus that is open
    mixtures = mix(
        [opened, f"musdb:{musdb}"],
        str(tmp_path / "two"),
        mode="incoherent",
        taxonomy="musdb",
        clip_s=1,
        hours=0.003,
        target="vocals",
        seed=2,
        augment=("polarity", "gain"),
        stems=("vocals", "drums"),
        audio_format="flac",
    )
    assert tree(tmp_path / "two") == tree(tmp_path / "one")
    assert mixtures.splits["train"] == 11
    assert sum(mixtures.splits.values()) == len(mixtures)
    assert mixtures.audio_targets == ("vocals", "drums")


def test_a_call_prints_nothing_and_passes_warnings_on(
    corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    progress = Noted()
    mix(corpus, tmp_path / "m", clip_s=8.0, n_mixtures=60, min_rms_dbfs=-60, progress=progress)
    assert any("different clips" in warning for warning in progress.warnings)
    out, err = capsys.readouterr()
    assert (out, err) == ("", "")


def test_a_finished_folder_is_opened_and_another_set_refused(corpus: Path, tmp_path: Path) -> None:
    first = mix(corpus, tmp_path / "m", clip_s=1.0, n_mixtures=6)
    again = mix(corpus, tmp_path / "m", clip_s=1.0, n_mixtures=6)
    assert again.header == first.header
    with pytest.raises(UsageError, match="choose another folder"):
        mix(corpus, tmp_path / "m", clip_s=1.0, n_mixtures=7)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"stems": "kazoo"}, "--stems kazoo: not a target; known: piano"),
        ({"audio_format": "mp3"}, "--audio-format mp3: unknown; known: flac, wav"),
        ({"taxonomy": "kazoo"}, "kazoo: neither a taxonomy"),
        ({"mode": "kazoo"}, "--mode kazoo: unknown; known: coherent"),
    ],
)
def test_what_makes_no_sense_is_refused(
    corpus: Path, tmp_path: Path, options: dict, message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        mix(corpus, tmp_path / "m", **options)
    assert not (tmp_path / "m").exists()


def test_mixtures_are_in_order_of_split_and_number(mixtures: Path) -> None:
    opened = Mixtures(mixtures / "recipes")
    assert opened.splits == {
        split: n for split in ("train", "validation", "test") if (n := opened.splits.get(split))
    }
    names = [f"{s}-{k:08d}" for s, n in opened.splits.items() for k in range(n)]
    assert [mixture.record.mixture_id for mixture in opened] == names
    assert [opened[k].record.mixture_id for k in (0, -1)] == [names[0], names[-1]]
    assert [m.record.mixture_id for m in opened[3:9:2]] == names[3:9:2]
    assert [m.mixture_id for m in opened.records("test")] == [n for n in names if n[:2] == "te"]
    assert len(opened) == len(names) == 40
    assert opened.recipes.column("mixture_id").to_pylist() == names
    assert opened.recipes.column_names[:3] == ["mixture_id", "mode", "split"]
    with pytest.raises(IndexError):
        opened[40]
    assert "train" in repr(opened)


def test_a_mixture_is_realised_from_the_sources(mixtures: Path, corpus: Path) -> None:
    opened = Mixtures(mixtures / "recipes")
    assert opened.roots == {"corpus": str(corpus.resolve())}
    assert (opened.sample_rate, opened.audio_targets) == (16000, ())
    assert opened.hours == pytest.approx(40 * 2 / 3600, abs=1e-6)
    first = opened[0]
    made, expected = first.realise(), realise(first.record, {"corpus": corpus})
    assert set(made) == set(expected) <= {"mixture", *opened.targets}
    for name, audio in made.items():
        assert audio.dtype == np.float32
        assert audio.shape == (1, 32000)
        np.testing.assert_array_equal(audio, expected[name])
    assert set(first.realise(["bass"])) == {"mixture", "bass"}
    labels = first.labels()
    assert {k: len(v) for k, v in labels.items()} == {
        k: len(v) for k, v in realise_labels(first.record, {"corpus": corpus}).items()
    }


def test_workers_get_a_copy_of_what_is_open(mixtures: Path) -> None:
    opened = Mixtures(mixtures / "recipes")
    first = opened[0].record
    copy = pickle.loads(pickle.dumps(opened))
    assert copy.root == opened.root
    assert len(copy) == len(opened)
    assert copy[0].record == first


def test_shards_have_their_audio_beside_them(mixtures: Path) -> None:
    for shard in Mixtures(mixtures / "audio").recipe_shards:
        assert shard.tar.is_file()
        assert shard.split in shard.path.name
    assert not any(shard.tar.is_file() for shard in Mixtures(mixtures / "recipes").recipe_shards)


def test_what_is_changed_or_moved_is_named(mixtures: Path, tmp_path: Path) -> None:
    with pytest.raises(InvalidCorpus, match=r"manifest\.json: missing"):
        Mixtures(tmp_path)
    folder = tmp_path / "a" / "b" / "m"
    shutil.copytree(mixtures / "recipes", folder)
    opened = Mixtures(folder)
    assert opened[0:0] == []
    with pytest.raises(InvalidCorpus, match=r"the root .corpus. of .* is not there; put"):
        opened[0]
    header = json.loads((folder / "manifest.json").read_text())
    header["config"]["seed"] += 1
    (folder / "manifest.json").write_text(json.dumps(header))
    with pytest.raises(InvalidCorpus, match="was changed"):
        Mixtures(folder)


def test_validate_counts_and_names(mixtures: Path, tmp_path: Path) -> None:
    found = validate_mixtures(mixtures / "audio")
    opened = Mixtures(mixtures / "audio")
    files = {source.path for mixture in opened.records() for source in mixture.sources}
    assert found == (40, len(files) + len(opened.recipe_shards))
    assert validate_mixtures(opened) == found


def test_the_package_names_functions_and_not_modules() -> None:
    import stemsmith.mixing.audio.realise
    import stemsmith.mixing.mixtures
    import stemsmith.mixing.workflow  # noqa: F401

    assert mixing.realise is realise
    assert mixing.mix is mix
    assert mixing.Mixtures is Mixtures
    assert set(mixing.__all__) <= set(dir(mixing))
    for name in mixing.__all__:
        assert callable(getattr(mixing, name)), name
    with pytest.raises(AttributeError, match="kazoo"):
        _ = mixing.kazoo
