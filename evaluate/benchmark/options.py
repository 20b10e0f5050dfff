"""Options of an evaluation, in Python and on the command line; imports nothing heavy."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TypeVar

from stemsmith.evaluate.metrics.options import MetricConfig, MetricOptions
from stemsmith.evaluate.nmf.options import NmfConfig, NmfOptions
from stemsmith.evaluate.separation.options import SeparationConfig, SeparationOptions
from stemsmith.manifests.errors import UsageError
from stemsmith.manifests.names import normal_name
from stemsmith.manifests.options import fields_of, member, option
from stemsmith.manifests.splits import SPLITS
from stemsmith.mixing.sources.taxonomy import TAXONOMIES
from stemsmith.train.machine import Device

__all__ = ["EvaluationConfig", "EvaluationOptions", "Lengths"]

C = TypeVar("C")


class Lengths(StrEnum):
    """What is done about estimates of another length, and of one channel."""

    REFUSE = "refuse"
    FIT = "fit"  # up to 0.1 s are cut or padded, and one channel is taken for both


def _sums(texts: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Return the names whose estimates sum to the estimate of each target."""
    sums: dict[str, tuple[str, ...]] = {}
    for text in texts:
        target, equals, parts = (part.strip() for part in text.partition("="))
        names = tuple(name.strip() for name in parts.split("+"))
        if not equals or not all(names):
            raise UsageError(f"--map {text}: write TARGET=NAME+NAME")
        if target in sums:
            raise UsageError(f"--map {text}: {target} is given twice")
        sums[target] = names
    return sums


@dataclass(frozen=True, kw_only=True)
class EvaluationConfig(MetricConfig, SeparationConfig, NmfConfig):
    """What an evaluation shall be: its own options, and those of metrics, of separation and of NMF.

    Attributes
    ----------
    splits : tuple of str
        Splits of the data set whose songs are scored.
    songs : tuple of str
        Names of the songs that are scored; empty for all of the splits.
    taxonomy : str or None
        What groups stems to targets: the name of a taxonomy, the path of a TOML file, or
        ``package.module:OBJECT`` of anyone's. None takes the data set's own.
    targets : tuple of str
        Targets to score; empty for all that the songs and the system have.
    sums : mapping of str to tuple of str
        Names whose estimates sum to the estimate of a target, where it is not its own. Chiu et
        al. 2020, section V-A: "From the result of Spleeter, we sum all but the piano stem as the
        separated violin stem."
    lengths : Lengths
        Whether estimates that are longer or shorter than their song, or of one channel where it
        has two, are refused, or fitted: at most 0.1 s is cut from their end, or added to it as
        zeros, and the channel is taken for both. Every use is counted in the results.
    pattern : str
        How the files of a folder of estimates are called where it has no folder for each song:
        their paths below it, with ``{song}`` and ``{target}``, as in ``{song}_{target}.wav``;
        without an ending, files with any one that can be read. Empty for ``{song}/{target}`` with
        any ending.
    n_folds : int or None
        Number of folds of a cross-validation, at least 2: each song is scored by the system of
        its fold, whose number stands for ``{fold}`` in the system's name. None for none.
    device : Device
        Where runs and NMF separate: ``auto``, ``cpu`` or ``cuda``.
    label : str
        What tables call the system; empty for its name.
    **others
        See `MetricConfig`; `SeparationConfig`, for trained runs alone; and `NmfConfig`, for
        ``nmf:`` alone.

    Raises
    ------
    UsageError
        For values that make no sense, alone or together; the text names the command's option.
    """

    splits: tuple[str, ...] = option(
        ("test",),
        "Score the songs of this split; may be repeated.",
        flag="--split",
        choices=lambda: SPLITS,
        default_text="test",
        is_repeatable=True,
    )
    songs: tuple[str, ...] = option(
        (),
        "Score only this song; may be repeated.",
        flag="--song",
        default_text="all of the splits",
        is_repeatable=True,
    )
    taxonomy: str | None = option(
        None,
        f"Targets: {', '.join(TAXONOMIES)}, a TOML file with a table [targets], or "
        "package.module:OBJECT.",
        default_text="slakh for corpora, bach10 for bach10:, else musdb",
    )
    targets: tuple[str, ...] = option(
        (),
        "Score only this one; may be repeated.",
        flag="--target",
        default_text="all the songs and the system have",
        is_repeatable=True,
    )
    sums: Mapping[str, tuple[str, ...]] = option(
        None,
        "Sum estimates, e.g. violin=vocals+drums+bass+other; may be repeated.",
        flag="--map",
        metavar="TARGET=NAME+NAME",
        is_repeatable=True,
        parse=_sums,
    )
    lengths: Lengths = option(
        Lengths.REFUSE,
        "Estimates of other lengths, or mono: refuse, or fit (cut or pad 0.1 s, copy the channel).",
    )
    pattern: str = option(
        "",
        "How files of estimates:DIR are called, as in '{song}_{target}.wav'.",
        metavar="PATTERN",
        default_text="{song}/{target}.wav or .flac",
    )
    n_folds: int | None = option(
        None,
        "Cross-validation: song k is scored by the system of its fold, '{fold}' in SYSTEM.",
        flag="--folds",
    )
    device: Device = option(Device.AUTO, "Where runs and NMF separate.")
    label: str = option("", "What tables call the system.", default_text="SYSTEM")

    def __post_init__(self) -> None:
        """Make values of what was given as text, and refuse what makes no sense."""
        MetricConfig.__post_init__(self)
        SeparationConfig.__post_init__(self)
        NmfConfig.__post_init__(self)
        splits = _items(self.splits)
        if not splits or set(splits) - set(SPLITS):
            unknown = next((split for split in splits if split not in SPLITS), "")
            raise UsageError(f"--split {unknown}: unknown; known: {', '.join(SPLITS)}")
        if self.n_folds is not None and self.n_folds < 2:
            raise UsageError(f"--folds {self.n_folds}: at least 2")
        if self.pattern and (problem := _unfit(self.pattern)):
            raise UsageError(f"--pattern {self.pattern}: {problem}")
        settled = {
            "splits": tuple(dict.fromkeys(splits)),
            "targets": tuple(dict.fromkeys(map(normal_name, _items(self.targets)))),
            "songs": tuple(dict.fromkeys(map(normal_name, _items(self.songs)))),
            "device": member(Device, self.device, "--device"),
            "lengths": member(Lengths, self.lengths, "--lengths"),
            "sums": {
                normal_name(target): tuple(map(normal_name, names))
                for target, names in (self.sums or {}).items()
            },
        }
        for name, value in settled.items():
            object.__setattr__(self, name, value)

    @property
    def metrics(self) -> MetricConfig:
        """The options of metrics alone."""
        return _part(self, MetricConfig)

    @property
    def nmf(self) -> NmfConfig:
        """The options of NMF alone."""
        return _part(self, NmfConfig)

    @property
    def separation(self) -> SeparationConfig:
        """The options of separation alone."""
        return _part(self, SeparationConfig)

    def refuse_separation(self) -> None:
        """Check that no option of separation was given, for a system that separates nothing.

        Raises
        ------
        UsageError
            If one was; the text names it.
        """
        for field in fields_of(SeparationConfig):
            if getattr(self, field.name) not in (field.default, {}):
                raise UsageError(f"{field.flag}: only with run:")


class EvaluationOptions(MetricOptions, SeparationOptions, NmfOptions, total=False):
    """The fields of `EvaluationConfig` as keywords of `stemsmith.evaluate_system`."""

    splits: Sequence[str]
    songs: Sequence[str]
    taxonomy: str | None
    targets: Sequence[str]
    sums: Mapping[str, Sequence[str]] | None
    lengths: Lengths | str
    pattern: str
    n_folds: int | None
    device: Device | str
    label: str


def _unfit(pattern: str) -> str:
    """Say what a pattern of file names lacks; empty if nothing."""
    if any(pattern.count(field) != 1 for field in ("{song}", "{target}")):
        return "has to name {song} and {target}, once each"
    rest = pattern.replace("{song}", "").replace("{target}", "")
    if "{" in rest or "}" in rest:
        return "knows {song} and {target}, and no other braces"
    if "{song}{target}" in pattern or "{target}{song}" in pattern:
        return "needs something between {song} and {target}"
    if pattern.startswith("/") or ".." in pattern.split("/"):
        return "is below the folder of estimates, with no .. in it"
    return ""


def _part(config: Any, config_type: type[C]) -> C:
    """Return the options of a configuration that another one has, too."""
    names = [field.name for field in dataclasses.fields(config_type)]  # type: ignore[arg-type]
    return config_type(**{name: getattr(config, name) for name in names})


def _items(names: str | Sequence[str]) -> Sequence[str]:
    """Return names, of which one may stand alone."""
    return [names] if isinstance(names, str) else names
