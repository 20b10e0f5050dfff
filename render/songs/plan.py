"""Planning a corpus of songs: every decision of `render_corpus`, before the first song."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from stemsmith.manifests.corpus import CORPUS
from stemsmith.manifests.errors import NothingToDo, UsageError
from stemsmith.manifests.programs import DRUMS, rendering_class_of
from stemsmith.manifests.records import Part, Reason, Rejection, ScannedSong
from stemsmith.manifests.scratch import OnDemand, ScratchRecords, in_order
from stemsmith.mixing.level.balance import Balance
from stemsmith.render.corpus.config import MixSource, OnDefect, RenderConfig
from stemsmith.render.corpus.layout import Layout, SongTar
from stemsmith.render.corpus.lazy_sources import LazySources
from stemsmith.render.corpus.manifest import bank_header, why_nothing
from stemsmith.render.corpus.selection import Chosen, Selection, select
from stemsmith.render.midi.scan import Inventory
from stemsmith.render.songs.balance import balance_of, levels_of
from stemsmith.render.songs.job import RenderJob
from stemsmith.render.songs.production import Production, plan_production
from stemsmith.render.songs.tars import plan_tars
from stemsmith.render.sound.patch_choice import PatchChoice
from stemsmith.render.sound.patches import Bank, Patch

__all__ = ["CorpusPlan", "plan_corpus", "plan_songs"]

_MOST_DRAWS: Final = 32
_SEED_STEP: Final = 1_000_003  # away from seeds that people choose


@dataclass(frozen=True, slots=True)
class CorpusPlan:
    """All decisions about a corpus of songs.

    Attributes
    ----------
    jobs : sequence of RenderJob
        One for each song, in order of track number; each is made when it is asked for.
    selection : Selection
        The songs that were chosen, with their splits and patches.
    rejections : sequence of Rejection
        Songs left out so far (scanning and selecting).
    header : dict
        What the manifest will say of the corpus; two runs with the same one are the same run.
    tars : tuple of SongTar
        The tars that songs go into, in order of track number; empty where songs have folders.
    lazy : LazySources or None
        What songs are rendered from again, if no audio is kept.
    """

    jobs: Sequence[RenderJob]
    selection: Selection
    rejections: Sequence[Rejection]
    header: dict[str, Any]
    tars: tuple[SongTar, ...] = ()
    lazy: LazySources | None = None

    def without_audio(self, lazy: LazySources) -> CorpusPlan:
        """Return the plan of the same corpus that keeps no audio."""
        return replace(
            self,
            jobs=OnDemand(lambda n: replace(self.jobs[n], is_lazy=True), range(len(self.jobs))),
            header={**self.header, "lazy": {"fingerprint": self.fingerprint()}},
            lazy=lazy,
        )

    def fingerprint(self) -> str:
        """Return a hash of everything that decides the corpus."""
        songs = (
            (
                one.track,
                one.split,
                one.song.path,
                one.song.md5,
                [p and p.name for p in one.patches],
                one.song.licence,
                one.group,
            )
            for one in self.selection.chosen
        )
        rejections = ((r.id, str(r.reason), r.detail) for r in self.rejections)
        content = hashlib.sha256(f"[{json.dumps(self.header, sort_keys=True)}".encode())
        for rows in (songs, rejections):  # the JSON of all of it, which is never one text
            separator = ", ["
            for row in rows:
                content.update(f"{separator}{json.dumps(row, sort_keys=True)}".encode())
                separator = ", "
            content.update(b"]" if separator == ", " else b", []")
        content.update(b"]")
        return content.hexdigest()


def plan_corpus(
    scanned: Sequence[ScannedSong | Rejection],
    midi_root: Path,
    corpus: Path,
    config: RenderConfig,
    bank: Bank,
    lazy: LazySources | None = None,
) -> CorpusPlan:
    """Decide which songs are rendered, and how.

    Parameters
    ----------
    scanned : sequence of ScannedSong or Rejection
        What a scan of `midi_root` found.
    midi_root, corpus : Path
        Folder of the scores, and folder that the corpus goes to.
    config : RenderConfig
        Options of the corpus.
    bank : Bank
        Patches that the parts may get.
    lazy : LazySources, optional
        What songs are rendered from again, if no audio is to be kept.

    Returns
    -------
    CorpusPlan
        With at least one job.

    Raises
    ------
    NothingToDo
        If no song fits, saying what was wrong with the most and what to change.
    UsageError
        If splits of exact sizes cannot be filled.
    """
    if config.mix_source is MixSource.UNSPLIT and bank.has_effects:
        raise UsageError(
            "--mix-source unsplit cannot have effects, VST3 instruments or folders of notes, "
            "nor SFZ instruments"
        )
    production, production_header = plan_production(config)
    if config.drum_pieces:
        _check_kits(bank)
    if config.tuning_cents and bank.untunable:
        raise UsageError(
            f"{bank.untunable}: single notes of an SFZ instrument cannot be tuned; "
            "leave --tuning out"
        )
    inventory = Inventory(scanned)
    selection = select(inventory.usable, config, bank)
    left_out = ScratchRecords(inventory.unusable)
    left_out.extend(selection.rejections)
    rejections = ScratchRecords(in_order(left_out, lambda row: row.id))
    if not selection.chosen:
        raise NothingToDo(why_nothing(midi_root, len(scanned), rejections))
    wanted = int(sum(config.splits.sizes))
    if config.splits.are_counts and len(selection.chosen) < wanted:
        n_full = sum(r.reason is Reason.SPLIT_FULL for r in selection.rejections)
        raise UsageError(
            f"{midi_root}: --splits {config.splits} wants {wanted} songs; "
            f"{selection.n_fitting} fit, of which {n_full} are duplicates that fill no split; "
            "ask for fewer, or loosen --band and --min-notes"
        )
    balance = balance_of(config)
    tars = plan_tars(((one.track, one.split) for one in selection.chosen), config.tracks_per_tar)
    jobs = plan_songs(selection.chosen, midi_root, corpus, config, bank, balance, production, tars)
    header = {
        "stage": CORPUS,
        "config": config.to_dict(),
        "roots": {"corpus": "."},
        **bank_header(bank),
        **({} if balance is None else {"balance": balance.to_dict()}),
        **production_header,
    }
    plan = CorpusPlan(jobs, selection, rejections, header, tuple(dict.fromkeys(tars.values())))
    return plan if lazy is None else plan.without_audio(lazy)


def plan_songs(
    chosen: Sequence[Chosen],
    midi_root: Path,
    corpus: Path,
    config: RenderConfig,
    bank: Bank,
    balance: Balance | None,
    production: Production,
    tars: Mapping[str, SongTar],
) -> Sequence[RenderJob]:
    """Plan the songs of a corpus, which are chosen.

    Parameters
    ----------
    chosen : sequence of Chosen
        The songs, in order of track number.
    midi_root, corpus, config, bank
        As of `plan_corpus`.
    balance : Balance or None
        Levels of groups; None where all stems are equally loud.
    production : Production
        What is done to stems after synthesis.
    tars : mapping of str to SongTar
        The tar of each song by its label; empty where songs have folders.

    Returns
    -------
    sequence of RenderJob
        One for each song, made when it is asked for.
    """
    soundfonts = tuple(s.path for s in bank.soundfonts)
    scores, root = str(midi_root.resolve()), corpus.resolve()
    staging = str(Layout(root).staging)

    def job(number: int) -> RenderJob:
        one = chosen[number]
        return RenderJob(
            song=one.song,
            track=one.track,
            split=one.split,
            patches=one.patches,
            midi_root=scores,
            corpus=str(root),
            soundfonts=soundfonts,
            config=config,
            duplicate_group=one.group,
            second_patches=_second_patches(one, config, bank),
            levels_lu=levels_of(balance, config, one.song),
            production=production,
            staging=staging,
            tar=tars.get(one.track),
        )

    return OnDemand(job, range(len(chosen)))


def _check_kits(bank: Bank) -> None:
    """Refuse kits of which the pieces would not add up."""
    for patch in bank.patches:
        if patch.rendering_class == rendering_class_of(DRUMS) and (
            patch.effects or patch.instrument is not None
        ):
            what = "has effects" if patch.effects else "is a plug-in"
            raise UsageError(
                f"--drum-pieces: {patch.name} {what}, and so its pieces do not add up to the kit"
            )


def _second_patches(chosen: Chosen, config: RenderConfig, bank: Bank) -> tuple[Patch | None, ...]:
    """Draw the patches of stems that are drawn again; the seed of the corpus decides them too."""
    if config.on_defect is not OnDefect.REDRAW:
        return ()

    def second(part: Part, first: Patch | None) -> Patch | None:
        for turn in range(1, _MOST_DRAWS if first is not None else 1):
            seed = config.seed + turn * _SEED_STEP
            drawn = bank.patch_for(part, PatchChoice.CLASS, seed, chosen.song.md5)
            if drawn is not None and first is not None and drawn.name != first.name:
                return drawn
        return None

    return tuple(map(second, chosen.song.parts, chosen.patches))
