"""`stemsmith scan`: what is in a folder of MIDI files, or in soundfonts."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click
from stemsmith.cli.options import Common, common_options, score_options
from stemsmith.cli.soundfonts import scan_soundfonts
from stemsmith.manifests.errors import UsageError

__all__ = ["scan"]


@click.command()
@click.argument("midi_dir", required=False, type=click.Path(path_type=Path))
@click.option(
    "--soundfonts",
    "is_about_soundfonts",
    is_flag=True,
    help="List the presets of the soundfonts and their velocity layers instead.",
)
@score_options
@common_options
def scan(
    midi_dir: Path | None,
    is_about_soundfonts: bool,
    common: Common,
    max_duration: float,
    **options: Any,
) -> None:
    """Take an inventory of MIDI_DIR: songs, classes, hours, and what would be selected.

    Reads .mid, .midi and .kar files in all subfolders. With --json, every song is listed with its
    MD5, note-content hash, duration and parts; with -v, every song is shown.
    """
    if (midi_dir is None) != is_about_soundfonts:
        raise UsageError("give either a MIDI_DIR or --soundfonts")
    if midi_dir is None:
        scan_soundfonts(common, options["soundfonts"], options["patches"])
    else:
        _scan_scores(midi_dir, common, max_duration, options)


def _scan_scores(
    midi_dir: Path, common: Common, max_duration: float, options: Mapping[str, Any]
) -> None:
    from stemsmith.cli import console
    from stemsmith.cli.render import bank_of, inventory_of
    from stemsmith.manifests.cluster import open_workers
    from stemsmith.manifests.errors import NothingToDo
    from stemsmith.manifests.records import Rejection, ScannedSong
    from stemsmith.render.corpus.config import RenderConfig, parse_band
    from stemsmith.render.corpus.selection import select

    config = RenderConfig(
        seed=options["seed"],
        band=None if options["no_band"] else parse_band(options["band"]),
        min_notes=options["min_notes"],
        render_omitted=options["render_omitted"],
        max_duration_s=max_duration,
    )
    bank = bank_of(common, options["soundfonts"], options["patches"])
    with open_workers(common.n_jobs, common.scheduler) as pool:
        scanned = inventory_of(common, pool, midi_dir, max_duration)
    songs = [s for s in scanned if isinstance(s, ScannedSong)]
    unusable = [r for r in scanned if isinstance(r, Rejection)]
    selection = select(songs, config, bank)
    hours = sum(song.duration_s for song in songs) / 3600
    if not common.is_json and not common.is_quiet:
        console.print_table(
            "Parts by class", ("class", "songs", "parts", "notes"), _class_rows(songs)
        )
        if common.is_verbose:
            console.print_table("Songs", ("file", "seconds", "notes", "parts"), _song_rows(songs))
    console.print_rejections(common, [*unusable, *selection.rejections])
    band = "any song" if config.band is None else f"{','.join(config.band)} >= {config.min_notes}"
    summary = console.Summary(
        f"{len(scanned)} files: {len(songs)} songs, {hours:.2f} h, {len(unusable)} unusable; "
        f"{selection.n_fitting} fit the band ({band}), "
        f"{selection.n_grouped} of them share their notes with another",
        {
            "n_files": len(scanned),
            "n_songs": len(songs),
            "hours": hours,
            "n_fitting": selection.n_fitting,
            "n_duplicates_grouped": selection.n_grouped,
            "fitting": sorted(chosen.song.path for chosen in selection.chosen),
            "songs": [_song_dict(song) for song in songs],
            "rejections": [asdict(r) for r in [*unusable, *selection.rejections]],
        },
    )
    console.print_summary(common, summary)
    if not songs:
        raise NothingToDo(f"{midi_dir}: no usable MIDI file among {len(scanned)}")


def _song_dict(song: Any) -> dict[str, Any]:
    from stemsmith.manifests.programs import inst_class_of

    parts = [
        {**asdict(part), "inst_class": inst_class_of(part.program), "is_drum": part.is_drum}
        for part in song.parts
    ]
    return {**asdict(song), "parts": parts}


def _class_rows(songs: Sequence[Any]) -> list[tuple[str, int, int, int]]:
    from stemsmith.manifests.programs import inst_class_of

    members: dict[str, set[str]] = defaultdict(set)
    n_parts: dict[str, int] = defaultdict(int)
    n_notes: dict[str, int] = defaultdict(int)
    for song in songs:
        for part in song.parts:
            name = inst_class_of(part.program)
            members[name].add(song.path)
            n_parts[name] += 1
            n_notes[name] += part.n_notes
    ranked = sorted(members, key=lambda name: (-len(members[name]), name))
    return [(name, len(members[name]), n_parts[name], n_notes[name]) for name in ranked]


def _song_rows(songs: Sequence[Any]) -> list[tuple[str, float, int, str]]:
    from stemsmith.manifests.programs import PROGRAM_NAMES

    return [
        (
            song.path,
            song.duration_s,
            song.n_notes,
            ", ".join(f"{PROGRAM_NAMES[p.program]} {p.n_notes}" for p in song.parts),
        )
        for song in songs
    ]
