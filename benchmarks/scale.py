"""What stemsmith takes where there is much of everything, and of other ways to keep a corpus.

    python benchmarks/scale.py million [--songs 1000000] [--mixtures N] [--seconds 10] [--jobs 0]
        [--folder FOLDER]
    python benchmarks/scale.py extrapolate MIDI_DIR TABLE [--songs 12]
    python benchmarks/scale.py tars [--midi DIR] [--songs N] [--tracks-per-tar N] [--repeats N]
    python benchmarks/scale.py stores [--midi DIR] [--songs N] [--mixtures N] [--repeats N]
    python benchmarks/scale.py lazy [--midi DIR] [--songs N] [--mixtures N] [--workers N]

``million`` makes a catalogue of songs of ten stems, scores and records without any audio, and does
with it what is done with a corpus before and after it is rendered: it reads the scores, chooses,
splits and plans, mixes coherent and incoherent recipes, checks them, and opens them. Stages that
follow one another in one process stand under one name; each process is a new one. Printed are songs
or recipes a second, the processor's time of the process itself without its workers, and the most
memory that it has had so far (``VmHWM``). No audio is there, so that nothing can be realised:
hashes are made up, but as different as those of files.

Stages keep what they do not have in memory in ``TMPDIR`` while they run
(`stemsmith.manifests.scratch`); *scratch* is the most that it was. The scores are removed when they
are planned: a million files have as many blocks of a disk, and nobody asks for them again.

``extrapolate`` measures what scanning and rendering take of a folder of real scores, and handing
out jobs, takes from a table of ``million`` what the process takes that gives the workers work, and
multiplies: what large collections would take on more cores. All are seconds of processors.

``tars`` renders the same songs into folders and into tars, and reads both: all audio from beginning
to end, and excerpts as a training that streams does. Printed are CPU seconds of this process, the
lowest of some repeats in turn, and their ratios.

``stores`` renders the same songs onto a disk and into an object store (moto's server, in a process
of its own on this machine, which is not counted), and mixes with audio from both, with an empty
cache. Printed is what ``tars`` prints.

``lazy`` renders the same songs with and without audio (``render --lazy``), and prints what
rendering takes, what is stored, and what a pack has, against the bytes of the FLAC files; and
examples per second of ``train --loader stream`` from both, the one without audio with an empty
cache and with a full one: batches as the loader gives them, without a model. Its seconds are those
of the wall clock, so that other programs should rest meanwhile.

Scores of the last three are those of ``stemsmith demo`` unless a folder is given.
"""

from __future__ import annotations

import click
from scaling.extrapolate import extrapolate
from scaling.lazy import lazy
from scaling.million import million
from scaling.stores import stores
from scaling.tars import tars


@click.group()
def main() -> None:
    """Measure."""


for command in (million, extrapolate, tars, stores, lazy):
    main.add_command(command)

if __name__ == "__main__":
    main()
