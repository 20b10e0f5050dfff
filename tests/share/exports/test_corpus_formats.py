"""What formats of whole corpora have in common: checksums, resuming, rejections, odd corpora."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from exported_files import content
from stemsmith.manifests.corpus import Corpus
from stemsmith.manifests.errors import NothingToDo, UsageError
from stemsmith.manifests.records import Reason
from stemsmith.share import export_dataset, forecast_export

Killed = Callable[[int], AbstractContextManager[None]]
SHAPES = (
    ("hf", "parquet"),
    ("hf", "webdataset"),
    ("webdataset", None),
    ("mirdata", None),
    ("transcription", "mix"),
    ("transcription", "stems-flac"),
)


@pytest.mark.parametrize(("layout", "variant"), SHAPES)
def test_the_same_bytes_again_and_after_a_kill(
    stereo: Path, tmp_path: Path, layout: str, variant: str | None, killed_after: Killed
) -> None:
    whole = export_dataset(stereo, tmp_path / "whole", layout, variant=variant)
    whole.verify()
    assert whole.header["n_songs"] == {"train": 2}
    for n_steps in (2, 7, 14):
        folder = tmp_path / f"killed-{n_steps}"
        with killed_after(n_steps):
            export_dataset(stereo, folder, layout, variant=variant)
        assert not (folder / "manifest.json").exists()
        export_dataset(stereo, folder, layout, variant=variant)
        assert content(folder) == content(tmp_path / "whole")


@pytest.mark.parametrize(("layout", "variant"), SHAPES)
@pytest.mark.parametrize("kind", ["corpus", "renditions"])
def test_what_version_0_1_wrote_is_exported(
    workshop: Path, layout: str, variant: str | None, kind: str
) -> None:
    if (layout, kind) == ("mirdata", "renditions"):
        with pytest.raises(UsageError, match="is a corpus of renditions; the format mirdata takes"):
            export_dataset(kind, "x", layout)
        return
    forecast = forecast_export(kind, layout, variant=variant)
    done = export_dataset(kind, "x", layout, variant=variant).verify()
    assert done.header["n_songs"] == forecast.n_songs
    assert forecast.n_bytes + forecast.n_linked_bytes > 0
    assert done.rejection_records() == []


@pytest.mark.parametrize(("layout", "variant"), SHAPES)
@pytest.mark.parametrize("damage", ["missing", "changed"])
def test_a_song_with_a_bad_stem_is_left_out(
    workshop: Path, layout: str, variant: str | None, damage: str
) -> None:
    stem = workshop / "corpus" / "validation" / "Track00002" / "stems" / "S01.flac"
    if damage == "missing":
        stem.unlink()
    else:
        shutil.copy(stem.with_name("S02.flac"), stem)
    done = export_dataset("corpus", "x", layout, variant=variant).verify()
    (rejection,) = done.rejection_records()
    assert rejection.id == "Track00002" and str(stem.relative_to(workshop)) in rejection.detail
    assert rejection.reason in (Reason.MISSING, Reason.DAMAGED)
    assert done.header["n_songs"] == {"test": 1, "train": 1}
    names = " ".join(content(workshop / "x"))
    assert "Track00002" not in names and "validation" not in names


@pytest.mark.parametrize(("layout", "variant"), SHAPES)
def test_splits_and_numbers(workshop: Path, layout: str, variant: str | None) -> None:
    done = export_dataset("corpus", "x", layout, variant=variant, splits=("test",), limit=1)
    assert done.verify().header["n_songs"] == {"test": 1}
    with pytest.raises(NothingToDo, match="has no song to export"):
        export_dataset(
            "renditions", "y", layout if layout != "mirdata" else "hf", splits=("validation",)
        )


def test_a_corpus_in_the_place_of_another_is_read_anew(stereo: Path, workshop: Path) -> None:
    shutil.copytree(stereo, "here")
    export_dataset("here", "x", "webdataset")
    shutil.rmtree("here")
    shutil.copytree("corpus", "here", copy_function=shutil.copyfile)
    export_dataset("here", "y", "webdataset", splits=("train",))
    export_dataset("corpus", "z", "webdataset", splits=("train",))
    tars = [workshop / name / "train-00000.tar" for name in "yz"]
    assert tars[0].read_bytes() == tars[1].read_bytes()


def test_the_hub_takes_one_corpus_and_others_several(workshop: Path) -> None:
    shutil.copytree("corpus", "second.corpus")
    with pytest.raises(UsageError, match="the format hf takes one corpus at a time"):
        export_dataset(["corpus", "second.corpus"], "x", "hf")
    for layout in ("webdataset", "transcription", "mirdata"):
        done = export_dataset(["corpus", "second.corpus"], layout, layout).verify()
        assert sum(done.header["n_songs"].values()) == 2 * len(Corpus("corpus"))
        assert (workshop / layout / "README-2.md").exists()


@pytest.mark.parametrize(("layout", "variant"), SHAPES)
def test_licences_are_those_on_record(
    stereo: Path, workshop: Path, layout: str, variant: str | None
) -> None:
    for source, licence, n_scores in ((stereo, "CC0-1.0", 2), (Path("corpus"), "unknown", 1)):
        out = workshop / f"x-{licence}"
        splits = ("train", "test") if source == stereo else ("test",)
        export_dataset(source, out, layout, variant=variant, splits=splits)
        text = (out / "README.md").read_text()
        assert f"| {licence} | {n_scores} |" in text
        assert "TimGM6mb.sf2 | GPL-2" in text
        assert "license: unknown" in text or "license: other" in text


@pytest.mark.parametrize(("layout", "variant"), SHAPES)
def test_the_card_says_where_the_options_of_the_corpus_are(
    workshop: Path, layout: str, variant: str | None
) -> None:
    export_dataset("corpus", "x", layout, variant=variant)
    options = json.loads((workshop / "corpus" / "manifest.json").read_text())["config"]
    assert json.loads((workshop / "x" / "manifest.json").read_text())["config"] != options
    told = "`corpus-manifest.json`" if layout == "hf" else "The `manifest.json` of the corpus"
    assert f"\n{told} has every option, version and hash:\n" in (
        workshop / "x" / "README.md"
    ).read_text("utf-8")
