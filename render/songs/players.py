"""How the parts of a song are played: as humans do, or with drawn dynamics and deviations.

Everything is drawn from the seed of the corpus and from what a part is, before its score goes to
the synthesiser: labels, audio and MIDI follow from the same moved notes.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Final

import numpy as np
from stemsmith.manifests.arrays import Float64s
from stemsmith.manifests.seeds import rng_for
from stemsmith.render.corpus.config import RenderConfig
from stemsmith.render.midi.deviations import deviations_of, velocity_shift
from stemsmith.render.midi.moved import Moves, moved, struck
from stemsmith.render.midi.parts import OpenPart
from stemsmith.render.midi.playing import Playing
from stemsmith.render.midi.score import Score
from stemsmith.render.midi.streams import Streams

__all__ = ["is_mechanical", "is_played", "played"]

# Of real parts 95 % of the onsets on the grid part the sequenced ones from those that were played.
_LEAST_ON_GRID: Final = 0.95
_GRID: Final = (4, 3)  # a quarter note's sixteenths, and its triplets
# What a note has of its own for what the ensemble has in common: 3 ms for 8 ms.
_OWN_SHARE: Final = 3 / 8


def is_played(config: RenderConfig) -> bool:
    """Tell whether any part is played otherwise than it is written."""
    return bool(config.humanise or config.dynamics or config.jitter_s or config.tuning_cents)


def played(score: Score, config: RenderConfig, song_id: str) -> Score:
    """Return a score as its players play it.

    Parameters
    ----------
    score : Score
        The score as it is written, read with fine ticks.
    config : RenderConfig
        Options of the corpus: its seed, and how parts are played.
    song_id : str
        MD5 of the MIDI file.

    Returns
    -------
    Score
        Parts that are played as written are unchanged.
    """
    return score.played(
        partial(_played, score, config, song_id, _ensemble_of(score, config, song_id))
    )


def is_mechanical(part: OpenPart, ticks_per_quarter: int, n_divided: int = 1) -> bool:
    """Tell whether a machine wrote a part.

    Parameters
    ----------
    part : OpenPart
        The part as it is written.
    ticks_per_quarter, n_divided : int
        Resolution of its ticks, and how many of them are one of the file.

    Returns
    -------
    bool
        Whether more than 95 % of the onsets are sixteenths or triplets of eighths, to the tick of
        the file, or all notes have one velocity.
    """
    strikes = [strike for strike in part.strikes if not strike.is_resumed]
    if len({strike.velocity for strike in strikes}) == 1:
        return True
    onset = np.array([strike.onset for strike in strikes])
    steps = [ticks_per_quarter / n for n in _GRID]
    off = np.min([np.abs(onset - np.rint(onset / step) * step) for step in steps], axis=0)
    return bool((off <= n_divided / 2).mean() > _LEAST_ON_GRID)


def _ensemble_of(score: Score, config: RenderConfig, song_id: str) -> Mapping[int, float]:
    """Return by how many seconds all notes that begin at a tick are late together."""
    if not config.humanise:
        return {}
    ticks = np.unique(np.concatenate([score.notes(i).onset_tick for i in range(len(score.parts))]))
    rng = rng_for(config.seed, song_id, "ensemble")
    late_s = deviations_of(rng, config.humanise_onset_s, len(ticks))
    return dict(zip(ticks.tolist(), late_s.tolist(), strict=True))


def _played(
    score: Score,
    config: RenderConfig,
    song_id: str,
    ensemble: Mapping[int, float],
    part_index: int,
    part: OpenPart,
    streams: Streams,
) -> OpenPart:
    identity = (song_id, part.track, part.line, part.setting.program, int(part.setting.is_drum))
    playing = _playing_of(score, config, part, identity)
    if playing == Playing():
        return part
    notes = struck(part)

    def drawn(what: str, scale: float) -> Float64s:
        return deviations_of(rng_for(config.seed, *identity, what), scale, len(notes))

    shared_s = [ensemble[tick] if playing.ensemble_sd_s else 0.0 for tick, _ in notes]
    harder = np.rint(drawn("velocities", playing.velocity_sd)).astype(np.int64)
    if playing.dynamic is not None:
        written = np.array([s.velocity for s in part.strikes], np.uint8)
        harder += velocity_shift(written, playing.dynamic)
    moves = Moves(
        onset_s=np.array(shared_s) + drawn("onsets", playing.onset_sd_s),
        velocity=harder,
        cents=drawn("tuning", playing.tuning_sd_cents),
    )
    return moved(part, streams, score.tempo_map, moves, playing)


def _playing_of(
    score: Score, config: RenderConfig, part: OpenPart, identity: tuple[str | int, ...]
) -> Playing:
    """Decide how a part is played."""
    if config.humanise:
        if not is_mechanical(part, score.ticks_per_quarter, score.n_divided):
            return Playing()
        onset_s = config.humanise_onset_s
        return Playing(None, config.humanise_velocity, onset_s * _OWN_SHARE, onset_s)
    dynamic = None
    if config.dynamics:
        place = int(rng_for(config.seed, *identity, "dynamic").integers(len(config.dynamics)))
        dynamic = config.dynamics[place]
    return Playing(dynamic, 0.0, config.jitter_s, 0.0, config.tuning_cents)
