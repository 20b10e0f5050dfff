"""`stemsmith render`: a folder of MIDI files becomes a corpus of stems."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource
from stemsmith.cli import renditions
from stemsmith.cli.options import Common, common_options, decorate, score_options
from stemsmith.cli.renditions import rendition_options

if TYPE_CHECKING:
    from stemsmith.cli.console import Summary
    from stemsmith.manifests.jobs import Workers
    from stemsmith.manifests.records import Rejection, ScannedSong
    from stemsmith.render.corpus.config import RenderConfig
    from stemsmith.render.songs.corpus import CorpusRun, RunPlan
    from stemsmith.render.sound.patches import Bank

__all__ = ["bank_of", "inventory_of", "make_corpus", "render"]

_SOUND_OPTIONS = decorate(
    click.option("--songs", type=int, help="Songs to draw.  [default: all that fit]"),
    click.option(
        "--splits",
        default="0.7,0.2,0.1",
        show_default=True,
        help="Train, validation and test: fractions (approximate) or numbers of songs (exact).",
    ),
    click.option(
        "--patch-choice",
        type=click.Choice(["class", "program"]),
        default="class",
        show_default=True,
        help="Draw from all patches of a part's class (Slakh), or take its program's preset.",
    ),
    click.option(
        "--mix-source",
        type=click.Choice(["automix", "unsplit"]),
        default="automix",
        show_default=True,
        help="Sum stems of equal loudness (Slakh), or render the whole file at once (Flakh).",
    ),
    click.option(
        "--target-lufs", type=float, default=-13.0, show_default=True, help="Loudness of a stem."
    ),
    click.option(
        "--max-gain",
        type=float,
        default=30.0,
        show_default=True,
        help="Largest gain in dB a stem gets towards that loudness.",
    ),
    click.option(
        "--target-peak",
        type=float,
        default=-1.0,
        show_default=True,
        help="Highest sample peak in dBFS of mixtures and stems.",
    ),
    click.option(
        "--tail", type=float, default=5.0, show_default=True, help="Seconds after the last note."
    ),
    click.option(
        "--sample-rate",
        type=int,
        default=44100,
        show_default=True,
        help="In Hz, a multiple of 10.",
    ),
)


@click.command()
@click.argument("midi_dir", type=click.Path(path_type=Path))
@click.argument("corpus", type=click.Path(path_type=Path))
@_SOUND_OPTIONS
@rendition_options
@score_options
@common_options
def render(midi_dir: Path, corpus: Path, common: Common, **options: Any) -> None:
    """Render the MIDI files below MIDI_DIR into CORPUS, a multi-track corpus like Slakh2100.

    With --renditions or --preset, CORPUS holds many renditions of each score instead, as of
    Bach10: stems at several tempi, timbres and dynamics, and which of them make a rendition.

    Killed at any moment, the same command goes on where it was and ends with the same bytes.
    """
    from stemsmith.cli.console import print_summary
    from stemsmith.render.corpus.config import MixSource, RenderConfig, Splits, parse_band
    from stemsmith.render.sound.patches import PatchChoice

    is_varied = renditions.are_wanted(options)
    band_source = click.get_current_context().get_parameter_source("band")
    if is_varied and band_source is ParameterSource.DEFAULT:
        options["no_band"] = True  # Slakh's band is not what chorales are for
    config = RenderConfig(
        seed=options["seed"],
        n_songs=options["songs"],
        splits=Splits.parse(options["splits"]),
        band=None if options["no_band"] else parse_band(options["band"]),
        min_notes=options["min_notes"],
        patch_choice=PatchChoice(options["patch_choice"]),
        render_omitted=options["render_omitted"],
        mix_source=MixSource(options["mix_source"]),
        target_lufs=options["target_lufs"],
        max_gain_db=options["max_gain"],
        target_peak_dbfs=options["target_peak"],
        tail_s=options["tail"],
        max_duration_s=options["max_duration"],
        sample_rate=options["sample_rate"],
    )
    bank = bank_of(common, options["soundfonts"], options["patches"])
    if is_varied:
        varied = renditions.config_of(options, config)
        summary = renditions.make_renditions(common, midi_dir, corpus, varied, bank)
    else:
        summary = make_corpus(common, midi_dir, corpus, config, bank)
    print_summary(common, summary)


def bank_of(common: Common, soundfonts: Sequence[Path], patches: Path | None) -> Bank:
    """Build the patch bank that the options name, and check that it can be played."""
    from stemsmith.cli.console import warn
    from stemsmith.manifests.audio.flac import encoder_warnings
    from stemsmith.manifests.errors import UsageError
    from stemsmith.render.sound.patches import bank_from_soundfonts, bank_from_yaml
    from stemsmith.render.sound.sf2 import default_soundfont
    from stemsmith.render.sound.synth import check_soundfonts

    if patches is not None and soundfonts:
        raise UsageError("give either --patches or --soundfont")
    if patches is not None:
        bank = bank_from_yaml(patches)
    else:
        bank = bank_from_soundfonts(list(soundfonts) or [default_soundfont()])
    check_soundfonts([soundfont.path for soundfont in bank.soundfonts])
    for warning in (*bank.warnings, *encoder_warnings()):
        warn(common, warning)
    return bank


def inventory_of(
    common: Common,
    pool: Workers,
    midi_dir: Path,
    max_duration_s: float,
    corpus: Path | None = None,
) -> list[ScannedSong | Rejection]:
    """Scan a folder, but not the corpus in it; return songs and rejections by path."""
    from stemsmith.cli.console import progress
    from stemsmith.manifests.jobs import Died
    from stemsmith.manifests.records import Reason, Rejection, ScannedSong
    from stemsmith.render.midi import scan as inventory

    paths = inventory.find_midi_files(midi_dir, corpus and corpus.resolve())
    found: list[ScannedSong | Rejection] = []
    with progress(common, "scan", len(paths)) as ticker:
        jobs = inventory.plan(midi_dir.resolve(), paths, max_duration_s)
        deadly: list[str] = []
        for result in pool.map(inventory.run, jobs):
            if isinstance(result, Died):
                deadly += result.job.paths
            else:
                found += result
                ticker.advance(len(result))
        for path in deadly:  # one of each job's files
            single = inventory.plan(midi_dir.resolve(), [path], max_duration_s)
            for result in pool.map(inventory.run, single):
                if isinstance(result, Died):
                    died = Reason.RENDERER_DIED
                    result = [Rejection(path, "scan", died, "killed the scanning process twice")]
                found += result
                ticker.advance()
    return sorted(found, key=lambda item: item.path if isinstance(item, ScannedSong) else item.id)


def make_corpus(
    common: Common, midi_dir: Path, corpus: Path, config: RenderConfig, bank: Bank
) -> Summary:
    """Scan, plan, render and close a corpus; print what was left out, return what came of it."""
    from stemsmith.cli.console import warn
    from stemsmith.manifests.cluster import open_workers
    from stemsmith.render.songs.corpus import CorpusRun, plan

    with open_workers(common.n_jobs, common.scheduler) as pool:
        scanned = inventory_of(common, pool, midi_dir, config.max_duration_s, corpus)
        run_plan = plan(scanned, midi_dir, corpus, config, bank)
        if config.n_songs is not None and len(run_plan.jobs) < config.n_songs:
            warn(common, f"{config.n_songs} songs wanted, {len(run_plan.jobs)} fit")
        run = CorpusRun(corpus, run_plan)
        with run.opened():
            _render_songs(common, pool, run, run_plan)
            header = run.close()
    return _report(common, corpus, header)


def _render_songs(common: Common, pool: Workers, run: CorpusRun, run_plan: RunPlan) -> None:
    from stemsmith.cli.console import progress
    from stemsmith.manifests.jobs import Died
    from stemsmith.manifests.records import Reason
    from stemsmith.render.songs import render as song

    jobs = run.open_jobs()
    with progress(common, "render", len(run_plan.jobs)) as ticker:
        ticker.advance(len(run_plan.jobs) - len(jobs))
        for result in pool.map(song.run, jobs):
            if isinstance(result, Died):
                run.reject(result.job, Reason.RENDERER_DIED, "killed the rendering process twice")
                ticker.advance()
            else:
                ticker.advance(audio_s=getattr(result, "duration_s", 0.0))


def _report(common: Common, corpus: Path, header: dict[str, Any]) -> Summary:
    from stemsmith.cli import console
    from stemsmith.manifests import shards
    from stemsmith.manifests.records import Rejection, Song

    files = [corpus / entry["file"] for entry in header["shards"]]

    def records(kind: str, record_type: type) -> list[Any]:
        return shards.read_records(
            [file for file in files if file.name.startswith(f"{kind}-")], record_type
        )

    songs, rejections = records("songs", Song), records("rejections", Rejection)
    n_stems = sum(song.n_stems for song in songs)
    hours = sum(song.n_samples / song.sample_rate for song in songs) / 3600
    console.print_rejections(common, rejections)
    by_split = ", ".join(f"{n} {split}" for split, n in header["n_songs"].items())
    grouped = header["n_duplicates_grouped"]
    return console.Summary(
        f"{corpus}: {len(songs)} songs ({by_split}), {n_stems} stems, {hours:.2f} h of mixtures; "
        f"{len(rejections)} files left out, {grouped} songs kept together as duplicates",
        {
            "corpus": str(corpus),
            "n_songs": header["n_songs"],
            "n_stems": n_stems,
            "hours": hours,
            "n_duplicates_grouped": grouped,
            "rejections": header["rejections"],
        },
    )
