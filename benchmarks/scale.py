"""What it costs to keep a corpus in other ways than as a folder of audio, in ratios of one run.

    python benchmarks/scale.py tars [--midi DIR] [--songs N] [--tracks-per-tar N] [--repeats N]
    python benchmarks/scale.py lazy [--midi DIR] [--songs N] [--mixtures N] [--workers N]

``tars`` renders the same songs into folders and into tars, and reads both: all audio from beginning
to end, and excerpts as a training that streams does. Printed are CPU seconds of this process, the
lowest of some repeats in turn, and their ratios.

``lazy`` renders the same songs with and without audio (``render --lazy``), and prints what
rendering takes, what is stored, and what a pack has, against the bytes of the FLAC files; and
examples per second of ``train --loader stream`` from both, the one without audio with an empty
cache and with a full one: batches as the loader gives them, without a model. Its seconds are those
of the wall clock, so that other programs should rest meanwhile.

Scores are those of ``stemsmith demo`` unless a folder is given.
"""

from __future__ import annotations

import click
from scaling.lazy import lazy
from scaling.tars import tars


@click.group()
def main() -> None:
    """Measure."""


for command in (tars, lazy):
    main.add_command(command)

if __name__ == "__main__":
    main()
