"""The page of a trained run: how it learned, and what it makes of validation clips."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np
from stemsmith.evaluate.benchmark.systems import require_torch
from stemsmith.evaluate.metrics.per_song.si_sdr import si_sdr_db
from stemsmith.manifests.arrays import Float32s
from stemsmith.manifests.errors import InvalidCorpus, StemsmithError
from stemsmith.manifests.jobs import Progress
from stemsmith.manifests.splits import SPLITS
from stemsmith.mixing.audio.realise import MIXTURE
from stemsmith.mixing.mixtures import Mixtures, StoredMixture
from stemsmith.share.charts import Caption, lines
from stemsmith.share.report.clips import make_clip
from stemsmith.share.report.config import ReportConfig
from stemsmith.share.report.content import (
    Block,
    Chart,
    DataTable,
    Facts,
    Notice,
    PageSection,
    PlayerMode,
    PlayerTrack,
    Prose,
    StemPlayer,
    setting_rows,
)
from stemsmith.share.report.listening import CLIP_S, chosen, try_each
from stemsmith.train.run import TrainedRun
from stemsmith.train.schedule import Epoch

if TYPE_CHECKING:
    from stemsmith.evaluate.separation.run import Run

__all__ = ["run_sections"]

_VALIDATION: Final = "validation"
_WIDE: Final = 30.0  # losses that are as far apart as that are drawn on a logarithmic axis


def run_sections(run: TrainedRun, config: ReportConfig, progress: Progress) -> list[PageSection]:
    """Return the sections of a run, finished or not.

    Parameters
    ----------
    run : TrainedRun
        What the page is of.
    config : ReportConfig
        How many validation clips can be played, which ones, and how long.
    progress : Progress
        Is told how far the work is, and warned of what cannot be played.

    Raises
    ------
    InvalidCorpus
        If the record of its epochs cannot be read.
    """
    listening = _listening(run, config, progress)
    return [
        PageSection("At a glance", [_facts(run), *_remarks(run)]),
        *([PageSection("Learning curves", _curves(run.history))] if run.history else []),
        *([PageSection("Listen", listening)] if listening else []),
        PageSection("Settings", _settings(run)),
    ]


def _facts(run: TrainedRun) -> Facts:
    best, seconds = run.best, [epoch.elapsed_s for epoch in run.history]
    known = [s for s in seconds if s is not None]
    items = [("model", run.model_name), ("targets", ", ".join(run.targets))]
    if "n_parameters" in run.content:
        items.append(("parameters", f"{run.n_parameters:,}"))
    items.append(("epochs", f"{len(run.history):,}"))
    if run.history and not run.is_validated:
        items.append(("weights", "of the last epoch: nothing was validated"))
        items.append(("its training loss", f"{run.history[-1].train_loss:.4g}"))
    if best is not None:
        items.append(("best epoch", str(best.epoch)))
        items.append(("its validation loss", f"{best.validation_loss:.4g}"))
        if best.si_sdr_db is not None:
            items.append(("its SI-SDR", f"{best.si_sdr_db:.2f} dB"))
    if run.n_examples is not None:
        items.append(("examples of an epoch", f"{run.n_examples:,}"))
    if run.history:
        rates = [epoch.examples_per_s for epoch in run.history]
        items.append(("examples a second", f"{np.median(rates):.3g}"))
    if known and len(known) == len(seconds):
        items.append(("time", str(timedelta(seconds=round(sum(known))))))
    return Facts(items)


def _remarks(run: TrainedRun) -> list[Block]:
    if not run.history:
        return [Notice("No epoch of this run has ended yet.")]
    odd = [
        str(epoch.epoch)
        for epoch in run.history
        if not all(loss is None or math.isfinite(loss) for loss in _losses(epoch))
    ]
    if not odd:
        return []
    return [Notice(f"A loss is not a finite number in {len(odd)} epochs: {', '.join(odd[:20])}.")]


def _losses(epoch: Epoch) -> tuple[float, float | None]:
    return epoch.train_loss, epoch.validation_loss


def _curves(history: Sequence[Epoch]) -> list[Block]:
    epochs = [float(epoch.epoch) for epoch in history]
    losses = {"training": [epoch.train_loss for epoch in history]}
    if any(epoch.validation_loss is not None for epoch in history):
        losses["validation"] = [
            math.nan if loss is None else loss for _, loss in map(_losses, history)
        ]
    blocks = [_curve("Loss", losses, epochs, "loss")]
    ratios = [math.nan if e.si_sdr_db is None else e.si_sdr_db for e in history]
    if any(map(math.isfinite, ratios)):
        title = "SI-SDR of validation examples"
        blocks.append(_curve(title, {"SI-SDR": ratios}, epochs, "SI-SDR / dB"))
    rates = [epoch.learning_rate for epoch in history]
    if len(set(rates)) > 1:
        blocks.append(_curve("Learning rate", {"rate": rates}, epochs, "learning rate"))
    speeds = [epoch.examples_per_s for epoch in history]
    blocks.append(_curve("Speed", {"speed": speeds}, epochs, "examples a second"))
    rows = [
        (
            epoch.epoch,
            f"{epoch.train_loss:.6g}",
            None if epoch.validation_loss is None else f"{epoch.validation_loss:.6g}",
            None if epoch.si_sdr_db is None else f"{epoch.si_sdr_db:.2f}",
            f"{epoch.learning_rate:.3g}",
            f"{epoch.examples_per_s:.4g}",
        )
        for epoch in history
    ]
    headings = ("epoch", "training loss", "validation loss", "SI-SDR / dB", "rate", "examples / s")
    return [*blocks, DataTable("All epochs", headings, rows, is_folded=True)]


def _curve(
    title: str, series: Mapping[str, Sequence[float]], epochs: Sequence[float], unit: str
) -> Block:
    """Return a chart over the epochs; on a logarithmic axis where values are far apart."""
    finite = [value for values in series.values() for value in values if math.isfinite(value)]
    if not finite:
        return Notice(f"{title}: there is no finite number to draw.")
    is_log = min(finite) > 0 and max(finite) > _WIDE * min(finite)
    said = f"From {min(finite):.4g} to {max(finite):.4g} in {len(epochs)} epochs."
    drawn = {name: (epochs, values) for name, values in series.items()}
    svg = lines(drawn, Caption(title, said, x="epoch", y=unit), is_log=is_log, is_narrow=True)
    return Chart(svg, f"{title}. {said}")


def _listening(run: TrainedRun, config: ReportConfig, progress: Progress) -> list[Block]:
    """Return players of validation clips with what the run makes of them; or a line why not."""
    if not config.n_songs or not run.history:
        return []
    if not run.is_validated:
        return [Notice("Nothing was validated: there are no clips whose estimates say much.")]
    try:
        require_torch()
        some = _validation_clips(run, config)
        from stemsmith.evaluate.separation.run import Run

        separating = Run(run.root)
        separating.model()  # reads the weights, so that they fail once and not for every clip
    except StemsmithError as error:
        progress.warn(f"no estimate of {run.root} can be played on the page: {error}")
        return [Notice(f"No estimates can be played here: {error}")]
    clip_s = CLIP_S if config.clip_s is None else config.clip_s
    made: dict[str, Block] = {}

    def make(one: StoredMixture) -> Block:
        player, made[one.record.mixture_id] = _player(separating, one, clip_s)
        return player

    players = try_each(some, lambda one: one.record.mixture_id, make, progress)
    blocks: list[Block] = []
    for one, player in zip(some, players, strict=True):
        blocks += [
            player,
            *([made[one.record.mixture_id]] if one.record.mixture_id in made else []),
        ]
    about = (
        "Validation clips that are drawn by lot: the mixture, what is true, and what the best "
        "weights make of the mixture. Switch between them at the same place."
    )
    return [Prose(about), *blocks] if blocks else []


def _validation_clips(run: TrainedRun, config: ReportConfig) -> list[StoredMixture]:
    """Return some of the mixtures that the run was validated with.

    Raises
    ------
    InvalidCorpus
        If they are not there, or are others by now; or the run is one file, which has no paths.
    """
    if run.is_file:
        raise InvalidCorpus(f"{run.root}: a run as one file does not say where its mixtures are")
    paths: Sequence[str] = run.content.get("data", {}).get(_VALIDATION, ())
    hashes: Sequence[str] = run.config.get("data", {}).get(_VALIDATION, ())
    clips: list[tuple[Mixtures, int]] = []
    for path, fingerprint in zip(paths, hashes, strict=False):
        mixtures = Mixtures((run.root / path).resolve())
        if mixtures.fingerprint != fingerprint:
            raise InvalidCorpus(f"{mixtures.root}: not the mixtures that the run was trained with")
        before = SPLITS[: SPLITS.index(_VALIDATION)]
        first = sum(mixtures.splits.get(split, 0) for split in before)
        n_clips = mixtures.splits.get(_VALIDATION, 0)
        clips += [(mixtures, number) for number in range(first, first + n_clips)]
    if not clips:
        raise InvalidCorpus(f"{run.root}: does not say what it was validated with")
    places = chosen(range(len(clips)), str, config)
    return [mixtures[number] for mixtures, number in (clips[place] for place in places)]


class _Shown(NamedTuple):
    """A target of a clip beside what the run makes of it."""

    target: str
    reference: Float32s
    estimate: Float32s
    before_db: float  # SI-SDR of the mixture
    after_db: float


def _player(run: Run, one: StoredMixture, clip_s: float) -> tuple[StemPlayer, DataTable]:
    record, rate = one.record, one.record.sample_rate
    audio = one.realise(run.targets)
    estimates = run.separate(audio[MIXTURE], rate)
    n_clip = min(record.n_samples, round(clip_s * rate))
    shown = [
        _Shown(
            target,
            audio[target],
            estimates[target],
            _ratio(audio[target], audio[MIXTURE]),
            _ratio(audio[target], estimates[target]),
        )
        for target in run.targets
    ]
    tracks = [PlayerTrack(MIXTURE, make_clip(audio[MIXTURE][:, :n_clip], rate))]
    for row in shown:
        label = "" if math.isnan(row.after_db) else f"SI-SDR {row.after_db:.1f} dB"
        tracks += [
            PlayerTrack(f"{row.target}: true", make_clip(row.reference[:, :n_clip], rate)),
            PlayerTrack(
                f"{row.target}: estimate", make_clip(row.estimate[:, :n_clip], rate), label=label
            ),
        ]
    title = f"{record.mixture_id}: mixture, truth and estimates"
    player = StemPlayer(title, tracks, PlayerMode.SWITCH, f"{record.split}, {record.mode}")
    rows = [
        (r.target, _number(r.before_db), _number(r.after_db), _number(r.after_db - r.before_db))
        for r in shown
    ]
    headings = ("target", "mixture", "estimate", "better by")
    table = DataTable(
        f"SI-SDR of {record.mixture_id} in dB, mono at {rate:,} Hz", headings, rows, is_folded=True
    )
    return player, table


def _ratio(reference: Float32s, estimate: Float32s) -> float:
    return si_sdr_db(reference.mean(axis=0), estimate.mean(axis=0))


def _number(value: float) -> str | None:
    return None if math.isnan(value) else f"{value:.2f}"


def _settings(run: TrainedRun) -> list[Block]:
    config = run.config
    parts = {
        "Model": {"model": run.model_name, **config["settings"]},
        "Training": config["training"],
        "Examples": config.get("rules", {}),
        "Mixtures": run.content.get("data", {}),
        "Machine": run.machine,
        "Versions": run.content.get("versions", {}),
    }
    return [
        DataTable(name, ("setting", "value"), setting_rows(values), is_folded=True)
        for name, values in parts.items()
        if values
    ]
