"""Write the demonstration scores: ``python examples/compose.py DEST``.

The band scores are original, but for the melody of "Greensleeves"; the chorales are original or our
own harmonisations of melodies in the public domain. Everything written here is CC0-1.0.
"""

from __future__ import annotations

import sys
from pathlib import Path

# examples/ is not an installed package; .links makes it stemsmith.examples, as for type checkers.
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / ".links"))

from stemsmith.examples.bands import bands
from stemsmith.examples.chorales import chorales
from stemsmith.examples.score import save


def main(dest: Path) -> None:
    """Write every score as a MIDI file.

    Parameters
    ----------
    dest : pathlib.Path
        The folder for the files; it is made where it is missing.
    """
    dest.mkdir(parents=True, exist_ok=True)
    for kind, scores in (("band", bands()), ("chorale", chorales())):
        for number, score in enumerate(scores, 1):
            name = f"{kind}_{number:02}_{score.title.lower().replace(' ', '_')}.mid"
            save(score, dest / name)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: compose.py DEST")
    main(Path(sys.argv[1]))
