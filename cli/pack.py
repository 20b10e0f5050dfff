"""`stemsmith pack` and `restore`: a corpus as a small file, and the file as a corpus again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
from stemsmith.cli.options import ANY_PATH, LOCAL_PATH, Common, command, common_options, grouped

__all__ = ["pack", "restore"]

_SOURCES = "What the corpus was made of"


@command(
    "stemsmith pack corpus corpus.pack.json",
    "stemsmith pack renditions renditions.pack.json --jobs 8",
)
@click.argument("corpus", type=ANY_PATH)
@click.argument("pack", type=ANY_PATH)
@common_options
def pack(corpus: Path, pack: Path, common: Common) -> None:
    """Write what it takes to render CORPUS again, and to prove it, into the small file PACK.

    The file has the manifest of CORPUS (options, soundfonts by their SHA-256, versions) and for
    each song the hashes of its score, its files and its records: no audio, and no scores.
    """
    from stemsmith.cli.console import Summary, Terminal, print_summary
    from stemsmith.render.packs import pack as pack_corpus

    packed = pack_corpus(
        corpus, pack, jobs=common.n_jobs, scheduler=common.scheduler, progress=Terminal(common)
    )
    n_files = sum(len(song.files) for song in packed.songs)
    n_bytes = pack.stat().st_size
    summary = Summary(
        f"{pack}: {len(packed.songs)} songs, {n_files} files, in {n_bytes:,} bytes",
        {
            "pack": str(pack),
            "kind": packed.kind,
            "n_songs": len(packed.songs),
            "n_files": n_files,
            "n_bytes": n_bytes,
        },
    )
    print_summary(common, summary)


@command(
    "stemsmith restore corpus.pack.json corpus --midi lakh",
    "stemsmith restore corpus.pack.json corpus --midi lakh --soundfont FluidR3_GM.sf2 --jobs 8",
    "stemsmith restore corpus.pack.json few --midi lakh --track Track00017 --track Track00018",
)
@click.argument("pack", type=ANY_PATH)
@click.argument("corpus", type=ANY_PATH)
@grouped(
    _SOURCES,
    "--midi",
    "midi_dir",
    type=ANY_PATH,
    required=True,
    help="Folder below which the scores lie, under any names.",
)
@grouped(
    _SOURCES,
    "--soundfont",
    "soundfonts",
    multiple=True,
    type=ANY_PATH,
    help="A soundfont, under any name; may be repeated.  [default: found on this machine]",
)
@grouped(
    _SOURCES, "--bank", type=ANY_PATH, help="Patch bank of the corpus, in place of soundfonts."
)
@grouped(
    _SOURCES,
    "--room",
    type=LOCAL_PATH,
    help="Impulse responses, or their folder.  [default: where they were]",
)
@grouped(_SOURCES, "--aligned", type=LOCAL_PATH, help="Folder of the aligned scores of renditions.")
@click.option(
    "--track",
    "tracks",
    multiple=True,
    metavar="TRACK",
    help="A song to make, such as Track00017; may be repeated.  [default: all]",
)
@common_options
def restore(pack: Path, corpus: Path, common: Common, **options: Any) -> None:
    """Render the corpus of PACK again into CORPUS, and prove every file of it.

    Scores and soundfonts are found by their content. Where a version differs from those that made
    the corpus, that is a warning, and an error only where something else differs.

    Killed at any moment, the same command goes on where it was.
    """
    from stemsmith.cli.console import Summary, Terminal, print_summary
    from stemsmith.render.packs import restore as restore_corpus

    made = restore_corpus(
        pack,
        corpus,
        midi_dir=options["midi_dir"],
        soundfonts=options["soundfonts"],
        bank=options["bank"],
        room=options["room"],
        aligned=options["aligned"],
        tracks=options["tracks"] or None,
        jobs=common.n_jobs,
        scheduler=common.scheduler,
        progress=Terminal(common),
    )
    n_songs = sum(made.header["n_songs"].values())
    origin = made.header.get("restored_from")
    is_whole = origin is None or origin["n_songs"] == made.header["n_songs"]
    what = "the same bytes" if origin is None else "the same samples" if is_whole else "a part"
    summary = Summary(
        f"{corpus}: {n_songs} songs, all files proved: {what} as packed",
        {
            "corpus": str(corpus),
            "n_songs": made.header["n_songs"],
            "is_whole": is_whole,
            "has_same_bytes": origin is None,
        },
    )
    print_summary(common, summary)
