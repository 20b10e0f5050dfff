"""`stemsmith demo`: a corpus of the bundled scores, mixtures of it, and a page of both."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

import click
from stemsmith.cli.options import LOCAL_PATH, Common, command, common_options
from stemsmith.render.corpus.config import RenderConfig, RenderOptions

if TYPE_CHECKING:
    from stemsmith.cli.console import Summary

__all__ = ["demo"]


class _Step(NamedTuple):
    """What is added to the sound of two songs, and the packages that it needs."""

    name: str
    options: RenderOptions
    extra: str = ""
    packages: tuple[str, ...] = ()


# Each has the options of all before it.
_STEPS: Final = (
    _Step("mono", {}),
    _Step("stereo", {"n_channels": 2}),
    _Step("levels", {"balance": "real"}),
    _Step("effects", {"effects": "class"}, "effects", ("pedalboard",)),
    _Step("room", {"room": "drawn"}, "effects", ("pyroomacoustics",)),
    _Step("master", {"master": "bus"}),
)


@command(
    "stemsmith demo",
    "stemsmith demo demo --train",
    "stemsmith demo demo --stereo --jobs 2",
)
@click.argument("folder", type=LOCAL_PATH, default=Path("demo"))
@click.option("--train", "is_trained", is_flag=True, help="Also train a tiny blstm on the bass.")
@click.option(
    "--stereo",
    "is_stereo",
    is_flag=True,
    help="Also render two songs step by step, from mono to a master, to be listened to.",
)
@common_options
def demo(folder: Path, is_trained: bool, is_stereo: bool, common: Common) -> None:
    """Render the bundled scores into FOLDER/corpus, mix them, and make a page of what there is."""
    from stemsmith.cli.console import Summary, Terminal, print_summary
    from stemsmith.cli.mix import summary_of
    from stemsmith.cli.render import corpus_summary
    from stemsmith.manifests.audio.formats import AudioFormat
    from stemsmith.manifests.errors import require
    from stemsmith.mixing.plan.config import Mode
    from stemsmith.mixing.workflow import mix
    from stemsmith.render.workflow import render_corpus
    from stemsmith.share.workflow import write_report

    if is_trained:
        require("train", "torch", "lightning", "tensorboard", task="training")
    scores = Path(__file__).parent / "scores"
    corpus = folder / "corpus"
    folder.mkdir(parents=True, exist_ok=True)
    rendered = render_corpus(
        scores,
        corpus,
        band=None,
        jobs=common.n_jobs,
        scheduler=common.scheduler,
        progress=Terminal(common),
    )
    made = corpus_summary(rendered)
    mixed = {}
    for mode in (Mode.COHERENT, Mode.INCOHERENT):
        mixtures = mix(
            corpus,
            folder / str(mode),
            mode=mode,
            target="bass",
            n_mixtures=16,
            audio_format=AudioFormat.FLAC,
            jobs=common.n_jobs,
            scheduler=common.scheduler,
            progress=Terminal(common),
        )
        mixed[str(mode)] = summary_of(mixtures)
    lines = [made.line, *(summary.line for summary in mixed.values())]
    values = {**made.values, "mixtures": {mode: dict(s.values) for mode, s in mixed.items()}}
    if is_stereo:
        values["steps"] = _render_steps(common, scores, folder / "listen")
    if is_trained:
        trained = _train(common, folder / str(Mode.COHERENT), folder / "run")
        lines.append(trained.line)
        values["run"] = dict(trained.values)
    shown = [corpus, *(folder / mode for mode in mixed), *([folder / "run"] if is_trained else [])]
    page = write_report(shown, folder / "report.html", progress=Terminal(common))
    values["page"] = str(page)
    print_summary(common, Summary("\n".join(lines), values))
    if not common.is_json and not common.is_quiet:
        print(f"Look at it and listen to it in a browser: open {page}")
        print(f"Listen to {corpus}/*/Track*/mix.flac and its stems/ beside it.")
        print(f"Mixtures of them, with the bass apart: {folder}/*coherent/audio-train-00000.tar")
        print(f"Check them with: stemsmith validate {corpus}")
        if is_stereo:
            print(f"Hear what each step adds: {folder}/listen/*/*/Track*/mix.flac and master.flac")


def _train(common: Common, mixtures: Path, run: Path) -> Summary:
    """Train a network that is much too small, on much too little, for a few seconds."""
    from stemsmith.cli.console import Terminal
    from stemsmith.cli.train import summary_of
    from stemsmith.train.workflow import train_model

    trained = train_model(
        mixtures,
        run,
        target="bass",
        settings={"n_layers": 1, "n_units": 32, "segment_frames": 100},
        resume=run.exists(),
        epochs=8,
        batch_size=4,
        learning_rate=0.01,
        device="cpu",
        cache=run.parent / "cache",
        jobs=common.n_jobs,
        scheduler=common.scheduler,
        progress=Terminal(common),
    )
    return summary_of(trained)


def _render_steps(common: Common, scores: Path, folder: Path) -> list[str]:
    """Render two of the scores again and again, each time with one thing more; return the steps."""
    from stemsmith.cli.console import Terminal
    from stemsmith.manifests.errors import UsageError, require
    from stemsmith.render.workflow import render_corpus

    config = RenderConfig(band=("bass", "drums"), min_notes=1, n_songs=2)
    progress, options, made = Terminal(common), RenderOptions(), []
    for number, step in enumerate(_STEPS):
        try:
            if step.extra:
                require(step.extra, *step.packages, task=f"the step {step.name!r}")
        except UsageError as error:
            progress.warn(str(error))
            continue
        options.update(step.options)
        name = f"{number}-{step.name}"
        render_corpus(
            scores,
            folder / name,
            config,
            jobs=common.n_jobs,
            scheduler=common.scheduler,
            progress=progress,
            **options,
        )
        made.append(name)
    return made
