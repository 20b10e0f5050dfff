"""`stemsmith render`: a folder of MIDI files becomes a corpus of stems."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from stemsmith.cli.options import (
    ANY_PATH,
    OUTPUT,
    SCORE_FIELDS,
    Common,
    command,
    common_options,
    config_options,
    grouped,
    is_given,
    job_option,
    read_config,
    score_options,
)
from stemsmith.cli.renditions import (
    are_wanted,
    read_rendition_config,
    read_velocities,
    rendition_options,
    rendition_summary,
)
from stemsmith.manifests.splits import SPLITS
from stemsmith.render.corpus.config import SOUND, RenderConfig

if TYPE_CHECKING:
    from stemsmith.cli.console import Summary
    from stemsmith.manifests.corpus import Corpus

__all__ = ["corpus_summary", "render"]


@command(
    "stemsmith render lakh corpus --songs 2100 --seed 1",
    "stemsmith render scores corpus --no-band --bank general --channels 2",
    "stemsmith render lakh flakh --patch-choice program --mix-source unsplit --render-omitted",
    "stemsmith render lakh corpus --balance real --effects class --room drawn",
    "stemsmith render lakh corpus --job 3/8",
    "stemsmith render lakh corpus --lazy",
    "stemsmith render chorales corpus --renditions 400 --tempo 80,100,120 --shift 0,0.1",
)
@click.argument("midi_dir", type=ANY_PATH)
@click.argument("corpus", type=ANY_PATH)
@config_options(RenderConfig, omitted=tuple(SCORE_FIELDS))
@grouped(SOUND, "--velocities", help="Median velocities of dynamics: p=48,m=80,f=112.")
@rendition_options
@grouped(
    OUTPUT,
    "--lazy",
    is_flag=True,
    help="Keep records, envelopes and MIDI, and no audio: songs are rendered again when read.",
)
@score_options
@job_option
@common_options
def render(midi_dir: Path, corpus: Path, common: Common, job: str | None, **options: Any) -> None:
    """Render the MIDI files below MIDI_DIR into CORPUS, a multi-track corpus like Slakh2100.

    With --renditions or --preset, CORPUS holds many renditions of each score instead, as of
    Bach10: stems at several tempi, timbres and dynamics, and which of them make a rendition.

    Killed at any moment, the same command goes on where it was and ends with the same bytes.

    With --job, several commands fill CORPUS at the same time, each with a share of the songs.
    """
    from stemsmith.cli.array_job import job_summary
    from stemsmith.cli.console import Terminal, print_rejections, print_summary
    from stemsmith.manifests.shares import FinishedJob
    from stemsmith.render.workflow import render_corpus, render_renditions

    if not is_given("band"):
        options["band"] = None  # the configuration's: Slakh's band is not what chorales are for
    values: dict[str, Any] = {"band": None} if options["no_band"] else {}
    how: dict[str, Any] = {
        "soundfonts": options["soundfonts"],
        "bank": options["bank"],
        "patches": options["patches"],
        "lazy": options["lazy"],
        "job": job,
        "jobs": common.n_jobs,
        "scheduler": common.scheduler,
        "progress": Terminal(common),
    }
    if are_wanted(options):
        varied = read_rendition_config(options, **values)
        made = render_renditions(midi_dir, corpus, varied, **how)
        what, summary_of = "stems", rendition_summary
    else:
        config = read_config(RenderConfig, options, **values, **read_velocities(options))
        made = render_corpus(midi_dir, corpus, config, **how)
        what, summary_of = "songs", corpus_summary
    if isinstance(made, FinishedJob):
        print_rejections(common, made.rejections)
        print_summary(common, job_summary(made, "corpus", what))
    else:
        print_rejections(common, made.rejection_records())
        print_summary(common, summary_of(made))


def corpus_summary(corpus: Corpus) -> Summary:
    """Return what is said of a corpus of songs when it is finished."""
    from stemsmith.cli.console import Summary

    header, songs = corpus.header, corpus.song_records()
    n_stems = sum(song.n_stems for song in songs)
    hours = sum(song.n_samples / song.sample_rate for song in songs) / 3600
    by_split = ", ".join(f"{header['n_songs'][split]} {split}" for split in SPLITS)
    grouped = header["n_duplicates_grouped"]
    n_rejections = sum(header["rejections"].values())
    return Summary(
        f"{corpus.root}: {len(songs)} songs ({by_split}), {n_stems} stems, "
        f"{hours:.2f} h of mixtures; {n_rejections} files left out, "
        f"{grouped} songs kept together as duplicates",
        {
            "corpus": str(corpus.root),
            "n_songs": header["n_songs"],
            "n_stems": n_stems,
            "hours": hours,
            "n_duplicates_grouped": grouped,
            "rejections": header["rejections"],
        },
    )
