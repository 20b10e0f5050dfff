"""The folder layout and ``metadata.yaml`` of Slakh2100 (field for field).

Everything stemsmith adds lies under the one key ``stemsmith``; all other keys and values are the
original's, so that the original's tools and mirdata read a corpus unchanged.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import yaml
from stemsmith.manifests.programs import PROGRAM_NAMES, inst_class_of
from stemsmith.manifests.records import Part, ScannedSong
from stemsmith.mixing.level.gains import db_to_linear
from stemsmith.render.corpus.config import MixSource, RenderConfig

__all__ = [
    "AUDIO",
    "DRY",
    "MASTER",
    "MIX",
    "SOURCE_MIDI",
    "STEMS",
    "YAML",
    "StemEntry",
    "metadata",
    "stem_name",
]

AUDIO: Final = ".flac"  # at the end of the names of all audio files
SOURCE_MIDI: Final = "all_src.mid"
STEMS: Final = "stems"
DRY: Final = "dry"
MIX: Final = "mix.flac"
MASTER: Final = "master.flac"
YAML: Final = "metadata.yaml"
_NO_PATCH: Final = "None"  # Slakh writes the string


class StemEntry(NamedTuple):
    """What is known of one rendered part."""

    patch: str
    loudness_lufs: float | None
    gain_db: float
    is_gain_limited: bool


def stem_name(part_index: int) -> str:
    """Return the name of a part of a song: ``S00`` is the first."""
    return f"S{part_index:02d}"


def metadata(
    song: ScannedSong,
    stems: Mapping[int, StemEntry],
    overall_gain_db: float,
    config: RenderConfig,
    levels_lu: Mapping[str, float],
) -> bytes:
    """Return a song's ``metadata.yaml``.

    Parameters
    ----------
    song : ScannedSong
        The song, as it was scanned.
    stems : mapping of int to StemEntry
        Rendered parts by index; the others are listed as not rendered.
    overall_gain_db : float
        Uniform gain against clipping.
    config : RenderConfig
        Options of the corpus.
    levels_lu : mapping of str to float
        Levels that were drawn for the groups of the song; empty where stems are equally loud.

    Returns
    -------
    bytes
        YAML with sorted keys, UTF-8.
    """
    is_automix = config.mix_source is MixSource.AUTOMIX
    content: dict[str, Any] = {
        "UUID": song.md5,
        "audio_dir": "stems",
        "lmd_midi_dir": song.path,
        "midi_dir": "MIDI",
        "normalization_factor": config.target_lufs,
        "normalized": is_automix and not levels_lu,
        "overall_gain": db_to_linear(overall_gain_db),
        "stems": {
            stem_name(part_index): _stem(part, stems.get(part_index))
            for part_index, part in enumerate(song.parts)
        },
        "stemsmith": {
            "mix_source": str(config.mix_source),
            "overall_gain_db": overall_gain_db,
            "repairs": list(song.repairs),
            "seed": config.seed,
            "stems": {
                stem_name(part_index): _extra(song.parts[part_index], stems[part_index])
                for part_index in sorted(stems)
            },
        },
        "target_peak": config.target_peak_dbfs,
    }
    if levels_lu:
        content["stemsmith"]["balance_lu"] = dict(levels_lu)
    short = {
        stem_name(part_index): part.n_notes
        for part_index, part in enumerate(song.parts)
        if part.n_notes < config.min_stem_notes
    }
    if short:
        content["stemsmith"]["too_few_notes"] = short
    text = yaml.safe_dump(content, default_flow_style=False, allow_unicode=True)
    return text.encode("utf-8", "backslashreplace")


def _stem(part: Part, entry: StemEntry | None) -> dict[str, Any]:
    described: dict[str, Any] = {
        "audio_rendered": entry is not None,
        "inst_class": inst_class_of(part.program),
        "is_drum": part.is_drum,
        "midi_program_name": PROGRAM_NAMES[part.program],
        "midi_saved": entry is not None,
        "plugin_name": _NO_PATCH if entry is None else entry.patch,
        "program_num": part.program,
    }
    if entry is not None:  # as in Slakh, before any gain; absent where nothing was rendered
        described["integrated_loudness"] = entry.loudness_lufs
    return described


def _extra(part: Part, entry: StemEntry) -> dict[str, Any]:
    return {
        "channel": part.channel,
        "gain_db": entry.gain_db,
        "is_gain_limited": entry.is_gain_limited,
        "is_silent": entry.loudness_lufs is None,
        "n_notes": part.n_notes,
        "track": part.track,
        "track_name": part.name,
    }
