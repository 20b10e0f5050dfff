"""The dataset card of a corpus: what `datasets` loads by it, and what it says to people."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from stemsmith.manifests.corpus import Corpus
from stemsmith.render.checking import validate_corpus
from stemsmith.render.corpus.card import (
    CARD,
    CorpusFacts,
    corpus_facts,
    hub_licence,
    records_card,
    text_cell,
    write_records_card,
)

FACTS = CorpusFacts(
    kind="songs",
    n_songs={"train": 1, "validation": 0, "test": 1},
    n_rows={"songs": 2, "stems": 3},
    hours=0.5,
    sample_rates_hz=(44100,),
    n_channels=(1,),
    n_notes=7,
    classes={"Bass": 2, "Drums": 1},
    licences={"CC0-1.0": 2},
    sounds=({"file": "a.sf2", "licence": "CC0-1.0", "sha256": "ab"},),
    has_other_sounds=False,
    made_by="1.0",
    seed=3,
)


def front_matter(text: str) -> Any:
    _, block, _ = text.split("---\n", 2)
    return yaml.safe_load(block)


def load(folder: Path, name: str | None, cache: Path, patch: pytest.MonkeyPatch) -> Any:
    patch.setenv("HF_HUB_OFFLINE", "1")
    datasets = pytest.importorskip("datasets")
    datasets.disable_progress_bars()
    return datasets.load_dataset(str(folder), name, cache_dir=str(cache))


def test_datasets_loads_every_row_and_column_of_a_rendered_corpus(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = Corpus(corpus)
    for name, table in (("stems", opened.stems), ("songs", opened.songs)):
        loaded = load(corpus, name, tmp_path, monkeypatch)
        assert list(loaded) == ["corpus"]
        assert loaded["corpus"].column_names == table.schema.names
        assert loaded["corpus"].to_list() == table.to_pylist()
    assert load(corpus, None, tmp_path, monkeypatch)["corpus"].num_rows == len(opened)


@pytest.mark.parametrize("kind", ["corpus", "renditions"])
def test_the_card_of_what_version_0_1_wrote(
    workshop: Path, kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = workshop / kind
    validate_corpus(folder)  # it has none, and is valid
    write_records_card(folder, Corpus(folder).header)
    first = (folder / CARD).read_bytes()
    name = "renditions" if kind == "renditions" else "songs"
    loaded = load(folder, name, tmp_path / "cache", monkeypatch)["corpus"]
    assert loaded.num_rows == len(Corpus(folder))
    moved = shutil.copytree(folder, tmp_path / "moved")
    write_records_card(moved, Corpus(moved).header)
    assert (moved / CARD).read_bytes() == first
    validate_corpus(moved)
    (moved / CARD).write_text("# mine")  # people edit cards
    validate_corpus(moved)


def test_renditions_have_a_card(
    tmp_path: Path, workshop: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from stemsmith.render.workflow import render_renditions

    options: Any = {"n_renditions": 2, "shifts_s": (0.0, 0.1), "min_notes": 1, "sample_rate": 8000}
    made = render_renditions(workshop / "scores" / "duets", tmp_path / "r", **options)
    loaded = load(made.root, "stems", tmp_path / "cache", monkeypatch)["corpus"]
    assert loaded.to_list() == made.stems.to_pylist()
    assert f"{len(made)} renditions of 2 scores" in (made.root / CARD).read_text()


def test_facts_are_those_of_the_records(corpus: Path) -> None:
    opened = Corpus(corpus)
    facts = corpus_facts(corpus, opened.header)
    songs, stems = opened.song_records(), opened.stem_records()
    assert facts.n_songs == opened.header["n_songs"]
    assert facts.hours == pytest.approx(sum(s.n_samples / s.sample_rate for s in songs) / 3600)
    assert facts.n_notes == sum(stem.n_notes for stem in stems)
    assert facts.n_rows == {"songs": len(songs), "stems": len(stems)}
    assert sum(facts.classes.values()) == len(stems)
    assert facts.licences == {"unknown": len(songs)}
    assert facts.licence == "unknown"


def test_a_card_claims_no_licence_that_is_not_on_record() -> None:
    font = FACTS.sounds[0]
    assert FACTS.licence == "cc0-1.0"
    assert replace(FACTS, licences={"CC0-1.0": 1, "unknown": 1}).licence == "unknown"
    assert replace(FACTS, licences={}).licence == "unknown"
    assert replace(FACTS, has_other_sounds=True).licence == "unknown"
    assert replace(FACTS, sounds=({**font, "licence": ""},)).licence == "unknown"
    assert replace(FACTS, sounds=({**font, "licence": "ask me"},)).licence == "other"
    assert replace(FACTS, licences={"CC-BY-4.0": 2}).licence == "other"
    several = front_matter(records_card(replace(FACTS, licences={"CC-BY-4.0": 2})))
    assert several["license_link"] == CARD
    assert front_matter(records_card(FACTS))["license"] == "cc0-1.0"


def test_the_hub_has_licences_in_its_own_spelling() -> None:
    assert [hub_licence(x) for x in ("MIT", "GPL-3.0-or-later", "CC0-1.0 OR MIT")] == [
        "mit",
        "gpl-3.0",
        "other",
    ]


def test_text_of_others_stays_in_its_cell() -> None:
    name = "a|b\n<script>alert(1)</script> [x](javascript:y) \u202e"
    cell = text_cell(name)
    assert "\n" not in cell and "<" not in cell and "\u202e" not in cell
    assert cell.count("|") == cell.count("\\|") == 1
    text = records_card(replace(FACTS, licences={name: 2}, sounds=()))
    (line,) = [line for line in text.splitlines() if "alert" in line]
    assert line.endswith(" | 2 |")
    whole = records_card(replace(FACTS, sounds=({"file": "f", "licence": "x" * 9999},)))
    assert len(whole) < 9999


@pytest.mark.parametrize(
    ("n_rows", "size"), [(999, "n<1K"), (1000, "1K<n<10K"), (10**8, "100M<n<1B")]
)
def test_sizes_as_the_hub_has_them(n_rows: int, size: str) -> None:
    text = records_card(replace(FACTS, n_rows={"songs": 1, "stems": n_rows}))
    assert front_matter(text)["size_categories"] == [size]
