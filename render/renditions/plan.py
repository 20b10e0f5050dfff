"""Planning a corpus of renditions: which points of each piece's space, and which stems they need.

A stem depends on part, tempo, timbre and dynamic; shift and level belong to the rendition. So a
piece costs at most A x C x D x J syntheses, however many renditions use them.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from stemsmith.manifests.arrays import UInt8s
from stemsmith.manifests.corpus import CORPUS
from stemsmith.manifests.errors import NothingToDo, UsageError
from stemsmith.manifests.places import place
from stemsmith.manifests.programs import PROGRAM_NAMES
from stemsmith.manifests.records import Part, Rejection, ScannedSong
from stemsmith.manifests.renditions import RENDITIONS
from stemsmith.manifests.seeds import rng_for
from stemsmith.render.corpus.config import Drums, Pan
from stemsmith.render.corpus.lazy_sources import LazySources
from stemsmith.render.corpus.manifest import bank_header, why_nothing
from stemsmith.render.corpus.selection import Chosen, select
from stemsmith.render.midi.deviations import with_dynamic
from stemsmith.render.renditions.aligned import aligned_hash
from stemsmith.render.renditions.config import PRESETS, RenditionConfig
from stemsmith.render.renditions.render import StemSpec
from stemsmith.render.renditions.space import Point, Space
from stemsmith.render.songs import metadata as slakh
from stemsmith.render.sound.patches import Bank, Patch
from stemsmith.render.sound.sample_folder import read_sample_folder
from stemsmith.render.sound.velocity_layers import velocity_layers

__all__ = ["Piece", "RenditionPlan", "plan_pieces", "plan_renditions"]

_MOST_POINTS: Final = 1_000_000  # of a piece, for --renditions all


@dataclass(frozen=True, slots=True)
class Piece:
    """One piece and its renditions.

    Attributes
    ----------
    chosen : Chosen
        The song, its label and split.
    parts : tuple of int
        Parts that are rendered.
    space : Space
        All renditions there are.
    points : tuple of int
        Those that are made, ascending.
    specs : dict of (int, int, int, int) to StemSpec
        Stem of each (tempo, place of the part, timbre, dynamic) that a point uses.
    score_path : str or None
        Where the score lies below the folder of the scores, if not at the song's path.
    """

    chosen: Chosen
    parts: tuple[int, ...]
    space: Space
    points: tuple[int, ...]
    specs: Mapping[tuple[int, int, int, int], StemSpec]
    score_path: str | None = None

    def stems_of(self, point: Point) -> list[tuple[StemSpec, int]]:
        """Return the stem and the number of the shift of every part of a point."""
        return [
            (self.specs[point.tempo, j, timbre, dynamic], shift)
            for j, (timbre, dynamic, shift) in enumerate(point.parts)
        ]


@dataclass(frozen=True, slots=True)
class RenditionPlan:
    """All decisions about a corpus of renditions.

    Attributes
    ----------
    pieces : tuple of Piece
        In order of track.
    rejections : tuple of Rejection
        Scores that were left out so far, by scanning and selecting.
    header : dict
        What the manifest will say of the corpus; two runs with the same one are the same run.
    warnings : tuple of str
        What a user should know.
    midi_root : str
        Absolute folder of the scores.
    config : RenditionConfig
        Options of the corpus.
    lazy : LazySources or None
        What stems are rendered from again, if no audio is kept.
    """

    pieces: tuple[Piece, ...]
    rejections: tuple[Rejection, ...]
    header: Mapping[str, Any]
    warnings: tuple[str, ...]
    midi_root: str
    config: RenditionConfig
    lazy: LazySources | None = None

    def without_audio(self, lazy: LazySources) -> RenditionPlan:
        """Return the plan of the same corpus that keeps no audio."""
        header = {**self.header, "lazy": {"fingerprint": self.fingerprint()}}
        return replace(self, header=header, lazy=lazy)

    def fingerprint(self) -> str:
        """Return a hash of everything that decides the corpus."""
        content = [
            (
                p.chosen.track,
                p.chosen.split,
                p.chosen.song.path,
                p.chosen.song.md5,
                p.chosen.song.licence,
                p.chosen.group,
                p.points,
                sorted(spec.stem_id for spec in p.specs.values()),
            )
            for p in self.pieces
        ]
        rejections = [(r.id, str(r.reason), r.detail) for r in self.rejections]
        text = json.dumps([self.header, content, rejections], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()


def plan_renditions(
    scanned: Collection[ScannedSong | Rejection],
    midi_root: Path,
    config: RenditionConfig,
    bank: Bank,
    lazy: LazySources | None = None,
) -> RenditionPlan:
    """Decide which renditions are made.

    Parameters
    ----------
    scanned : collection of ScannedSong or Rejection
        What a scan of `midi_root` found.
    midi_root : Path
        Folder of the scores.
    config : RenditionConfig
        Options of the corpus.
    bank : Bank
        Patches that timbres are taken from.
    lazy : LazySources, optional
        What stems are rendered from again, if no audio is to be kept.

    Returns
    -------
    RenditionPlan
        With at least one piece.

    Raises
    ------
    NothingToDo
        If no score can be used.
    UsageError
        If there are fewer timbres or renditions than asked for, saying how many there are, or notes
        shall be tuned that cannot be.
    """
    if config.deviations.cents and bank.untunable:
        raise UsageError(
            f"{bank.untunable}: single notes of an SFZ instrument cannot be tuned; "
            "leave --tuning out"
        )
    unusable = [r for r in scanned if isinstance(r, Rejection)]
    selection = select([s for s in scanned if isinstance(s, ScannedSong)], config, bank)
    rejections = sorted([*unusable, *selection.rejections], key=lambda r: r.id)
    if not selection.chosen:
        raise NothingToDo(why_nothing(midi_root, len(scanned), rejections))
    pieces, warnings = plan_pieces(selection.chosen, config, bank, bank_header(bank)["versions"])
    header = {
        "stage": CORPUS,
        "kind": RENDITIONS,
        "config": config.to_dict(),
        **bank_header(bank),
        "roots": {"corpus": "."},
        "n_points": {piece.chosen.track: str(piece.space.n_points) for piece in pieces},
        "n_duplicates_grouped": selection.n_grouped,
    }
    plan = RenditionPlan(
        pieces,
        tuple(rejections),
        header,
        warnings,
        str(midi_root.resolve()),
        config,
    )
    return plan if lazy is None else plan.without_audio(lazy)


def plan_pieces(
    chosen: Sequence[Chosen],
    config: RenditionConfig,
    bank: Bank,
    versions: Mapping[str, str],
) -> tuple[tuple[Piece, ...], tuple[str, ...]]:
    """Plan the pieces of a corpus of renditions, which are chosen.

    Parameters
    ----------
    chosen : sequence of Chosen
        The pieces, in order of track number.
    config, bank
        As of `plan_renditions`.
    versions : mapping of str to str
        Versions of what plays, which are part of what stems are called by.

    Returns
    -------
    pieces : tuple of Piece
        What each of them needs.
    warnings : tuple of str
        What a user should know.

    Raises
    ------
    UsageError
        As `plan_renditions` does.
    """
    planner = _Planner(config, bank, versions)
    return tuple(planner.piece(one) for one in chosen), tuple(planner.warnings())


class _Planner:
    """Plans piece after piece, and remembers what dynamics do to the patches they use."""

    def __init__(self, config: RenditionConfig, bank: Bank, versions: Mapping[str, str]) -> None:
        self._config, self._bank = config, bank
        self._sha256 = {soundfont.path: soundfont.sha256 for soundfont in bank.soundfonts}
        self._changes: dict[str, str] = {}
        self._versions = versions

    def piece(self, chosen: Chosen) -> Piece:
        """Plan one piece."""
        config = self._config
        parts = tuple(
            part_index for part_index, patch in enumerate(chosen.patches) if patch is not None
        )
        timbres = [self._timbres(chosen, part_index) for part_index in parts]
        space = Space(
            n_tempos=len(config.tempos),
            n_timbres=config.n_timbres,
            n_dynamics=len(config.dynamics),
            n_shifts=len(config.shifts_s),
            n_parts=len(parts),
            rule=config.rule,
        )
        n = space.n_points if config.n_renditions is None else config.n_renditions
        where = f"{chosen.song.path} has {space.n_points:,} renditions"
        if config.n_renditions is None and n > _MOST_POINTS:
            raise UsageError(f"{where}, too many for --renditions all; give a number")
        if n > space.n_points or not space.n_points:
            raise UsageError(f"{where}, not {n or 1:,}; vary more, or ask for fewer")
        rng = rng_for(config.seed, chosen.song.md5, "renditions")
        points = tuple(space.draw(rng, n))
        aligned = self._aligned_hash(chosen, parts)
        specs = {}
        for point in map(space.point, points):
            for j, (timbre, dynamic, _) in enumerate(point.parts):
                key = point.tempo, j, timbre, dynamic
                if key not in specs:
                    patch = timbres[j][timbre]
                    specs[key] = self._spec(chosen.song, parts[j], key, patch, aligned)
        return Piece(chosen, parts, space, points, specs)

    def _aligned_hash(self, chosen: Chosen, parts: Sequence[int]) -> str | None:
        if self._config.aligned is None:
            return None
        song = chosen.song
        return aligned_hash(Path(self._config.aligned), song.path, song.parts, parts)

    def _timbres(self, chosen: Chosen, part_index: int) -> list[Patch]:
        part, wanted = chosen.song.parts[part_index], self._config.n_timbres
        found = self._bank.timbres(part, self._strikes(part))
        if len(found) < wanted:
            instrument = PROGRAM_NAMES[part.program]
            where = f"{chosen.song.path}: {slakh.stem_name(part_index)} ({instrument})"
            fewer = f", or --timbres {len(found)}" if found else ""
            named = [name for name, factors in PRESETS.items() if factors["n_timbres"] == wanted]
            of_preset = f" (--preset {named[0]} needs {wanted})" if wanted > 1 and named else ""
            raise UsageError(
                f"{where}: {len(found)} of {wanted} timbres are in the patch bank; "
                f"give more --soundfont files{of_preset}, or --bank general{fewer}"
            )
        return found[:wanted]

    def _strikes(self, part: Part) -> UInt8s | None:
        """Return what the dynamics of this corpus ask of a part's patches."""
        if part.strikes is None:
            return None
        pitch, velocity, n_notes = part.strikes.reshape(-1, 3).T
        played = [
            np.stack([pitch, with_dynamic(velocity, dynamic, n_notes), n_notes], axis=1)
            for dynamic in self._config.dynamics
        ]
        return np.concatenate(played).ravel()

    def _spec(
        self,
        song: ScannedSong,
        part_index: int,
        key: tuple[int, int, int, int],
        patch: Patch,
        aligned: str | None,
    ) -> StemSpec:
        config = self._config
        tempo, dynamic = config.tempos[key[0]], config.dynamics[key[3]]
        is_deviating = config.deviations.onset_s or config.deviations.cents
        identity = [
            song.md5,
            part_index,
            [tempo.name, str(config.tempo_mode)],
            [patch.name, patch.effects, patch.instrument],
            patch.folder and read_sample_folder(Path(patch.folder)).fingerprint,
            patch.preset and [self._sha256[patch.preset.soundfont], *patch.preset[1:]],
            list(dynamic),
            [config.deviations.onset_s, config.deviations.cents],
            config.seed if is_deviating else None,
            aligned,
            [config.sample_rate, config.tail_s, config.headroom_db, *self._stereo()],
            *([str(config.drums)] if config.drums is not Drums.TRACKS else []),
            self._versions,
            *([patch.sfz.fingerprint] if patch.sfz else []),
        ]
        stem_id = hashlib.sha256(json.dumps(identity).encode()).hexdigest()[:40]
        if patch.name not in self._changes:
            self._changes[patch.name] = self._change(patch)
        return StemSpec(stem_id, part_index, patch, dynamic, self._changes[patch.name])

    def _stereo(self) -> list[object]:
        """Return what decides a stem of two channels; nothing for mono."""
        config = self._config
        if config.n_channels == 1:
            return []
        is_drawn = config.pan is Pan.DRAWN
        return [config.n_channels, str(config.pan), config.seed if is_drawn else None]

    @property
    def _velocities(self) -> list[int]:
        return [d.velocity for d in self._config.dynamics if d.velocity is not None]

    def _change(self, patch: Patch) -> str:
        """Return what the dynamics of this corpus change in a patch."""
        velocities = self._velocities
        if not velocities:
            return "nothing"
        if patch.folder is not None:
            folder = read_sample_folder(Path(patch.folder))
            has_layers = any(folder.layers(r.pitch) > 1 for r in folder.recordings)
            return "timbre" if has_layers else "nothing"  # its velocities only choose recordings
        if patch.sfz is not None:
            return "timbre" if patch.sfz.has_layers else "level"
        if patch.preset is None:
            return "level"
        layers = velocity_layers(place(patch.preset.soundfont))[patch.preset[1:]]
        keys = range(21, 109)
        is_timbre = any(layers.differ(key, min(velocities), max(velocities)) for key in keys)
        return "timbre" if is_timbre else "level"

    def warnings(self) -> Iterator[str]:
        """Yield what a user should know."""
        if len(self._velocities) < 2:
            return
        for change, text in (
            ("level", "only the level, not the timbre, of patches without velocity layers"),
            ("nothing", "nothing in folders of notes that have one dynamic"),
        ):
            names = sorted(name for name, found in self._changes.items() if found == change)
            if names:
                more = f" and {len(names) - 3} more" if len(names) > 3 else ""
                yield f"dynamics change {text}: {', '.join(names[:3])}{more}"
