"""How many parts of a folder of scores options of rendering concern.

    python benchmarks/scores.py MIDI_DIR

* humanised: parts of which more than 95 % of the onsets lie on sixteenths or triplets of eighths,
  or all notes have one velocity;
* joined: drums that a file spreads over tracks of one channel and kit.
"""

from __future__ import annotations

from pathlib import Path

import click
from stemsmith.render.midi.limits import DEFAULT_MAX_DURATION_S
from stemsmith.render.midi.scan import find_midi_files, load_score
from stemsmith.render.midi.smf import Unusable
from stemsmith.render.songs.players import is_mechanical


@click.command()
@click.argument("midi", type=click.Path(exists=True, path_type=Path))
def main(midi: Path) -> None:
    """Print the figures of docs/sound.md."""
    n_songs = n_parts = n_mechanical = n_joined_songs = n_apart = n_joined = 0
    for path in find_midi_files(midi, None):
        try:
            _, score = load_score(midi / path, DEFAULT_MAX_DURATION_S)
            _, joined = load_score(midi / path, DEFAULT_MAX_DURATION_S, are_drums_joined=True)
        except Unusable:
            continue
        n_songs += 1
        n_parts += len(score.parts)
        n_mechanical += sum(is_mechanical(part, score.ticks_per_quarter) for part in score._open)
        if fewer := len(score.parts) - len(joined.parts):
            n_joined_songs += 1
            kits = [sum(part.is_drum for part in one.parts) for one in (score, joined)]
            n_apart, n_joined = n_apart + kits[0], n_joined + kits[1]
            assert kits[0] - kits[1] == fewer
    print(f"{n_songs} songs: {n_mechanical} of {n_parts} parts are written by a machine; drums of")
    print(f"{n_joined_songs} songs are joined: {n_apart} parts become {n_joined}")


if __name__ == "__main__":
    main()
