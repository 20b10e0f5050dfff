"""The registry of augmentations: what each says of itself, and that one more is one file."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from stemsmith.manifests import registry
from stemsmith.manifests.errors import UsageError
from stemsmith.manifests.seeds import rng_for
from stemsmith.mixing import augmentations
from stemsmith.mixing.audio.transforms import effect_of, encode, known_effects
from stemsmith.mixing.augmentation import Augmentation, Decided
from stemsmith.mixing.augmentations import AUGMENTATIONS
from stemsmith.mixing.mixtures import Mixtures
from stemsmith.mixing.plan.config import MixConfig, Mode
from stemsmith.mixing.workflow import mix, validate_mixtures

DOCS = Path(__file__).resolve().parents[3] / "docs" / "mixing.md"
every_one = pytest.mark.parametrize("name", AUGMENTATIONS.names)


@every_one
def test_an_augmentation_says_what_it_is(name: str) -> None:
    one = AUGMENTATIONS.load(name)
    assert isinstance(one, Augmentation)
    assert one.name == name
    assert "\n" not in one.summary
    assert one.excluded_modes < set(Mode)
    assert one.excludes <= set(AUGMENTATIONS.names) - {name}
    assert all(name in AUGMENTATIONS.load(other).excludes for other in one.excludes)
    assert 0 <= one.place <= 9
    assert all(known_effects()[effect.name] is effect for effect in one.effects)


@every_one
@pytest.mark.parametrize("mode", Mode)
def test_a_mode_takes_or_refuses_it(name: str, mode: Mode) -> None:
    coherence = 0.5 if mode is Mode.ACROSS else None
    if mode in AUGMENTATIONS.load(name).excluded_modes:
        with pytest.raises(UsageError, match=f"--augment {name}: not with --mode {mode}"):
            MixConfig(mode=mode, augment=(name,), coherence=coherence)
    else:
        config = MixConfig(mode=mode, augment=(name,), coherence=coherence)
        assert config.augment == (name,)


@every_one
def test_what_is_drawn_is_repeatable_and_a_valid_transform(name: str) -> None:
    one = AUGMENTATIONS.load(name)
    decided = Decided(speed=1.5, is_muted=True, keep=[(0, 100)])
    for i in range(30):
        first, again = (one.draw_effects(lambda i=i: rng_for(0, i), decided) for _ in range(2))
        assert first == again
        for effect in first:
            assert type(effect) in one.effects
            assert effect_of(encode(effect.record())) == effect


def test_no_two_effects_have_one_name() -> None:
    effects = {
        effect for name in AUGMENTATIONS.names for effect in AUGMENTATIONS.load(name).effects
    }
    names = [effect.name for effect in effects]
    assert len(names) == len(set(names)) == len(known_effects())


def test_the_documentation_has_the_table_of_the_registry() -> None:
    text = DOCS.read_text("utf-8")
    listed = [line for line in text.splitlines() if line.startswith("| `")]
    for name in AUGMENTATIONS.names:
        one = AUGMENTATIONS.load(name)
        assert f"| `{name}` | {one.summary} | {one.after} |" in listed, name


# One more


LATE = '''
"""``late-half``: the first half of a source is silent."""

from dataclasses import dataclass

from stemsmith.mixing.augmentation import Augmentation, SourceEffect, number


@dataclass(frozen=True)
class Fade(SourceEffect):
    """Silence at the beginning."""

    name = "late"
    share: float = number(0, 1)

    def apply(self, audio, sample_rate):
        late = audio.copy()
        late[:, : round(self.share * audio.shape[1])] = 0
        return late


class LateHalf(Augmentation):
    """Every source is late."""

    name = "late-half"
    summary = "the first half is silent"
    excluded_modes = frozenset({"renditions"})
    effects = (Fade,)

    def draw_effects(self, rng, decided):
        return [Fade(0.5)]


AUGMENTATION = LateHalf()
'''


@pytest.fixture
def late_half(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Put a file where the augmentations are, as far as Python can tell."""
    folder = tmp_path / "augmentations"
    folder.mkdir()
    (folder / "late_half.py").write_text(LATE)
    monkeypatch.setattr(augmentations, "__path__", [*augmentations.__path__, str(folder)])
    forget()
    yield "late-half"
    monkeypatch.undo()
    forget()


def forget() -> None:
    """Forget the names that the registry has found."""
    assert isinstance(AUGMENTATIONS, registry.Registry)
    AUGMENTATIONS.__dict__.pop("names", None)
    known_effects.cache_clear()


def test_one_more_augmentation_is_one_file(
    late_half: str, corpus: Path, tmp_path: Path, here: Callable
) -> None:
    done = here("mix", corpus, tmp_path / "m", "--clip", 1, "--mixtures", 4, "--min-rms", -50,
                "--augment", late_half, "--jobs", 0)  # fmt: skip
    assert done.returncode == 0, done.stderr
    plain = mix(corpus, tmp_path / "p", clip_s=1.0, n_mixtures=4, min_rms_dbfs=-50)
    for late, usual in itertools.zip_longest(Mixtures(tmp_path / "m"), plain):
        made, before = late.realise(), usual.realise()
        for name, audio in made.items():
            assert not audio[:, :22050].any()
            assert audio[:, 22050:].any() == before[name][:, 22050:].any()
        assert {k: len(v) for k, v in late.labels().items()} == {
            k: len(v) for k, v in usual.labels().items()
        }
        record = late.record.sources[0]
        assert record.transforms == ('{"name":"late","share":0.5}',)
    assert validate_mixtures(tmp_path / "m").n_mixtures == 6
    done = here("mix", corpus, tmp_path / "x", "--augment", "kazoo", "--jobs", 0)
    assert "late-half" in done.stderr
    done = here("mix", corpus, tmp_path / "x", "--mode", "renditions", "--augment", late_half)
    assert "--augment late-half: not with --mode renditions" in done.stderr


def test_without_it_the_recipe_cannot_be_followed() -> None:
    assert "late" not in known_effects()
    with pytest.raises(UsageError, match="no transform 'late'"):
        encode({"name": "late", "share": 0.5})
