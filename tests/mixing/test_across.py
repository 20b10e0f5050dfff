"""The dial between coherent and incoherent mixtures, and sources that match an anchor."""

from __future__ import annotations

import dataclasses
import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mido
import numpy as np
import pytest
import soundfile
import stemsmith
from soundfont_maker import ATTACK, SAMPLE_MODES, Program, Sample, Zone, tone, write_sf2
from stemsmith.manifests.arrays import Float64s
from stemsmith.manifests.corpus import Corpus
from stemsmith.manifests.errors import InvalidCorpus, NothingToDo, UsageError
from stemsmith.manifests.matched import MatchedStem
from stemsmith.manifests.mixtures import Mixture
from stemsmith.manifests.shards import read_records, write_records
from stemsmith.mixing.level.gains import db_to_linear
from stemsmith.mixing.level.loudness import envelope, loudness_when_played_at
from stemsmith.mixing.plan.config import Match
from stemsmith.mixing.validate import plan_checks

RATE = 16000
PARTS = {"piano": (0, 0), "bass": (33, 1), "guitar": (27, 2), "drums": (0, 9)}
# Tempo in quarter notes a minute, key (its lowest note), quarter notes of a bar.
SONGS = ((100, 48, 4), (112, 50, 4), (120, 53, 4), (126, 55, 4), (133, 57, 4), (120, 52, 3))
CHORDS = ((0, 4, 7), (5, 9, 12), (7, 11, 14), (0, 4, 7))
MAJOR = (0, 2, 4, 5, 7, 9, 11, 12)
QUICK = {"clip_s": 4, "min_rms_dbfs": -60, "splits": ("train",)}
MATCHES = tuple(match for match in Match if match is not Match.NONE)


def write_music(path: Path, bpm: float, key: int, bar: int, seed: int, n_bars: int = 24) -> Path:
    """Write a song whose notes lie on eighths, chords and bass on beats, in one key."""
    rng = np.random.default_rng(seed)
    file = mido.MidiFile(ticks_per_beat=480)
    meter = mido.MetaMessage("time_signature", numerator=bar, denominator=4)
    file.tracks.append([mido.MetaMessage("set_tempo", tempo=round(6e7 / bpm)), meter])
    for name, (program, channel) in PARTS.items():
        events: list[tuple[int, str, int]] = []
        for beat in range(n_bars * bar):
            chord = [key + note for note in CHORDS[beat // bar % 4]]
            for half in (0, 240):
                notes = {
                    "piano": chord if not half else [],
                    "bass": [chord[0] - 12] if not half else [],
                    "guitar": [key + 12 + int(rng.choice(MAJOR))],
                    "drums": [36] if not half else [],
                }[name]
                for note in notes:
                    start = beat * 480 + half
                    events += [(start, "note_on", note), (start + 190, "note_off", note)]
        track = mido.MidiTrack([mido.Message("program_change", program=program, channel=channel)])
        now = 0
        for tick, kind, note in sorted(events):
            message = mido.Message(kind, note=note, velocity=90, channel=channel, time=tick - now)
            track.append(message)
            now = tick
        file.tracks.append(track)
    path.parent.mkdir(parents=True, exist_ok=True)
    file.save(path)
    return path


def write_font(path: Path) -> Path:
    """Write tones that begin at once for three programs, and a click for drums."""
    sharp = {ATTACK: -12000}
    click = Sample(0.8 * np.exp(-np.arange(4000) / 400) * np.sign(np.sin(np.arange(4000) / 9)))
    instruments = [[Zone(0, generators={SAMPLE_MODES: 1, **sharp})], [Zone(1, generators=sharp)]]
    programs = [Program([Zone(0)], 0, number, f"tone {number}") for number in (0, 27, 33)]
    programs.append(Program([Zone(1)], 128, 0, "click"))
    return write_sf2(path, [tone("square"), click], instruments, programs)


def rendered(folder: Path, font: Path, songs: Any = SONGS, **options: Any) -> Path:
    for k, (bpm, key, bar) in enumerate(songs):
        write_music(folder / "midi" / f"song{k}.mid", bpm, key, bar, k)
    stemsmith.render_corpus(
        folder / "midi",
        folder / "corpus",
        soundfonts=[font],
        min_notes=1,
        sample_rate=RATE,
        splits="1,0,0",
        near_duplicates=False,
        audit=False,
        **options,
    )
    return folder / "corpus"


@pytest.fixture(scope="module")
def font(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_font(tmp_path_factory.mktemp("font") / "sharp.sf2")


@pytest.fixture(scope="module")
def music(tmp_path_factory: pytest.TempPathFactory, font: Path) -> Path:
    return rendered(tmp_path_factory.mktemp("music"), font)


@pytest.fixture(scope="module")
def matched(
    tmp_path_factory: pytest.TempPathFactory, music: Path, font: Path
) -> dict[Match, stemsmith.Mixtures]:
    """Return mixtures of nothing but an anchor and what matches it, for every kind of match."""
    folder = tmp_path_factory.mktemp("matched")
    return {
        match: stemsmith.mix(
            music,
            folder / match.name,
            mode="across",
            coherence=0,
            match=match,
            n_mixtures=40,
            soundfonts=[font],
            **QUICK,
        )
        for match in MATCHES
    }


def records(mixtures: stemsmith.Mixtures) -> list[Mixture]:
    return list(mixtures.records())


def across(music: Path, folder: Path, coherence: float, **options: Any) -> list[Mixture]:
    values = {**QUICK, "n_mixtures": 60, **options}
    return records(
        stemsmith.mix(music, folder / f"p{coherence}", mode="across", coherence=coherence, **values)
    )


def tree(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


# ---------------------------------------------------------------------------------------------
# The dial


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"target": "bass"},
        {"augment": ("gain", "polarity"), "n_channels": 2},
    ],
)
def test_the_ends_of_the_dial_are_the_other_modes(
    music: Path, tmp_path: Path, options: dict[str, Any]
) -> None:
    for coherence, mode in ((1, "coherent"), (0, "incoherent")):
        wanted = stemsmith.mix(music, tmp_path / mode, mode=mode, n_mixtures=60, **QUICK, **options)
        assert across(music, tmp_path, coherence, **options) == records(wanted)


def test_coherent_sources_match_anything(music: Path, tmp_path: Path) -> None:
    plain = across(music, tmp_path / "plain", 1)
    assert across(music, tmp_path / "matched", 1, match="key,tempo") == plain
    assert not (tmp_path / "matched" / "p1" / "matched").exists()


def test_sources_are_of_the_anchors_song_as_often_as_asked(music: Path, tmp_path: Path) -> None:
    """And the more, the higher the coherence: those that were before stay."""
    own: dict[float, set[tuple[str, str]]] = {}
    n = 200
    for coherence in (0.25, 0.5, 0.75):
        mixtures = across(music, tmp_path, coherence, target="bass", n_mixtures=n)
        own[coherence] = set()
        for mixture in mixtures:
            (anchor,) = (s for s in mixture.sources if s.group == "bass")
            for source in mixture.sources:
                is_own = source.song_id == anchor.song_id and source.start == anchor.start
                if is_own and source is not anchor:
                    own[coherence].add((mixture.mixture_id, source.group))
        deviation = np.sqrt(coherence * (1 - coherence) * 3 * n)
        assert abs(len(own[coherence]) - coherence * 3 * n) < 4 * deviation
    assert own[0.25] < own[0.5] < own[0.75]


def test_what_is_no_coherent_source_is_the_incoherent_one(music: Path, tmp_path: Path) -> None:
    coherent, incoherent = (across(music, tmp_path, p, target="bass") for p in (1, 0))
    modes = set()
    for mixture, own, other in zip(
        across(music, tmp_path, 0.5, target="bass"), coherent, incoherent, strict=True
    ):
        modes.add(mixture.mode)
        if mixture.mode != "across":
            assert mixture in (own, other)
            continue
        gains = set()
        by_group = {source.group: source for source in own.sources}
        for source in mixture.sources:
            if source in other.sources:
                continue
            kept = by_group[source.group]
            gains.add(round(source.gain_db - kept.gain_db, 3))
            assert dataclasses.replace(source, gain_db=kept.gain_db) == kept
        assert len(gains) == 1  # their levels to each other stay
    assert modes == {"coherent", "incoherent", "across"}


@pytest.mark.parametrize("level_lufs", [-25.0, -31.0])
def test_the_anchor_is_as_loud_as_sources_of_other_songs(
    music: Path, tmp_path: Path, level_lufs: float
) -> None:
    made = across(music, tmp_path, 0.5, target="bass", target_lufs=level_lufs)
    found = [m for m in made if m.mode == "across"]
    for mixture in found[:10]:
        (anchor,) = (source for source in mixture.sources if source.group == "bass")
        audio, _ = soundfile.read(music / anchor.path)
        clip = audio[anchor.start : anchor.start + anchor.n_read] * db_to_linear(anchor.gain_db)
        levels = envelope(clip.astype(np.float32)[np.newaxis], RATE)
        loudness_lufs = loudness_when_played_at(levels.k_power, level_lufs)
        assert loudness_lufs == pytest.approx(level_lufs, abs=0.1)


def test_the_mixtures_of_a_longer_set_begin_with_those_of_a_shorter(
    music: Path, tmp_path: Path
) -> None:
    short = across(music, tmp_path / "short", 0.5, n_mixtures=20)
    assert across(music, tmp_path / "long", 0.5, n_mixtures=50)[:20] == short


# ---------------------------------------------------------------------------------------------
# What matches


def is_largest(source: Float64s, anchor: Float64s) -> bool:
    found = [np.corrcoef(np.roll(source, shift), anchor)[0, 1] for shift in range(12)]
    return int(np.argmax(found)) == 0


@pytest.mark.parametrize("match", MATCHES)
def test_no_other_transposition_correlates_more_with_the_anchor(
    matched: dict[Match, stemsmith.Mixtures], match: Match
) -> None:
    n_pairs, transpositions = 0, set()
    for mixture in matched[match]:
        labels = mixture.labels()
        assert not labels.unlabelled
        chroma = {
            group: np.bincount(notes.pitch % 12, notes.offset - notes.onset, minlength=12)
            for group, notes in labels.items()
        }
        for source in mixture.record.sources:
            if source.match is None:
                continue
            said = json.loads(source.match)
            transpositions.add(said["transposition"])
            assert source.group != "drums" or said["transposition"] == 0
            assert source.song_id != said["anchor_song"]
            if "drums" not in (source.group, said["anchor_group"]):
                assert is_largest(chroma[source.group], chroma[said["anchor_group"]])
                n_pairs += 1
    assert n_pairs > 20
    assert len(transpositions) > 5
    assert max(map(abs, transpositions)) <= 6


def beats_of(record: Mixture, music: Path) -> tuple[float, float, int]:
    """Return the first beat of the anchor in a mixture and its distance, in s, and its bar."""
    said = next(json.loads(s.match) for s in record.sources if s.match is not None)
    anchor = next(s for s in record.sources if s.group == said["anchor_group"])
    (song,) = (s for s in Corpus(music).song_records() if s.song_id in anchor.song_id)
    bpm, _, bar = SONGS[int(song.source.removeprefix("song").removesuffix(".mid"))]
    beat_s = round(6e7 / bpm) / 1e6
    return -anchor.start / RATE, beat_s, bar


@pytest.mark.parametrize("match", [Match.TEMPO, Match.DOWNBEAT])
def test_notes_fall_on_the_anchors_beats(
    matched: dict[Match, stemsmith.Mixtures], match: Match, music: Path
) -> None:
    n_notes = 0
    for mixture in matched[match]:
        first_s, beat_s, _ = beats_of(mixture.record, music)
        for notes in mixture.labels().values():
            # Every note of these songs is on a half of a beat.
            onset_s = notes.onset[notes.is_onset_inside] / RATE
            halves = (onset_s - first_s) / (beat_s / 2)
            assert np.abs(halves - np.rint(halves)).max(initial=0) * beat_s / 2 < 0.005
            n_notes += len(onset_s)
    assert n_notes > 1000


@pytest.mark.parametrize("match", [Match.TEMPO, Match.DOWNBEAT])
def test_clicks_sound_at_the_anchors_beats(
    matched: dict[Match, stemsmith.Mixtures], match: Match, music: Path
) -> None:
    """In the audio, whose labels are not asked."""
    n_clicks = 0
    for mixture in matched[match]:
        drums = [s for s in mixture.record.sources if s.group == "drums" and s.match is not None]
        if not drums:
            continue
        first_s, beat_s, _ = beats_of(mixture.record, music)
        audio = np.abs(mixture.realise()["drums"][0])
        is_loud = audio > 0.2 * audio.max()
        quiet = np.convolve(is_loud, np.ones(800))[: len(audio)] - is_loud  # in the 50 ms before
        clicks = np.flatnonzero(is_loud & (quiet == 0))
        clicks = clicks[clicks > 800]  # what is before the clip is not known
        beats = (clicks / RATE - first_s) / beat_s
        assert np.abs(beats - np.rint(beats)).max() * beat_s < 0.005
        n_clicks += len(clicks)
    assert n_clicks > 100


def test_bars_begin_together(matched: dict[Match, stemsmith.Mixtures], music: Path) -> None:
    songs = {s.song_id: s.source for s in Corpus(music).song_records()}
    n_sources = 0
    for mixture in matched[Match.DOWNBEAT]:
        first_s, beat_s, bar = beats_of(mixture.record, music)
        for source in mixture.record.sources:
            if source.match is None:
                continue
            said = json.loads(source.match)
            own = SONGS[int(songs[source.song_id.partition(":")[2]][4])]
            assert own[2] == bar
            away = (said["tempo_map"][0][0] - -first_s / beat_s) / bar
            assert away == pytest.approx(round(away), abs=1e-4)
            n_sources += 1
    assert n_sources > 60


def test_tempi_are_near_each_other(matched: dict[Match, stemsmith.Mixtures]) -> None:
    for mixture in matched[Match.TEMPO]:
        for source in mixture.record.sources:
            if source.match is not None:
                (a, begin_s), *_, (b, end_s) = json.loads(source.match)["tempo_map"]
                assert begin_s == 0
                assert end_s == pytest.approx(4, abs=1e-6)
                assert 100 / 1.001 <= 60 * (b - a) / 4 <= 133 * 1.001


def test_what_matches_is_as_loud_as_an_incoherent_source(
    matched: dict[Match, stemsmith.Mixtures],
) -> None:
    for mixtures in matched.values():
        for mixture in mixtures[:8]:
            made = mixture.realise()
            for source in mixture.record.sources:
                levels = envelope(made[source.group], RATE)
                loudness_lufs = loudness_when_played_at(levels.k_power, -25.0)
                assert loudness_lufs == pytest.approx(-25 + made.guard_gain_db, abs=0.1)


# ---------------------------------------------------------------------------------------------
# The folder of what was rendered


def stored(mixtures: stemsmith.Mixtures) -> list[MatchedStem]:
    return Corpus(mixtures.root / "matched").matched_stem_records()


def test_what_was_rendered_is_recorded(matched: dict[Match, stemsmith.Mixtures]) -> None:
    mixtures = matched[Match.DOWNBEAT]
    by_path = {stem.path: stem for stem in stored(mixtures)}
    files = {p.relative_to(mixtures.root / "matched") for p in mixtures.root.rglob("*.flac")}
    assert {Path(path) for path in by_path} == files
    named = [s for r in records(mixtures) for s in r.sources if s.root == "matched"]
    assert {source.path for source in named} == set(by_path)
    for source in named:
        stem, said = by_path[source.path], json.loads(str(source.match))
        assert stem.sha256 == source.sha256
        assert stem.transposition == said["transposition"]
        assert json.loads(stem.tempo_map) == said["tempo_map"]
        assert f"corpus:{stem.song_id}/{stem.stem}" == source.stem_id
        info = soundfile.info(mixtures.root / "matched" / stem.path)
        assert (info.frames, info.samplerate) == (stem.n_samples, RATE)
        assert stem.n_samples == source.n_stem_samples == RATE * 42 // 10
    assert stemsmith.validate(mixtures.root).root == mixtures.root


def test_the_same_excerpt_is_rendered_once(
    matched: dict[Match, stemsmith.Mixtures], music: Path, font: Path, tmp_path: Path
) -> None:
    """Another set of mixtures that wants it has the same file by the same name."""
    options = {"n_mixtures": 12, "soundfonts": [font], **QUICK}
    short = stemsmith.mix(music, tmp_path / "s", mode="across", coherence=0, match="key", **options)
    files = tree(matched[Match.KEY].root / "matched" / "stems")
    few = tree(short.root / "matched" / "stems")
    assert few.items() < files.items()
    assert records(short) == records(matched[Match.KEY])[:12]


def test_an_excerpt_as_it_was_is_that_of_its_stem(music: Path, font: Path) -> None:
    """Rendered again without any change, it has the samples of the corpus."""
    from stemsmith.mixing.plan.matcher import WantedStem
    from stemsmith.render.matched.grid import CorpusScore, StemToMatch
    from stemsmith.render.matched.render import MatchJob, MatchSpec, render_matches
    from stemsmith.render.sound.mono import MonoFrom

    corpus = Corpus(music)
    song = next(song for song in corpus.song_records() if song.source == "song3.mid")
    bank = stemsmith.make_bank([font])
    patches = {patch.name: patch for patch in bank.patches}
    grid_s = 0.1 * 64  # 64 samples and 100 ms meet there
    folder = music.parent / "again"
    for stem in corpus.stem_records():
        if stem.song_id != song.song_id:
            continue
        bpm = SONGS[int(song.source[4])][0]
        beats = grid_s * 1e6 / round(6e7 / bpm)
        tempo_map = ((beats, 0.0), (beats + 4 * 1e6 / round(6e7 / bpm), 4.0))
        wanted = WantedStem("0" * 40, "corpus", song.song_id, stem.stem, "", 0, tempo_map, 40, RATE)
        score = CorpusScore(str(music / song.path / "all_src.mid"), song.song_id)
        to_match = StemToMatch(
            int(stem.stem[1:]), stem.program, stem.n_notes, stem.gain_db, 1, None, MonoFrom.SUM,
            patches[stem.patch],
        )  # fmt: skip
        (folder / "staging").mkdir(parents=True, exist_ok=True)
        job = MatchJob(
            score, (MatchSpec(wanted, to_match),), str(folder), str(folder / "staging"),
            str(folder / "record.parquet"),
        )  # fmt: skip
        render_matches(job)
        (record,) = read_records(folder / "record.parquet", MatchedStem)
        made, _ = soundfile.read(folder / record.path, dtype="int16")
        whole, _ = soundfile.read(music / stem.path, dtype="int16")
        first = round((grid_s - 0.1) * RATE)
        assert np.abs(made - whole[first : first + len(made)].astype(int)).max() <= 1
        held = (stem.note_onset < first + len(made)) & (stem.note_offset > first)
        assert record.note_pitch.tolist() == stem.note_pitch[held].tolist()
        onset = (stem.note_onset[held].astype(int) - first).clip(min=0)
        assert record.note_onset.tolist() == onset.tolist()


def test_workers_make_the_same_bytes(music: Path, font: Path, tmp_path: Path) -> None:
    trees = []
    for jobs in (0, 2):
        made = stemsmith.mix(
            music, tmp_path / str(jobs), mode="across", coherence=0.3, match="key,tempo",
            n_mixtures=10, audio_format="flac", stems="all", soundfonts=[font], jobs=jobs, **QUICK,
        )  # fmt: skip
        trees.append(tree(made.root))
    assert trees[0] == trees[1]
    assert any(name.startswith("matched/stems/") for name in trees[0])


def test_a_run_that_was_killed_goes_on(
    music: Path, font: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from stemsmith.render.matched import matcher

    options = {"n_mixtures": 10, "soundfonts": [font], "match": "key", **QUICK}

    def make(name: str) -> dict[str, bytes]:
        return tree(
            stemsmith.mix(music, tmp_path / name, mode="across", coherence=0, **options).root
        )

    whole = make("whole")
    render_matches, n_done = matcher.render_matches, 0

    def killed(job: Any) -> Any:
        nonlocal n_done
        n_done += 1
        if n_done == 3:
            raise KeyboardInterrupt
        return render_matches(job)

    monkeypatch.setattr(matcher, "render_matches", killed)
    with pytest.raises(KeyboardInterrupt):
        make("killed")
    assert not (tmp_path / "killed" / "manifest.json").exists()
    with pytest.raises(InvalidCorpus):
        stemsmith.Mixtures(tmp_path / "killed")
    assert make("killed") == whole
    assert n_done < 3 + len(list((tmp_path / "whole" / "matched" / "stems").iterdir()))
    assert make("killed") == whole  # what is there is returned


def damaged(mixtures: stemsmith.Mixtures, folder: Path, damage: Callable[[Path], None]) -> str:
    shutil.copytree(mixtures.root, folder, dirs_exist_ok=True)
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["roots"]["corpus"] = str(mixtures.roots["corpus"])
    (folder / "manifest.json").write_text(json.dumps(manifest))
    damage(folder / "matched")
    with pytest.raises(InvalidCorpus) as caught:
        stemsmith.validate(folder)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_damage_is_found(matched: dict[Match, stemsmith.Mixtures], tmp_path: Path) -> None:
    mixtures = matched[Match.KEY]
    path = stored(mixtures)[0].path

    def flip(folder: Path) -> None:
        data = bytearray((folder / path).read_bytes())
        data[-1] ^= 1
        (folder / path).write_bytes(data)

    def forget(folder: Path) -> None:
        from stemsmith.manifests.shards import shard_entry

        rows = read_records(folder / "stems-00000.parquet", MatchedStem)
        write_records(folder / "stems-00000.parquet", MatchedStem, rows[1:])
        manifest = json.loads((folder / "manifest.json").read_text())
        manifest["shards"] = [shard_entry(folder / "stems-00000.parquet")]
        (folder / "manifest.json").write_text(json.dumps(manifest))

    assert path in damaged(mixtures, tmp_path / "a", flip)
    assert path in damaged(mixtures, tmp_path / "b", lambda f: (f / path).unlink())
    assert "its records" in damaged(mixtures, tmp_path / "c", forget)
    assert "matched" in damaged(mixtures, tmp_path / "d", shutil.rmtree)


def test_the_folder_of_what_matches_is_no_corpus_to_mix(
    matched: dict[Match, stemsmith.Mixtures], tmp_path: Path
) -> None:
    folder = matched[Match.KEY].root / "matched"
    with pytest.raises(UsageError, match="mixtures"):
        stemsmith.mix(folder, tmp_path / "m")
    with pytest.raises(UsageError, match="mixtures"):
        stemsmith.validate(folder)
    assert plan_checks(matched[Match.KEY])


# ---------------------------------------------------------------------------------------------
# Other corpora


def test_stems_of_tars_are_matched_alike(music: Path, font: Path, tmp_path: Path) -> None:
    corpus = rendered(tmp_path, font, tracks_per_tar=2)
    options: dict[str, Any] = {"mode": "across", "coherence": 0, "match": "key,tempo", **QUICK}
    ours, theirs = (
        stemsmith.mix(one, tmp_path / name, n_mixtures=6, soundfonts=[font], **options)
        for name, one in (("folders", music), ("tars", corpus))
    )
    assert [stem.sha256 for stem in stored(ours)] == [stem.sha256 for stem in stored(theirs)]
    for one, other in zip(ours, theirs, strict=True):
        assert np.array_equal(one.realise()["mixture"], other.realise()["mixture"])


def test_stereo_stays_stereo(font: Path, tmp_path: Path) -> None:
    corpus = rendered(tmp_path, font, SONGS[:3], n_channels=2, pan="drawn")
    mixtures = stemsmith.mix(
        corpus, tmp_path / "m", mode="across", coherence=0, match="key,tempo", n_mixtures=6,
        n_channels=2, soundfonts=[font], **QUICK,
    )  # fmt: skip
    stems = {f"{s.song_id}/{s.stem}": s for s in stored(mixtures)}
    assert {stem.n_channels for stem in stems.values()} == {2}
    assert mixtures[0].realise()["mixture"].shape == (2, 4 * RATE)
    originals = {stem.stem_id: stem for stem in Corpus(corpus).stem_records()}
    n_panned = 0
    for name, stem in stems.items():
        made, _ = soundfile.read(mixtures.root / "matched" / stem.path)
        whole, _ = soundfile.read(corpus / originals[name].path)
        left, right = ((audio**2).sum(axis=0) for audio in (made, whole))
        assert left[0] / left.sum() == pytest.approx(right[0] / right.sum(), abs=0.02)
        n_panned += abs(right[0] / right.sum() - 0.5) > 0.05
    assert n_panned


def test_other_soundfonts_than_the_corpus_has_are_refused(music: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="give those that it was rendered with"):
        stemsmith.mix(music, tmp_path / "m", mode="across", coherence=0, match="key", **QUICK)
    assert not (tmp_path / "m").exists()


def test_what_is_not_done_again_is_refused(music: Path, font: Path, tmp_path: Path) -> None:
    shutil.copytree(music, tmp_path / "c")
    manifest = json.loads((tmp_path / "c" / "manifest.json").read_text())
    manifest["config"]["room"] = "drawn"
    (tmp_path / "c" / "manifest.json").write_text(json.dumps(manifest))
    options = {"mode": "across", "coherence": 0.5, "soundfonts": [font], **QUICK}
    with pytest.raises(UsageError, match="--room, which --match does not do again"):
        stemsmith.mix(tmp_path / "c", tmp_path / "m", match="key", **options)
    assert not (tmp_path / "m").exists()


@pytest.mark.parametrize("match", MATCHES)
def test_pieces_of_drum_kits_are_not_matched(
    music: Path, font: Path, tmp_path: Path, match: Match
) -> None:
    options = {"mode": "across", "coherence": 0.5, "soundfonts": [font], **QUICK}
    with pytest.raises(UsageError, match="no pieces of drum kits"):
        stemsmith.mix(music, tmp_path / "m", match=match, taxonomy="drum-pieces", **options)
    assert not (tmp_path / "m").exists()


def test_a_song_without_a_beat_keeps_none(font: Path, tmp_path: Path) -> None:
    rendered(tmp_path, font, SONGS[:3])
    free = mido.MidiFile(tmp_path / "midi" / "song0.mid")
    rng = np.random.default_rng(0)
    for track in free.tracks[1:]:
        for message in track:
            if message.type == "note_on":
                message.time += int(rng.integers(0, 480))
    free.save(tmp_path / "midi" / "song0.mid")
    shutil.rmtree(tmp_path / "corpus")
    corpus = rendered_again(tmp_path, font)
    options = {"n_mixtures": 12, "soundfonts": [font], **QUICK}
    tempo = stemsmith.mix(
        corpus, tmp_path / "tempo", mode="across", coherence=0, match="key,tempo", **options
    )
    (song,) = (s.song_id for s in Corpus(corpus).song_records() if s.source == "song0.mid")
    assert not any(song in source.song_id for r in records(tempo) for source in r.sources)
    reasons = {str(row.reason): row.detail for row in tempo.rejection_records()}
    assert "keep to no beat" in reasons["no-partner"]
    key = stemsmith.mix(
        corpus, tmp_path / "key", mode="across", coherence=0, match="key", **options
    )
    assert any(song in source.song_id for r in records(key) for source in r.sources)


def rendered_again(folder: Path, font: Path) -> Path:
    stemsmith.render_corpus(
        folder / "midi", folder / "corpus", soundfonts=[font], min_notes=1, sample_rate=RATE,
        splits="1,0,0", near_duplicates=False, audit=False,
    )  # fmt: skip
    return folder / "corpus"


def test_one_song_has_nothing_to_match(font: Path, tmp_path: Path) -> None:
    corpus = rendered(tmp_path, font, SONGS[:1])
    with pytest.raises(NothingToDo, match="no stem of another song fits any clip"):
        stemsmith.mix(
            corpus, tmp_path / "m", mode="across", coherence=0, match="key", n_mixtures=4,
            soundfonts=[font], **QUICK,
        )  # fmt: skip
    assert not (tmp_path / "m").exists()


def test_data_sets_without_scores_do_not_match(
    music: Path, musdb: Path, font: Path, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match="has no scores"):
        stemsmith.mix(
            [music, f"musdb:{musdb}"], tmp_path / "m", mode="across", coherence=0.5, match="key",
            soundfonts=[font],
        )  # fmt: skip
    mixtures = stemsmith.mix(
        f"musdb:{musdb}", tmp_path / "n", mode="across", coherence=0.5, taxonomy="musdb", clip_s=1,
        n_mixtures=8,
    )  # fmt: skip
    assert mixtures.splits == {"train": 8, "validation": 4, "test": 4}


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("--mode", "across"), "needs --coherence"),
        (("--mode", "across", "--coherence", "1.2"), "a probability from 0 to 1"),
        (("--mode", "across", "--coherence", "-0.1"), "a probability from 0 to 1"),
        (("--mode", "across", "--coherence", "nan"), "a probability from 0 to 1"),
        (("--coherence", "0.5"), "only with --mode across"),
        (("--match", "key"), "only with --mode across"),
        (("--mode", "incoherent", "--match", "key,tempo"), "only with --mode across"),
        (("--mode", "across", "--coherence", "0.5", "--pairing", "chroma"), "--mode incoherent"),
        (("--mode", "across", "--coherence", "0.5", "--augment", "tempo"), "--mode across"),
        (("--mode", "across", "--coherence", "0.5", "--augment", "bleed"), "--mode across"),
        (("--mode", "across", "--coherence", "0.5", "--weights", "activity"), "--weights"),
        (("--mode", "across", "--coherence", "0.5", "--overlay", "bass"), "--overlay"),
        (("--mode", "across", "--coherence", "0.5", "--soundfont", "x.sf2"), "--match"),
        (("--soundfont", "x.sf2"), "--match"),
    ],
)
def test_what_makes_no_sense_is_one_line(
    here: Callable[..., subprocess.CompletedProcess[str]],
    music: Path,
    tmp_path: Path,
    arguments: tuple[str, ...],
    text: str,
) -> None:
    done = here("mix", music, tmp_path / "m", "--jobs", 0, *arguments)
    assert done.returncode == 2
    assert done.stderr.startswith("Error: ")
    assert done.stderr.count("\n") == 1
    assert text in done.stderr
    assert not (tmp_path / "m").exists()


def test_the_command_is_the_function(
    here: Callable[..., subprocess.CompletedProcess[str]],
    matched: dict[Match, stemsmith.Mixtures],
    music: Path,
    font: Path,
    tmp_path: Path,
) -> None:
    done = here(
        "mix", music, tmp_path / "m", "--mode", "across", "--coherence", 0, "--match", "key",
        "--mixtures", 40, "--clip", 4, "--min-rms", -60, "--split", "train", "--soundfont", font,
        "--jobs", 0,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert records(stemsmith.Mixtures(tmp_path / "m")) == records(matched[Match.KEY])


@pytest.mark.parametrize("n_jobs", [2, 7])
def test_jobs_of_an_array_render_what_their_own_mixtures_want(
    music: Path, font: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, n_jobs: int
) -> None:
    """What two of them want is rendered once if one comes later, and is the same if not."""
    from stemsmith.mixing import destination
    from stemsmith.render.matched import matcher

    monkeypatch.setattr(destination, "_PER_SHARD", 3)
    options = {"n_mixtures": 10, "soundfonts": [font], "match": "key", **QUICK}
    rendered: list[str] = []
    render_matches = matcher.render_matches

    def counted(job: Any) -> Any:
        rendered.extend(spec.wanted.stem_id for spec in job.specs)
        return render_matches(job)

    def make(name: str, **more: Any) -> Any:
        return stemsmith.mix(music, tmp_path / name, mode="across", coherence=0, **options, **more)

    whole = tree(make("whole").root)
    monkeypatch.setattr(matcher, "render_matches", counted)
    per_job = []
    for number in reversed(range(1, n_jobs + 1)):
        make("jobs", job=f"{number}/{n_jobs}")
        per_job.append(set(rendered))
    assert len(rendered) == len(set(rendered))
    assert len(per_job[0]) < len(rendered)
    assert tree(stemsmith.merge(tmp_path / "jobs").root) == whole
    make("rest", job=f"1/{n_jobs}")  # and a whole run goes on with that
    assert tree(make("rest").root) == whole
