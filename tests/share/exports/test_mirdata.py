"""mirdata's own loader of Slakh2100, on corpora and on what is exported for it."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from stemsmith.manifests.corpus import Corpus
from stemsmith.manifests.errors import InvalidCorpus, UsageError
from stemsmith.share import export_dataset, mirdata_dataset

if find_spec("mirdata") is None:
    pytest.skip("mirdata is not installed: pip install '.[share]'", allow_module_level=True)

# Of what it imports: audioread imports aifc, sunau and audioop.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ImportWarning")


def check(dataset: Any, root: Path) -> None:
    """Compare what mirdata loads with the corpus."""
    opened = Corpus(root)
    missing, invalid = dataset.validate(verbose=False)
    assert not any(missing.values()) and not any(invalid.values())
    assert dataset.mtrack_ids == list(opened)
    for name, song in opened.items():
        multitrack = dataset.multitrack(name)
        assert multitrack.split == song.record.split and multitrack.uuid == song.record.song_id  # type: ignore[union-attr]
        audio, rate = multitrack.audio
        assert rate == song.sample_rate and np.array_equal(np.atleast_2d(audio), song.mixture)
        assert [i.split("-")[1] for i in multitrack.track_ids] == list(song.stems)
        for stem in song.stems.values():
            track = dataset.track(f"{name}-{stem.name}")
            assert np.array_equal(np.atleast_2d(track.audio[0]), stem.audio)
            assert track.instrument == stem.record.inst_class
            assert track.split == stem.record.split
            heard = stem.record.n_notes - (getattr(stem.record, "n_notes_unheard", 0) or 0)
            assert sum(len(i.notes) for i in track.midi.instruments) == heard


def test_a_corpus_is_a_data_set_of_mirdata(corpus: Path, stereo: Path, workshop: Path) -> None:
    for folder in (corpus, stereo, workshop / "corpus"):
        check(mirdata_dataset(folder), folder)
    dataset = mirdata_dataset(Corpus(stereo))
    assert dataset.get_track_splits().keys() == {"train"}
    assert dataset.multitrack("Track00001").tracks["Track00001-S00"].is_drum is False


def test_an_export_is_read_with_and_without_stemsmith(
    stereo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    export_dataset(stereo, tmp_path / "x", "mirdata")
    check(mirdata_dataset(tmp_path / "x"), stereo)  # which imports it without its warnings
    from mirdata import core
    from mirdata.datasets import slakh

    index = core.Index(str(tmp_path / "x" / "slakh_index_stemsmith.json"))
    monkeypatch.setitem(slakh.INDEXES, "stemsmith", index)
    dataset = slakh.Dataset(data_home=str(tmp_path / "x"), version="stemsmith")
    check(dataset, stereo)


def test_songs_of_several_corpora_are_numbered_anew(stereo: Path, workshop: Path) -> None:
    export_dataset([stereo, "corpus"], "x", "mirdata")
    dataset = mirdata_dataset("x")
    assert dataset.mtrack_ids == [f"Track{number:05d}" for number in range(1, 6)]
    missing, invalid = dataset.validate(verbose=False)
    assert not any(missing.values()) and not any(invalid.values())


def test_damage_is_found(workshop: Path) -> None:
    export_dataset("corpus", "x", "mirdata")
    names = []
    for number, folder in enumerate(("corpus", "x/slakh2100_flac_redux")):
        song = workshop / folder / "train" / "Track00001"
        (song / "stems" / "S00.flac").unlink()
        path = song / "stems" / "S01.flac"
        data = bytearray(path.read_bytes())
        data[-1] ^= 1
        path.unlink()
        path.write_bytes(data)
        missing, invalid = mirdata_dataset(("corpus", "x")[number]).validate()
        names.append((list(missing["tracks"]), list(invalid["tracks"])))
    assert names == [(["Track00001-S00"], ["Track00001-S01"])] * 2


def test_what_is_no_corpus_of_songs_is_one_line(workshop: Path) -> None:
    with pytest.raises(UsageError, match="renditions: a corpus of renditions; mirdata reads"):
        mirdata_dataset("renditions")
    with pytest.raises(InvalidCorpus, match="mixtures: holds mixtures"):
        mirdata_dataset("mixtures")
    export_dataset("corpus", "x", "mirdata")
    path = workshop / "x" / "slakh_index_stemsmith.json"
    path.write_text(json.dumps({"version": "2100-redux", "tracks": []}))
    with pytest.raises(InvalidCorpus, match=r"slakh_index_stemsmith\.json: "):
        mirdata_dataset("x")


def test_soundfile_reads_what_mirdata_names(workshop: Path) -> None:
    track = mirdata_dataset("corpus").track("Track00003-S02")
    assert soundfile.info(track.audio_path).frames == 32000
    assert Path(track.audio_path).samefile(workshop / "corpus/test/Track00003/stems/S02.flac")
