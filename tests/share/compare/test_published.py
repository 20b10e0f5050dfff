"""Scores that others publish: each shape read, and everything that is none of them refused.

The shapes are those of sigsep/sigsep-mus-2018 at 62fb479e, ``submissions/IRM2/test/*.json`` and
museval's data frames of them, and of ``audio_separator/models-scores.json`` in
nomadkaraoke/python-audio-separator at 0a644dbb: numbers here are made up, names are theirs.
"""

from __future__ import annotations

import json
import math
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from stemsmith.manifests.errors import InvalidCorpus, UsageError
from stemsmith.share import compare_results
from stemsmith.share.compare.musdb18 import TEST_SONGS
from stemsmith.share.compare.published import read_published
from stemsmith.share.compare.systems import SongKind

TEST, TRAINING = "Arise - Run Run Run", "ANiMAL - Clinic A"


def of_model(*songs: tuple[str, float], target: str = "vocals") -> dict[str, Any]:
    """Return a model as models-scores.json has it, one of whose rows is of its speed alone."""
    rows: list[dict[str, Any]] = [
        {
            "track_name": song,
            "scores": {
                target: {"SDR": value, "SIR": 20.0, "SAR": 5.0, "ISR": 9.0},
                "seconds_per_minute_m3": 12.5,
            },
        }
        for song, value in songs
    ]
    rows.append({"track_name": "Flags - 54", "scores": {"seconds_per_minute_m3": 11.0}})
    return {"model_name": "MDX", "track_scores": rows, "median_scores": {}, "stems": [],
            "target_stem": None}  # fmt: skip


def write_models(path: Path, **models: Any) -> Path:
    path.write_text(json.dumps(models))
    return path


def write_track(path: Path, sdr: list[float], target: str = "vocals") -> None:
    frames = [
        {"time": k, "duration": 1.0, "metrics": {"SDR": v, "SIR": 1.0, "SAR": 2.0, "ISR": 3.0}}
        for k, v in enumerate(sdr)
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"targets": [{"name": target, "frames": frames}]}))


def test_the_test_songs_of_musdb18_are_fifty() -> None:
    assert len(TEST_SONGS) == 50
    assert TEST in TEST_SONGS and TRAINING not in TEST_SONGS


def test_models_with_scores_of_tracks(tmp_path: Path) -> None:
    path = write_models(
        tmp_path / "m.json",
        one=of_model((TRAINING, 7.5), (TRAINING, 7.5)),  # the file has rows twice
        two=of_model((TRAINING, 6.0), target="instrumental"),
        none={"model_name": "x", "track_scores": []},
    )
    one, two = read_published(path)
    assert (one.name, two.name) == ("one", "two")
    assert one.values["vocals", "SDR"] == {TRAINING: 7.5}
    assert two.targets == ["accompaniment"]
    assert one.parts == {TRAINING: SongKind.TRAINING}
    assert one.is_published and one.taxonomy is None


def test_a_row_that_is_there_twice_and_differs_is_refused(tmp_path: Path) -> None:
    path = write_models(tmp_path / "m.json", one=of_model((TEST, 1.0), (TEST, 2.0)))
    with pytest.raises(InvalidCorpus, match="one has two different scores of Arise"):
        read_published(path)


def test_folders_of_museval_are_medians_of_frames(tmp_path: Path) -> None:
    write_track(tmp_path / "UHL2" / "test" / f"{TEST}.json", [1, 9, math.nan, 4, math.inf])
    write_track(tmp_path / "UHL2" / "train" / f"{TRAINING}.json", [3])
    write_track(tmp_path / "MIX" / "test" / f"{TEST}.json", [math.nan])
    mix, uhl2 = read_published(tmp_path)
    assert (mix.name, uhl2.name) == ("MIX", "UHL2")
    assert uhl2.values["vocals", "SDR"] == {TEST: 4.0, TRAINING: 3.0}
    assert uhl2.parts == {TEST: SongKind.TEST, TRAINING: SongKind.TRAINING}
    assert math.isnan(mix.values["vocals", "SDR"][TEST])
    (alone,) = read_published(tmp_path / "UHL2")
    assert (alone.name, alone.values) == ("UHL2", uhl2.values)


@pytest.mark.parametrize(
    "text",
    [
        f"method,track,target,metric,score,time\nX,{TEST},vocals,SDR,1,0\nX,{TEST},vocals,SDR,3,1\n"
        f"X,{TEST},vocals,SDR,,2\nX,{TEST},vocals,SI-SNR,9,2\n",
        f",method,track,target,SDR,n_frames\n0,X,{TEST},vocals,2.0,99\n",
    ],
)
def test_tables_have_a_row_a_frame_or_a_row_a_song(tmp_path: Path, text: str) -> None:
    path = tmp_path / "scores.CSV"
    path.write_text(text)
    (system,) = read_published(path)
    assert system.values == {("vocals", "SDR"): {TEST: 2.0}}


@pytest.mark.parametrize(
    ("name", "content", "text"),
    [
        ("x.json", "{", "cannot be read as JSON"),
        ("x.json", "[1]", "it is not a table of names and values; expected museval's"),
        ("x.json", '{"m": {"track_scores": [{"track_name": 3}]}}', "track_name is not text"),
        ("x.json", "{}", "has no scores of SDR"),
        (
            "x.json",
            '{"m": {"track_scores": [{"track_name": "a", "scores": {"v": {"SDR": "7 dB"}}}]}}',
            "SDR of m, a, v is '7 dB': not a number of dB",
        ),
        (
            "x.json",
            '{"m": {"track_scores": [{"track_name": "a", "scores": {"v": {"SDR": 1e4}}}]}}',
            "SDR of m, a, v is 10000: not in dB",
        ),
        ("x.csv", "song,value\na,1\n", "expected museval's"),
        ("x.csv", 'method,track,target,SDR\nX,a,v,"7,5"\n', "line 2: SDR is '7,5': not a number"),
        ("x.csv", "method,track,target,SDR\nX,,v,7\n", "line 2: no method, track or target"),
        ("x.csv", "method,track,target,SDR\nX,a\n", "line 2: no method, track or target"),
        ("x.csv", "method,track,target,SI-SNR\nX,a,v,7\n", "expected museval's"),
        ("x.csv", "method,track,target,SDR\n", "has no scores of SDR"),
        ("x.csv", b"\xff\xfe\x00", "not CSV in UTF-8"),
        ("x.txt", "", "no published scores: expected museval's"),
        ("x.pandas", pickle.dumps([1]), "pickled Python, which is not read; save it as CSV"),
        ("folder/x.json", '{"targets": 3}', "no scores in museval's format"),
        ("folder/x.txt", "", "no published scores: expected museval's"),
    ],
)
def test_what_is_damaged_or_something_else_is_one_line(
    tmp_path: Path, name: str, content: str | bytes, text: str
) -> None:
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    given = path.parent if name.startswith("folder") else path
    with pytest.raises((InvalidCorpus, UsageError)) as caught:
        read_published(given)
    assert text in str(caught.value) and str(given) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_what_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such file of published scores"):
        read_published(tmp_path / "x.json")


def test_published_rows_are_compared_on_common_songs_and_never_mixed(
    tmp_path: Path, make_results: Callable[..., Path]
) -> None:
    songs = [TEST, "Al James - Schoolboy Facination"]
    own = make_results("own", {"vocals": [3, 4], "bass": [1, 1]}, "SDR", songs=songs)
    path = write_models(
        tmp_path / "m.json",
        covers=of_model((songs[0], 2.0), (songs[1], 1.0), (TRAINING, 9.0)),
        few=of_model((TRAINING, 8.0)),
    )
    found = compare_results([own], path)
    assert found.systems == ("own", "covers")
    (table,) = found.tables  # nothing of ours is of a training song
    assert table.part is SongKind.TEST
    assert [(c.target, c.songs) for c in table.columns] == [("vocals", tuple(sorted(songs)))]
    assert table.differences[0].difference == -2.0  # the median of -1 and -3
    assert "left out, with less than half of the 2 songs: few" in found.notes
    assert {row.part: row.songs for row in found.left_out} == {SongKind.TRAINING: (TRAINING,)}
    assert [row.reason for row in found.left_out] == ["not scored in own"]
    # Two systems that were scored on training songs have a table of those.
    alone = compare_results([], path, methods=["few", "covers"])
    assert {t.part for t in alone.tables} == {SongKind.TRAINING}
    assert alone.tables[0].differences[0].difference == 1.0
    assert any("SIR and SAR depend on the sources" in note for note in alone.notes)
    with pytest.raises(UsageError, match=r"--method X: not in .*m\.json; there are covers, few"):
        compare_results([own], path, methods=["X"])
    with pytest.raises(UsageError, match=r"own has 2 test songs .*, few has 1 training song"):
        compare_results([own], path, methods=["few"])
    more = write_models(
        tmp_path / "n.json", x=of_model((TRAINING, 8.0)), y=of_model((TRAINING, 9.0))
    )
    with pytest.raises(UsageError, match="no song in common"):  # but for the published ones
        compare_results([own], more)
