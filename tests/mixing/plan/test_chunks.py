"""Chunks that pairings draw from (Chiu et al. 2020), levels, and combinations of a song's stems."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyloudnorm
import pytest
import soundfile
from stemsmith.manifests.cache import cache_folder
from stemsmith.manifests.errors import NothingToDo, UsageError
from stemsmith.manifests.mixtures import MixtureSource
from stemsmith.manifests.records import Rejection
from stemsmith.mixing import Mixtures, mix
from stemsmith.mixing.plan.config import MixConfig, Mode, Pairing
from stemsmith.mixing.plan.partners import PairResult, PartnerSearch
from stemsmith.mixing.sources import measure
from stemsmith.mixing.sources.catalogue import SplitCatalogue
from stemsmith.mixing.sources.find import find_sources, read_stems
from stemsmith.mixing.sources.taxonomy import read_taxonomy
from stemsmith.mixing.workflow import validate_mixtures

RATE = 8000
QUICK: dict[str, Any] = {"taxonomy": "violin-piano", "clip_s": 0.5}
# Seconds of each solo; the second half of the last of each is silent.
SOLOS = {"violin": (1.5, 3.0, 2.2), "piano": (0.5, 4.0, 1.0)}
METER = pyloudnorm.Meter(RATE, filter_class="DeMan")


def write(path: Path, seconds: float, seed: int, silent_from_s: float = np.inf) -> None:
    """Write noise of some level and colour that the seed decides."""
    rng = np.random.default_rng(seed)
    audio = rng.standard_normal(round(seconds * RATE)) * 10 ** rng.uniform(-2.2, -1)
    audio = np.convolve(audio, np.ones(1 + seed % 7) / (1 + seed % 7), "same")
    if silent_from_s < seconds:
        audio[round(silent_from_s * RATE) :] = 0
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, audio, RATE, subtype="FLOAT")


@pytest.fixture(scope="module")
def solos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("solos")
    for j, (part, lengths) in enumerate(SOLOS.items()):
        for k, seconds in enumerate(lengths):
            silent_from_s = seconds / 2 if k == 2 else np.inf
            write(folder / "train" / part / f"{k}.wav", seconds, 10 * j + k, silent_from_s)
    return folder


def chunks(part: str, *, is_silent: bool = True) -> set[tuple[str, int]]:
    """Return the path and the first sample of every chunk of a part."""
    found = set()
    for k, seconds in enumerate(SOLOS[part]):
        for first in range(int(seconds / 0.5)):
            if is_silent or k < 2 or first * 0.5 < seconds / 2:
                found.add((f"train/{part}/{k}.wav", first * RATE // 2))
    return found


def drawn(mixtures: Mixtures, part: str) -> Counter[tuple[str, int]]:
    return Counter(
        (source.path, source.start)
        for record in mixtures.records()
        for source in record.sources
        if source.group == part
    )


LOOSE = {"random": None, "correlation": -1.0, "pearson": -1.0}


@pytest.mark.parametrize("pairing", LOOSE)
def test_random_and_the_pairings_see_the_same_chunks(
    solos: Path, tmp_path: Path, pairing: str
) -> None:
    made = mix(
        f"folder:{solos}", tmp_path / "m", mode="incoherent", pairing=pairing, n_mixtures=1500,
        target="violin", pairing_threshold=LOOSE[pairing], **QUICK,
    )  # fmt: skip
    for part in SOLOS:
        assert set(drawn(made, part)) == chunks(part)
    assert made.header["config"]["is_chunked"] is True


def test_chroma_sees_the_same_chunks_and_lets_silence_meet_nothing(solos: Path) -> None:
    sources = find_sources([f"folder:{solos}"], cache_folder())
    cache_folder().mkdir(parents=True, exist_ok=True)
    measured = {}
    for job in sources[0].jobs:
        one = measure.measure_file(job)
        assert not isinstance(one, Rejection)
        measured[job] = one
    stems = read_stems(sources, measured, 1)
    catalogue = SplitCatalogue(stems, read_taxonomy("violin-piano"))
    config = MixConfig(mode=Mode.INCOHERENT, pairing=Pairing.CHROMA, clip_s=0.5)
    search = PartnerSearch(catalogue, config, {"folder": str(solos)})
    jobs = list(search.jobs())
    none, results = np.zeros(0), []
    for job in jobs:
        places = [(str(Path(c.path).relative_to(solos.resolve())), c.start) for c in job.clips]
        assert len(places) == len(chunks(job.group))
        assert set(places) == chunks(job.group)
        sounds = [place in chunks(job.group, is_silent=False) for place in places]
        values = np.outer(sounds, np.ones(12)).astype(np.float32)
        results.append(PairResult(job.group, job.first, values, none, none))
    found = search.partners(results)
    n_sounding = {part: len(chunks(part, is_silent=False)) for part in SOLOS}
    assert len(found.clips[found.anchor]) == n_sounding[found.anchor]
    (other,) = found.may_meet
    assert (found.may_meet[other].sum(axis=1) == n_sounding[other]).all()


def test_random_draws_all_chunks_alike(solos: Path, tmp_path: Path) -> None:
    options: dict[str, Any] = {"mode": "incoherent", "pairing": "random", **QUICK}
    made = mix(f"folder:{solos}", tmp_path / "m", n_mixtures=4000, **options)
    for part in SOLOS:
        counts, n = drawn(made, part), len(chunks(part))
        expected = 4000 / n
        statistic = sum((counts[chunk] - expected) ** 2 / expected for chunk in chunks(part))
        assert statistic < n + 5 * np.sqrt(2 * n)  # chi squared of n - 1 degrees
    # Without a pairing a clip begins anywhere, on 100 ms, where the stem sounds.
    del options["pairing"]
    slakh = mix(f"folder:{solos}", tmp_path / "s", n_mixtures=1500, **options)
    assert {start % (RATE // 2) for _, start in drawn(slakh, "violin")} == {
        k * RATE // 10 for k in range(5)
    }
    sounding = {"train/violin/2.wav": 1.1 * RATE}
    assert all(start < sounding.get(path, np.inf) for path, start in drawn(slakh, "violin"))


def test_a_level_that_is_asked_for_holds_for_all_pairings_alike(
    solos: Path, tmp_path: Path
) -> None:
    found = {}
    for pairing in ("random", "pearson"):
        made = mix(
            f"folder:{solos}", tmp_path / pairing, mode="incoherent", pairing=pairing,
            pairing_threshold=LOOSE[pairing], target="violin", min_rms_dbfs=-50, n_mixtures=1500,
            **QUICK,
        )  # fmt: skip
        found[pairing] = {part: set(drawn(made, part)) for part in SOLOS}
    assert found["random"] == found["pearson"]
    assert found["random"]["piano"] == chunks("piano")
    assert found["random"]["violin"] < chunks("violin")


@pytest.mark.parametrize("level", ["native", "equal"])
def test_chunks_keep_their_levels_or_are_equally_loud(
    solos: Path, tmp_path: Path, level: str
) -> None:
    made = mix(
        f"folder:{solos}", tmp_path / "m", mode="incoherent", pairing="random", level=level,
        n_mixtures=40, **QUICK,
    )  # fmt: skip
    n_silent = 0
    for stored in made:
        audio = stored.realise()
        for source in stored.record.sources:
            given = soundfile.read(
                solos / source.path, start=source.start, frames=RATE // 2, dtype="float32"
            )[0]
            n_silent += not given.any()
            if level == "native":
                assert source.gain_db == 0
            elif np.abs(given[: RATE // 10]).max() and np.abs(given[-RATE // 10 :]).max():
                gain = 10 ** (source.gain_db / 20)
                assert METER.integrated_loudness(given * gain) == pytest.approx(-25, abs=0.1)
            guard = 10 ** (audio.guard_gain_db / 20)
            expected = given * guard * 10 ** (source.gain_db / 20)
            np.testing.assert_allclose(audio[source.group][0], expected, atol=1e-6)
    assert n_silent
    assert validate_mixtures(made).n_mixtures == len(made)


# ---------------------------------------------------------------------------------------------
# Songs


@pytest.fixture(scope="module")
def songs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return six songs with 1, 2, 2, 3, 4 and 4 violins, a piano and a cello, and one without."""
    folder = tmp_path_factory.mktemp("songs")
    for k, n_violins in enumerate((1, 2, 2, 3, 4, 4)):
        names = ["piano", "cello", *(f"violin{j}" for j in range(n_violins))]
        for j, name in enumerate(names):
            write(folder / f"Song {k}" / f"{name}.wav", 1.26 + 0.1 * (k == 3), 20 * k + j)
    write(folder / "Song 6" / "piano.wav", 1, 200)
    return folder


TAXONOMY = '[targets]\nviolin = ["violin0", "violin1", "violin2", "violin3"]\npiano = ["piano"]\n'


def every_choice(songs: Path, folder: Path, **options: Any) -> Mixtures:
    (folder / "duo.toml").write_text(TAXONOMY)
    return mix(
        f"folder:{songs}", folder / "m", mode="combinations", taxonomy=str(folder / "duo.toml"),
        **options,
    )  # fmt: skip


def test_every_violin_of_a_song_meets_its_piano(songs: Path, tmp_path: Path) -> None:
    made = every_choice(songs, tmp_path)
    assert made.splits == {"test": 16}  # Chiu et al. 2020, section III-B
    found = set()
    for stored in made:
        record, audio = stored.record, stored.realise()
        (song,) = {source.path.partition("/")[0] for source in record.sources}
        names = sorted(Path(source.path).stem for source in record.sources)
        found.add((song, *names))
        assert record.n_samples == (12 + (song == "Song 3")) * RATE // 10  # whole 100 ms
        guard = 10 ** (audio.guard_gain_db / 20)
        total = sum(
            soundfile.read(songs / source.path, dtype="float32")[0][: record.n_samples]
            for source in record.sources
        )
        np.testing.assert_allclose(audio["mixture"][0], total * guard, atol=1e-6)
    assert found == {
        (f"Song {k}", "piano", f"violin{j}")
        for k, n in enumerate((1, 2, 2, 3, 4, 4))
        for j in range(n)
    }
    assert validate_mixtures(made).n_mixtures == 16
    reasons = {row.id: row.reason for row in made.rejection_records()}
    cellos = {f"folder:Song {k}/cello.wav": "no-target" for k in range(6)}
    assert reasons == {"folder:Song 6/piano.wav": "no-partner", **cellos}


def test_combinations_in_blocks_equally_loud(songs: Path, tmp_path: Path) -> None:
    made = every_choice(songs, tmp_path, clip_s=0.6, level="equal", target_lufs=-30)
    assert made.splits == {"test": 2 * 16}
    for record in itertools.islice(made.records(), 8):
        assert record.n_samples == 0.6 * RATE
        for source in record.sources:
            whole = soundfile.read(songs / source.path)[0][: 12 * RATE // 10]
            levelled = whole * 10 ** (source.gain_db / 20)
            assert METER.integrated_loudness(levelled) == pytest.approx(-30, abs=0.05)


def test_the_loudest_target_of_a_combination_may_be_muted(songs: Path, tmp_path: Path) -> None:
    made = every_choice(songs, tmp_path, clip_s=0.4, augment="instrument")

    def power(source: MixtureSource) -> float:
        part = slice(source.start, source.start + source.n_read)
        return float(np.square(soundfile.read(songs / source.path)[0][part]).sum())

    muted = [[bool(source.transforms) for source in record.sources] for record in made.records()]
    loudest = [int(np.argmax([*map(power, record.sources)])) for record in made.records()]
    is_loudest = [row[k] for row, k in zip(muted, loudest, strict=True)]
    assert 0.15 < np.mean(is_loudest) < 0.55  # each target or none, 1/3 each
    assert 0.5 < np.mean([any(row) for row in muted]) < 0.85


def test_combinations_that_cannot_be(songs: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--mode combinations makes all of them: not with --mix"):
        every_choice(songs, tmp_path, n_mixtures=3)
    with pytest.raises(UsageError, match="--source-hours: not with --mode combinations"):
        every_choice(songs, tmp_path, source_hours=3)
    with pytest.raises(NothingToDo, match="no song has a stem and a stem of another target"):
        mix(f"folder:{songs}", tmp_path / "m", mode="combinations", songs="Song 6")


@pytest.mark.parametrize("mode", ["coherent", "across"])
@pytest.mark.parametrize("level", ["native", "equal"])
def test_levels_of_foreign_songs(songs: Path, tmp_path: Path, mode: str, level: str) -> None:
    (tmp_path / "duo.toml").write_text(TAXONOMY)
    options: dict[str, Any] = {"coherence": 0.5} if mode == "across" else {}
    made = mix(
        f"folder:{songs}", tmp_path / "m", mode=mode, level=level, n_mixtures=30, clip_s=0.5,
        min_rms_dbfs=-60, taxonomy=str(tmp_path / "duo.toml"), **options,
    )  # fmt: skip
    n_foreign = 0
    for record in made.records():
        own = Counter(source.song_id for source in record.sources).most_common()[0][0]
        for source in record.sources:
            if level == "native":
                assert (source.gain_db, source.target_lufs) == (0, None)
                continue
            audio = soundfile.read(songs / source.path)[0]
            whole = audio[: len(audio) // (RATE // 10) * (RATE // 10)]
            clip = audio[source.start : source.start + source.n_read]
            gain = 10 ** (source.gain_db / 20)
            levels = [METER.integrated_loudness(a * gain) for a in (whole, clip)]
            assert min(abs(found + 25) for found in levels) < 0.1, source.stem_id
            n_foreign += source.song_id != own
    assert (n_foreign > 0) == (mode == "across" and level == "equal")
    said = made.header["config"]
    assert said.get("level") == (None if (mode, level) == ("coherent", "native") else level)


def test_a_level_is_no_choice_where_sources_keep_theirs(here: Callable[..., Any]) -> None:
    done = here("mix", "nowhere", "m", "--target-lufs", -20)
    assert (done.returncode, done.stderr.splitlines()[-1]) == (
        2,
        "Error: --target-lufs: not with --mode coherent, whose sources keep their levels but for "
        "--level equal",
    )
