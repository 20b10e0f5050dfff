"""Mixtures of renditions: sums of rolled stems, levels by another meter, labels by energy."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import mido
import numpy as np
import numpy.typing as npt
import pyloudnorm
import pytest
import soundfile
import soundfont_maker as maker
from soundfont_maker import SAMPLE_MODES, Program, Zone, tone
from stemsmith.manifests import shards
from stemsmith.manifests.arrays import Float64s
from stemsmith.manifests.mixtures import Mixture
from stemsmith.manifests.renditions import Rendition, RenditionStem
from stemsmith.mixing.audio.labels import realise_labels
from stemsmith.mixing.audio.realise import MIXTURE, realise

Command = Callable[..., subprocess.CompletedProcess[str]]

RATE = 44100
VIOLIN, FLUTE = 40, 73
TAXONOMY = '[targets]\nviolin = ["violin"]\nflute = ["pipe"]\n'


class Corpus(NamedTuple):
    root: Path
    stems: dict[str, RenditionStem]
    renditions: list[Rendition]
    taxonomy: Path


def write_score(path: Path, keys: Sequence[int]) -> None:
    """Write a violin and a flute that answer each other: half a second, half a second of rest."""
    file = mido.MidiFile(ticks_per_beat=480)
    for channel, program in enumerate((VIOLIN, FLUTE)):
        track = mido.MidiTrack([mido.Message("program_change", program=program, channel=channel)])
        wait = 480 * channel
        for key in keys:
            on = {"note": key + 7 * channel, "channel": channel}
            track.append(mido.Message("note_on", velocity=80, time=wait, **on))
            track.append(mido.Message("note_off", time=480, **on))
            wait = 480
        file.tracks.append(track)
    path.parent.mkdir(parents=True, exist_ok=True)
    file.save(path)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory, here: Command) -> Corpus:
    """Return the renditions of two scores: p and f, shifts of 0 and 0.3 s; one tempo, 120."""
    root = tmp_path_factory.mktemp("renditions")
    zones = [[Zone(0, generators={SAMPLE_MODES: 1})]]
    programs = [Program([Zone(0)], 0, number, f"p{number}") for number in (VIOLIN, FLUTE)]
    font = maker.write_sf2(root / "font.sf2", [tone()], zones, programs)
    write_score(root / "midi" / "a.mid", [69, 71])
    write_score(root / "midi" / "b.mid", [72, 64])
    done = here("render", root / "midi", root / "c", "--soundfont", font, "--renditions", "all",
                "--dynamics", "p,f", "--shift", "0,0.3", "--tail", 0.3, "--splits", "1,1,0",
                "--jobs", 0, "-q")  # fmt: skip
    assert done.returncode == 0, done.stderr
    (root / "targets.toml").write_text(TAXONOMY)
    stems = shards.read_records(sorted((root / "c").glob("stems-*.parquet")), RenditionStem)
    renditions = shards.read_records(sorted((root / "c").glob("renditions-*.parquet")), Rendition)
    assert len(renditions) == 2 * 16
    return Corpus(root / "c", {s.stem_id: s for s in stems}, renditions, root / "targets.toml")


@pytest.fixture(scope="module")
def mix(corpus: Corpus, tmp_path_factory: pytest.TempPathFactory, here: Command):
    """Return a function that mixes the corpus and returns the recipes, by split and number."""

    def run(*options: object) -> list[Mixture]:
        folder = tmp_path_factory.mktemp("mixtures") / "m"
        done = here("mix", corpus.root, folder, "--mode", "renditions", "--taxonomy",
                    corpus.taxonomy, "--jobs", 0, *options)  # fmt: skip
        assert (done.returncode, done.stderr) == (0, ""), done.stderr
        assert here("validate", folder, "--jobs", 0).returncode == 0
        return shards.read_records(sorted(folder.glob("mixtures-*.parquet")), Mixture)

    return run


def in_order(corpus: Corpus) -> list[Rendition]:
    """Return renditions as mixtures come: train before validation, as in the corpus."""
    return sorted(corpus.renditions, key=lambda rendition: rendition.split)


def audio_of(corpus: Corpus, stem_id: str) -> Float64s:
    audio, rate = soundfile.read(corpus.root / corpus.stems[stem_id].path)
    assert rate == RATE
    return np.asarray(audio, np.float64)


def loudness(audio: npt.NDArray[np.floating]) -> float:
    meter = pyloudnorm.Meter(RATE, filter_class="DeMan")
    return float(meter.integrated_loudness(np.asarray(audio, np.float64)))


def sources_of(mixture: Mixture) -> list[str]:
    """Return the corpus' names of the stems."""
    return [source.stem_id.rpartition("/")[2] for source in mixture.sources]


# ---------------------------------------------------------------------------------------------
# Audio


def test_a_mixture_is_the_sum_of_the_rolled_stems(corpus: Corpus, mix) -> None:
    mixtures, renditions = mix(), in_order(corpus)
    assert [m.split for m in mixtures] == [r.split for r in renditions]
    assert {m.split for m in mixtures} == {"train", "validation"}
    assert {source.shift for r in renditions for source in r.sources} == {0, 13_230}
    for mixture, rendition in zip(mixtures, renditions, strict=True):
        assert mixture.mode == "renditions"
        assert mixture.n_samples == rendition.n_samples
        assert sources_of(mixture) == [source.stem_id for source in rendition.sources]
        rolled = [np.roll(audio_of(corpus, s.stem_id), s.shift) for s in rendition.sources]
        made = realise(mixture, {"corpus": corpus.root})
        assert made.guard_gain_db == 0
        np.testing.assert_allclose(made[MIXTURE][0], sum(rolled), atol=1e-6)
        for name, audio in zip(("violin", "flute"), rolled, strict=True):
            np.testing.assert_allclose(made[name][0], audio, atol=1e-6)


def test_shifts_are_truly_circular(corpus: Corpus, mix) -> None:
    """What is shifted out at the end comes in at the beginning: the tail of the last note."""
    n_wrapped = 0
    for mixture in mix():
        made = realise(mixture, {"corpus": corpus.root})
        for source, name in zip(mixture.sources, ("violin", "flute"), strict=True):
            whole = realise(
                Mixture(**{**fields(mixture), "sources": (still(source),)}), {"corpus": corpus.root}
            )
            power = [float(np.sum(m[name].astype(np.float64) ** 2)) for m in (made, whole)]
            assert power[0] == pytest.approx(power[1], rel=1e-6)
            n_wrapped += bool(source.shift and np.any(whole[name][0, -source.shift :]))
    assert n_wrapped > 0


def fields(record: object) -> dict[str, object]:
    return {name: getattr(record, name) for name in record.__dataclass_fields__}  # type: ignore[attr-defined]


def still(source):
    return type(source)(**{**fields(source), "shift": 0})


def test_levels_are_native_or_equal(corpus: Corpus, mix) -> None:
    native, equal = mix(), mix("--level", "equal", "--target-lufs", -23)
    spread_lu = set()
    for plain, levelled in zip(native, equal, strict=True):
        made = [realise(m, {"corpus": corpus.root}) for m in (plain, levelled)]
        assert made[1].guard_gain_db == 0
        for source, stem_id in zip(plain.sources, sources_of(plain), strict=True):
            on_disk = loudness(audio_of(corpus, stem_id))
            # A level is the stem's: a shift, which tears the audio apart elsewhere, leaves it.
            unrolled = [np.roll(m[source.group][0], -source.shift) for m in made]
            stem = corpus.stems[stem_id]
            assert stem.loudness_lufs is not None
            assert stem.loudness_lufs + stem.gain_db == pytest.approx(on_disk, abs=0.15)
            assert loudness(unrolled[0]) == pytest.approx(on_disk, abs=0.15)
            assert loudness(unrolled[1]) == pytest.approx(-23, abs=0.15)
        of_dynamic = [corpus.stems[stem_id].dynamic for stem_id in sources_of(plain)]
        if of_dynamic == ["p", "f"]:
            spread_lu.add(loudness(made[0]["flute"][0]) - loudness(made[0]["violin"][0]) > 6)
    assert spread_lu == {True}


def test_stereo_and_another_rate(corpus: Corpus, mix) -> None:
    options = ("--channels", 2, "--level", "equal", "--sample-rate", 22050)
    mixture = next(m for m in mix(*options) if not any(source.shift for source in m.sources))
    made = realise(mixture, {"corpus": corpus.root})
    assert made[MIXTURE].shape == (2, mixture.n_samples)
    assert mixture.n_samples == corpus.renditions[0].n_samples // 2
    meter = pyloudnorm.Meter(22050, filter_class="DeMan")
    found = meter.integrated_loudness(made["violin"].T.astype(np.float64))
    assert found == pytest.approx(-25, abs=0.15)


def test_blocks_are_what_the_whole_is_cut_into(corpus: Corpus, mix) -> None:
    whole, blocks = mix(), mix("--clip", 0.5)
    n_steps = corpus.renditions[0].n_samples * 10 // RATE
    n_blocks, size = n_steps // 5, RATE // 2
    assert n_steps % 5  # the rest of a rendition is not used
    assert len(blocks) == len(whole) * n_blocks
    for k, mixture in enumerate(whole):
        audio = realise(mixture, {"corpus": corpus.root})
        own = blocks[k * n_blocks : (k + 1) * n_blocks]
        made = [realise(block, {"corpus": corpus.root}) for block in own]
        for name in (MIXTURE, "violin", "flute"):
            joined = np.concatenate([m[name] for m in made], axis=1)
            np.testing.assert_allclose(joined, audio[name][:, : n_blocks * size], atol=1e-6)
    assert len({mixture.mixture_id for mixture in blocks}) == len(blocks)


def test_audio_shards_hold_the_same(corpus: Corpus, tmp_path: Path, here: Command) -> None:
    done = here("mix", corpus.root, tmp_path / "m", "--mode", "renditions", "--taxonomy",
                corpus.taxonomy, "--jobs", 0, "--audio", "--split", "validation")  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert [path.name for path in tmp_path.glob("m/*.tar")] == ["audio-validation-00000.tar"]
    assert here("validate", tmp_path / "m", "--jobs", 0).returncode == 0


def test_same_recipes_for_any_number_of_workers(
    corpus: Corpus, tmp_path: Path, stemsmith: Command, here: Command
) -> None:
    found = []
    for n_jobs, run in ((0, here), (1, stemsmith)):
        done = run("mix", corpus.root, tmp_path / f"m{n_jobs}", "--mode", "renditions",
                         "--audio", "--jobs", n_jobs)  # fmt: skip
        assert done.returncode == 0, done.stderr
        files = sorted((tmp_path / f"m{n_jobs}").iterdir())
        found.append([(path.name, path.read_bytes()) for path in files])
    assert found[0] == found[1]


# ---------------------------------------------------------------------------------------------
# Labels


@pytest.mark.parametrize("clip", [(), ("--clip", 0.5)], ids=["whole", "blocks"])
def test_labels_agree_with_the_onsets_of_energy(corpus: Corpus, mix, clip) -> None:
    n_onsets = 0
    for mixture in mix(*clip):
        made = realise(mixture, {"corpus": corpus.root})
        labels = realise_labels(mixture, {"corpus": corpus.root})
        assert set(labels) == {"violin", "flute"}
        assert not labels.unlabelled
        for name, table in labels.items():
            heard = np.flatnonzero(np.abs(made[name][0]) > 1e-4)
            for onset, offset, is_inside in zip(
                table.onset, table.offset, table.is_onset_inside, strict=True
            ):
                assert 0 <= onset < offset <= mixture.n_samples
                inside = heard[(heard >= onset) & (heard < offset)]
                if offset - onset < 256:
                    continue  # cut by the end of a block
                # A sine: from the attack to the note-off it is never still for long.
                assert inside[0] - onset < 128
                assert offset - inside[-1] < 128
                assert np.diff(inside).max(initial=0) < 64
                before = heard[(heard >= onset - 4410) & (heard < onset)]
                if is_inside:
                    n_onsets += 1
                    assert len(before) == 0  # the rests are longer than any release
            # Nothing is heard where no note is, but for releases.
            is_labelled = np.zeros(mixture.n_samples + 4410, bool)
            for onset, offset in zip(table.onset, table.offset, strict=True):
                is_labelled[int(onset) : int(offset) + 4410] = True
            stray = heard[~is_labelled[heard]]
            assert len(stray) == 0 or stray.max() < 4410  # of a note before the block
    assert n_onsets >= (100 if clip else 2 * 2 * 32)


def test_labels_are_rolled_as_the_stems_are(corpus: Corpus, mix) -> None:
    for mixture in mix():
        labels = realise_labels(mixture, {"corpus": corpus.root})
        for source, stem_id in zip(mixture.sources, sources_of(mixture), strict=True):
            stem, table = corpus.stems[stem_id], labels[source.group]
            onset = (stem.note_onset + source.shift) % stem.n_samples
            assert sorted(table.onset[table.is_onset_inside]) == sorted(onset)
            n_split = np.sum((onset + stem.note_offset - stem.note_onset) > stem.n_samples)
            assert len(table) == stem.n_notes + n_split


# ---------------------------------------------------------------------------------------------
# What is asked for


def test_a_target_takes_the_renditions_that_have_it(corpus: Corpus, mix) -> None:
    mixtures = mix("--target", "violin")
    assert len(mixtures) == 32
    assert {s.role for m in mixtures for s in m.sources if s.group == "violin"} == {"target"}


def test_stems_of_no_target_are_left_out(corpus: Corpus, tmp_path: Path, here: Command) -> None:
    (tmp_path / "solo.toml").write_text('[targets]\nflute = ["pipe"]\n')
    done = here("mix", corpus.root, tmp_path / "m", "--mode", "renditions", "--taxonomy",
                tmp_path / "solo.toml", "--jobs", 0)  # fmt: skip
    assert done.returncode == 0, done.stderr
    mixtures = shards.read_records(sorted((tmp_path / "m").glob("mixtures-*")), Mixture)
    assert [len(mixture.sources) for mixture in mixtures] == [1] * 32


@pytest.mark.parametrize(
    ("options", "code", "text"),
    [
        (("--mode", "coherent"), 2, "holds renditions; use --mode renditions"),
        ((), 2, "holds renditions; use --mode renditions"),
        (("--mode", "renditions", "--mixtures", 3), 2, "not with --mixtures or --hours"),
        (("--mode", "renditions", "--hours", 1), 2, "not with --mixtures or --hours"),
        (("--mode", "renditions", "--target-lufs", -20), 2, "but for --level equal"),
        (("--mode", "renditions", "--source-hours", 1), 2, "--source-hours: not with --mode"),
        (("--mode", "renditions", "--augment", "shift"), 2, "--augment shift"),
        (("--mode", "renditions", "--augment", "tempo"), 2, "--augment tempo"),
        (("--mode", "renditions", "--pairing", "chroma"), 2, "--pairing chroma"),
        (("--mode", "renditions", "--clip", 60), 1, "--clip 60: the longest stem has"),
        (("--mode", "renditions", "--split", "test"), 1, "--split test: no song of it"),
    ],
)  # fmt: skip
def test_what_cannot_be_meant(
    corpus: Corpus, tmp_path: Path, here: Command, options, code: int, text: str
) -> None:
    done = here("mix", corpus.root, tmp_path / "m", "--jobs", 0, *options)
    assert done.returncode == code, done.stderr
    assert done.stderr.startswith("Error: ")
    assert done.stderr.count("\n") == 1
    assert text in done.stderr
    assert not (tmp_path / "m").exists()


def test_other_sources_are_no_renditions(
    corpus: Corpus, tmp_path: Path, make_noise: Callable[..., Path], here: Command
) -> None:
    make_noise(tmp_path / "solos" / "train" / "violin" / "a.wav", 1)
    for sources in ((f"folder:{tmp_path / 'solos'}",), (corpus.root, f"folder:{tmp_path}/solos")):
        done = here("mix", *sources, tmp_path / "m", "--mode", "renditions", "--jobs", 0)
        assert done.returncode == 2
        assert "all sources must be corpora of renditions" in done.stderr


def test_a_flipped_byte_of_a_stem_is_found(corpus: Corpus, tmp_path: Path, here: Command) -> None:
    shutil.copytree(corpus.root, tmp_path / "c")
    done = here("mix", tmp_path / "c", tmp_path / "m", "--mode", "renditions", "--jobs", 0)
    assert done.returncode == 0, done.stderr
    path = tmp_path / "c" / next(iter(corpus.stems.values())).path
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    done = here("validate", tmp_path / "m", "--jobs", 0)
    assert done.returncode == 1
    assert str(path) in done.stderr
