"""`stemsmith render --renditions`: many performances of each score, every stem rendered once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import click
from stemsmith.cli.options import config_options, decorate, grouped, is_given, read_config
from stemsmith.manifests.errors import UsageError
from stemsmith.manifests.options import fields_of
from stemsmith.manifests.splits import SPLITS
from stemsmith.render.corpus.config import RenderConfig
from stemsmith.render.midi.playing import Dynamic, parse_dynamics
from stemsmith.render.renditions.config import (
    NOT_OF_RENDITIONS,
    ONLY_RENDITIONS,
    PRESETS,
    RenditionConfig,
)

if TYPE_CHECKING:
    from stemsmith.cli.console import Summary
    from stemsmith.manifests.corpus import Corpus

__all__ = [
    "are_wanted",
    "read_rendition_config",
    "read_velocities",
    "rendition_options",
    "rendition_summary",
]

_OF_ALL_CORPORA: Final = tuple(field.name for field in fields_of(RenderConfig))
_OF_PRESETS: Final = "rule"  # which a preset decides and no option

rendition_options = decorate(
    grouped(
        ONLY_RENDITIONS,
        "--preset",
        type=click.Choice(list(PRESETS)),
        help="Factors of a paper's renditions; options win over it.",
    ),
    config_options(RenditionConfig, omitted=(*_OF_ALL_CORPORA, _OF_PRESETS), unset=""),
)


def are_wanted(options: Mapping[str, Any]) -> bool:
    """Tell whether renditions are asked for.

    Raises
    ------
    UsageError
        If a factor is given without them.
    """
    if options["n_renditions"] is not None or options["preset"] is not None:
        return True
    flags = {f.name: f.flag for f in fields_of(RenditionConfig) if f.name not in _OF_ALL_CORPORA}
    for name, flag in flags.items():
        if options.get(name) is not None:
            raise UsageError(f"{flag} needs --renditions or --preset")
    return False


def _refuse_what_changes_nothing() -> None:
    """Refuse an option of songs that was given, even if it says what the default is."""
    for field in fields_of(RenderConfig):
        if field.name in NOT_OF_RENDITIONS and is_given(field.name):
            raise UsageError(f"{field.flag}: {NOT_OF_RENDITIONS[field.name]}")


def read_rendition_config(options: Mapping[str, Any], **values: Any) -> RenditionConfig:
    """Return the configuration that the options name.

    Parameters
    ----------
    options : mapping of str to object
        Values of the command's options.
    **values
        Fields that the command decides itself.

    Raises
    ------
    UsageError
        For a value that makes no sense, naming the option.
    """
    _refuse_what_changes_nothing()
    preset = PRESETS[options["preset"]] if options["preset"] else {}
    values |= read_velocities(options, preset.get("dynamics", ()))
    return read_config(RenditionConfig, options, base=RenditionConfig(**preset), **values)


def read_velocities(
    options: Mapping[str, Any], of_preset: Sequence[Dynamic] = ()
) -> dict[str, tuple[Dynamic, ...]]:
    """Return the field of dynamics if their velocities are given, whoever names them.

    Raises
    ------
    UsageError
        If there are velocities and no dynamics.
    """
    if options["velocities"] is None:
        return {}
    names = options["dynamics"] or ",".join(dynamic.name for dynamic in of_preset)
    if not names:
        raise UsageError("--velocities needs --dynamics")
    return {"dynamics": parse_dynamics(names, options["velocities"])}


def rendition_summary(corpus: Corpus) -> Summary:
    """Return what is said of a corpus of renditions when it is finished."""
    from stemsmith.cli.console import Summary

    header = corpus.header
    by_split = ", ".join(f"{header['n_songs'][split]} {split}" for split in SPLITS)
    n_songs = sum(header["n_songs"].values())
    return Summary(
        f"{corpus.root}: {header['n_renditions']} renditions of {n_songs} scores ({by_split}), "
        f"made of {header['n_stems']} stems",
        {
            "corpus": str(corpus.root),
            "n_songs": header["n_songs"],
            "n_renditions": header["n_renditions"],
            "n_stems": header["n_stems"],
            "rejections": header["rejections"],
        },
    )
