"""`stemsmith scan`: what is in a folder of MIDI files, or in soundfonts."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click
from stemsmith.cli.options import (
    ANY_PATH,
    SCORE_FIELDS,
    Common,
    command,
    common_options,
    is_given,
    read_config,
    score_options,
)
from stemsmith.cli.soundfonts import is_soundfont, scan_soundfonts
from stemsmith.manifests.errors import UsageError
from stemsmith.manifests.options import fields_of
from stemsmith.render.corpus.config import RenderConfig

__all__ = ["scan"]


@command(
    "stemsmith scan lakh",
    "stemsmith scan scores --no-band --json",
    "stemsmith scan --soundfonts FluidR3_GM.sf2",
)
@click.argument("paths", nargs=-1, type=ANY_PATH, metavar="MIDI_DIR")
@click.option(
    "--soundfonts",
    "is_about_soundfonts",
    is_flag=True,
    help="List the presets of soundfonts instead, of the files that are given in place of "
    "MIDI_DIR: their velocity layers, and what is heard.",
)
@score_options
@common_options
def scan(
    paths: tuple[Path, ...],
    is_about_soundfonts: bool,
    common: Common,
    **options: Any,
) -> None:
    """Take an inventory of MIDI_DIR: songs, classes, hours, and what would be selected.

    Reads .mid, .midi, .kar, .rmi and .smf files in all subfolders. With --json, every song is
    listed with its MD5, note-content hash, duration and parts; with -v, every song is shown.

    With --soundfonts it takes soundfonts: stemsmith scan --soundfonts FONT.sf2
    """
    if is_about_soundfonts:
        for field in fields_of(RenderConfig):
            if field.name in SCORE_FIELDS and is_given(field.name):
                raise UsageError(f"{field.flag}: of scores, not with --soundfonts")
        if options["no_band"]:
            raise UsageError("--no-band: of scores, not with --soundfonts")
        if any(not is_soundfont(path) for path in paths):
            raise UsageError("give either a MIDI_DIR or --soundfonts")
        fonts = (*paths, *options["soundfonts"])
        scan_soundfonts(common, fonts, options["bank"], options["patches"])
    elif len(paths) == 1:
        _scan_scores(paths[0], common, options)
    elif not paths:
        raise UsageError("give either a MIDI_DIR or --soundfonts")
    else:
        raise UsageError(f"give one MIDI_DIR, not {len(paths)}")


def _scan_scores(midi_dir: Path, common: Common, options: Mapping[str, Any]) -> None:
    from stemsmith.cli import console
    from stemsmith.manifests.errors import NothingToDo
    from stemsmith.manifests.folder_kinds import FolderKind, kind_of
    from stemsmith.manifests.scratch import ScratchRecords
    from stemsmith.render import workflow
    from stemsmith.render.corpus.selection import select

    values: dict[str, Any] = {"band": None} if options["no_band"] else {}
    config = read_config(RenderConfig, options, **values)
    progress = console.Terminal(common)
    bank = workflow.make_bank(
        options["soundfonts"], options["bank"], progress, patches=options["patches"]
    )
    inventory = workflow.scan(
        midi_dir,
        max_duration_s=config.max_duration_s,
        drums=config.drums,
        jobs=common.n_jobs,
        scheduler=common.scheduler,
        progress=progress,
    )
    songs = inventory.usable
    selection = select(songs, config, bank)
    hours = sum(song.duration_s for song in songs) / 3600
    if not common.is_json and not common.is_quiet:
        console.print_table(
            "Parts by class", ("class", "songs", "parts", "notes"), _class_rows(songs)
        )
        if common.is_verbose:
            console.print_table("Songs", ("file", "seconds", "notes", "parts"), _song_rows(songs))
    left_out = ScratchRecords(itertools.chain(inventory.unusable, selection.rejections))
    console.print_rejections(common, left_out)
    band = "any song" if config.band is None else f"{','.join(config.band)} >= {config.min_notes}"
    lists: dict[str, Any] = {}
    if common.is_json:
        lists = {
            "fitting": sorted(chosen.song.path for chosen in selection.chosen),
            "songs": [_song_dict(song) for song in songs],
            "rejections": [asdict(row) for row in left_out],
        }
    summary = console.Summary(
        f"{len(inventory)} files: {len(songs)} songs, {hours:.2f} h, {len(inventory.unusable)} "
        f"unusable; {selection.n_fitting} fit the band ({band}), "
        f"{selection.n_grouped} of them share their notes with another",
        {
            "n_files": len(inventory),
            "n_songs": len(songs),
            "hours": hours,
            "n_fitting": selection.n_fitting,
            "n_duplicates_grouped": selection.n_grouped,
            **lists,
        },
    )
    console.print_summary(common, summary)
    if not songs:
        held = kind_of(midi_dir)
        holds = f"; it {held.words}" if held in (FolderKind.AUDIO, FolderKind.EMPTY) else ""
        raise NothingToDo(f"{midi_dir}: no usable MIDI file among {len(inventory)}{holds}")


def _song_dict(song: Any) -> dict[str, Any]:
    from stemsmith.manifests.programs import inst_class_of

    parts = [
        {**asdict(part), "inst_class": inst_class_of(part.program), "is_drum": part.is_drum}
        for part in song.parts
    ]
    for part in parts:
        del part["strikes"]  # an array, for the choice of patches
    values = {**asdict(song), "parts": parts}
    del values["melodic_signature"]  # a kilobyte that says nothing to readers
    return values


def _class_rows(songs: Sequence[Any]) -> list[tuple[str, int, int, int]]:
    from stemsmith.manifests.programs import inst_class_of

    n_songs: Counter[str] = Counter()
    n_parts: Counter[str] = Counter()
    n_notes: Counter[str] = Counter()
    for song in songs:
        names = [inst_class_of(part.program) for part in song.parts]
        n_songs.update(set(names))
        for name, part in zip(names, song.parts, strict=True):
            n_parts[name] += 1
            n_notes[name] += part.n_notes
    ranked = sorted(n_songs, key=lambda name: (-n_songs[name], name))
    return [(name, n_songs[name], n_parts[name], n_notes[name]) for name in ranked]


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
