"""What the audit finds of faults put in on purpose and where nothing is wrong, and its cost.

    python benchmarks/audit.py MIDI_DIR [--stems 200] [--seconds 60] [--songs 100] [--seed 0]

The songs that are judged are those behind the first 78 of a seeded shuffle; thresholds were tuned
on these 78. Faults are drawn over all parts of the songs that have a place for them: single notes
are of 100 ms or more, and begin after 50 ms of silence on their own, or are alone at their pitch
class. ``--tuned`` looks at the 78 instead. Each stem is judged twice: beside its notes as the patch
plays them alone, as in `render`, and by its labels alone, as published corpora are.
"""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import click
import numpy as np
import numpy.typing as npt
from stemsmith.manifests.programs import DRUMS
from stemsmith.manifests.records import Defect, Rejection
from stemsmith.render.audit.blocks import block_levels
from stemsmith.render.audit.faults import EXPECTED, SINGLE, FaultKind, PlayedPart, inject
from stemsmith.render.audit.level_checks import beginnings
from stemsmith.render.audit.note_checks import decidable
from stemsmith.render.audit.reference import Reference, reference_of
from stemsmith.render.audit.stem import audit_stem
from stemsmith.render.audit.stem_notes import StemNotes, as_played
from stemsmith.render.corpus.config import RenderConfig
from stemsmith.render.corpus.selection import patches_of
from stemsmith.render.midi.scan import load_score, plan_scan, scan_files
from stemsmith.render.midi.smf import Event
from stemsmith.render.sound.patches import Bank, bank_from_soundfonts
from stemsmith.render.sound.sf2 import default_soundfont
from stemsmith.render.sound.synth import on_grid

SAMPLE_RATE = 44100
N_TUNED = 78
BESIDE, ALONE = HOW = ("beside the patch", "labels alone")
N_PITCHLESS = (FaultKind.MUTED, FaultKind.DOUBLED, FaultKind.LATE)


def parts_of(path: Path, bank: Bank, seconds: float) -> Iterator[tuple[str, PlayedPart, StemNotes]]:
    """Yield the parts of a song as they are rendered, cut to some seconds, with their names."""
    config = RenderConfig(band=None)
    (job,) = plan_scan(path.parent, [path.name], config.max_duration_s)
    (song,) = scan_files(job)
    if isinstance(song, Rejection):
        return
    _, score = load_score(path, config.max_duration_s)
    n_samples = int((min(score.duration_s, seconds) + 5) * 10) * (SAMPLE_RATE // 10)
    for index, patch in enumerate(patches_of(song, config, bank)):
        if patch is None or patch.preset is None:
            continue
        events = score.events(index)
        frames = on_grid(score.tempo_map.seconds([e.tick for e in events]), SAMPLE_RATE)
        last = int(on_grid(min(seconds, score.duration_s), SAMPLE_RATE))
        found = score.notes(index)
        onset, offset = (
            on_grid(score.tempo_map.seconds(t), SAMPLE_RATE)
            for t in (found.onset_tick, found.offset_tick)
        )
        table = np.stack([onset, offset, found.pitch, found.velocity], axis=1).astype(np.int64)
        table = table[table[:, 0] < last]
        table[:, 1] = np.minimum(table[:, 1], last)
        if not len(table):
            continue
        events, frames = _cut(events, frames, last)
        part = PlayedPart(events, frames, table, patch.preset, SAMPLE_RATE, n_samples)
        is_drum = song.parts[index].program == DRUMS
        notes = as_played(table, SAMPLE_RATE, is_drum=is_drum, events=events, frames=frames)
        yield f"{path.name} S{index:02d} {patch.name}", part, notes


def _cut(
    events: list[Event], frames: npt.NDArray[np.int64], last: int
) -> tuple[list[Event], npt.NDArray[np.int64]]:
    """Let everything go at a sample, so that the tail is as at the end of a song."""
    kept = [event for event, frame in zip(events, frames.tolist(), strict=True) if frame < last]
    channel = next(e.data[0] & 0xF for e in kept or events if e.data[0] < 0xF0)
    ends = [bytes((0xB0 | channel, pedal, 0)) for pedal in (64, 66)]
    ends += [bytes((0x80 | channel, key, 0)) for key in range(128)]
    times = np.concatenate([frames[frames < last], np.full(len(ends), last, np.int64)])
    return kept + [Event(0, data) for data in ends], times


def places(part: PlayedPart, notes: StemNotes) -> list[tuple[int, str]]:
    """Return the notes that a fault may be put into, and why each can be told from the others."""
    audio, _ = part.audio()
    levels = block_levels(audio, SAMPLE_RATE)
    begun = beginnings(levels, notes, SAMPLE_RATE)
    single = begun.is_after_silence & (begun.last - begun.first == 1)
    after = set(begun.first[single].tolist())
    alone = set() if notes.is_drum else set(decidable(levels, notes, part.n_samples, SAMPLE_RATE))
    fits = notes.is_heard & notes.is_steady
    fits &= part.notes[:, 1] - part.notes[:, 0] >= 0.1 * SAMPLE_RATE
    fits &= part.notes[:, 1] < part.n_samples - 1.2 * SAMPLE_RATE
    return [
        (k, "after silence" if k in after else "alone in its pitch class")
        for k in sorted(after | alone)
        if fits[k]
    ]


@click.command()
@click.argument("midi_dir", type=click.Path(path_type=Path))
@click.option("--stems", default=200, show_default=True, help="Stems for each kind of fault.")
@click.option("--songs", "n_songs", default=100, show_default=True, help="Songs that are judged.")
@click.option("--seconds", default=60.0, show_default=True, help="Beginning of each song, in s.")
@click.option("--soundfont", type=click.Path(path_type=Path), help="Instead of the default one.")
@click.option("--seed", default=0, show_default=True, help="Of notes, noise and places.")
@click.option("--tuned", is_flag=True, help="The songs that thresholds were tuned on.")
def main(
    midi_dir: Path,
    stems: int,
    n_songs: int,
    seconds: float,
    soundfont: Path | None,
    seed: int,
    tuned: bool,
) -> None:
    """Print what was found of each kind of fault, and every finding on clean stems."""
    paths = sorted(p for p in midi_dir.rglob("*") if p.suffix.lower() in (".mid", ".midi", ".kar"))
    random.Random(1).shuffle(paths)
    paths = paths[:N_TUNED] if tuned else paths[N_TUNED:]
    bank = bank_from_soundfonts([soundfont or default_soundfont()])
    rng = np.random.default_rng(seed)
    found: Counter[tuple[str, str, str]] = Counter()
    tried: Counter[tuple[str, str]] = Counter()
    false: Counter[tuple[str, str]] = Counter()
    n_clean, synthesis_s, audit_s = 0, 0.0, 0.0
    for path in paths[:n_songs]:
        for name, part, notes in parts_of(path, bank, seconds):
            start = time.process_time()
            audio, _ = part.audio()
            middle = time.process_time()
            reference = _reference(part, notes)
            defects = audit_stem(audio[None], notes, SAMPLE_RATE, None, reference)
            synthesis_s += middle - start
            audit_s += time.process_time() - middle
            n_clean += 1
            _report(name, BESIDE, defects, false)
            _report(name, ALONE, audit_stem(audio[None], notes, SAMPLE_RATE), false)
            if np.any(audio):
                _try_faults(part, notes, reference, stems, rng, found, tried)
    print(f"\n{n_clean} clean stems; synthesis {synthesis_s:.1f} s, audit {audit_s:.1f} s of CPU")
    print("\nfalse alarms                 beside the patch       labels alone")
    for kind in sorted({kind for _, kind in false}):
        columns = [
            f"{false[how, kind]:4} stems {100 * false[how, kind] / n_clean:5.2f} %" for how in HOW
        ]
        print(f"  {kind:26} {'     '.join(columns)}")
    print(
        "\nfaults                                          tried   beside the patch   labels alone"
    )
    for key in sorted(tried):
        shares = [f"{100 * found[how, *key] / tried[key]:5.1f} %" for how in HOW]
        print(f"  {key[0]:22} {key[1]:26} {tried[key]:4}   {'            '.join(shares)}")


def _reference(part: PlayedPart, notes: StemNotes) -> Reference | None:
    return reference_of(notes, part.events, part.frames, part.preset, SAMPLE_RATE, part.n_samples)


def _report(
    name: str, how: str, defects: tuple[Defect, ...], false: Counter[tuple[str, str]]
) -> None:
    """Print and count what is found in a stem in which nothing is wrong."""
    for kind in sorted({str(defect.kind) for defect in defects}):
        of_kind = [d for d in defects if d.kind == kind]
        false[how, kind] += 1
        at_s, size = of_kind[0].start / SAMPLE_RATE, of_kind[0].size
        print(
            f"clean, {how}: {kind} x {len(of_kind)}, {at_s:.2f} s, {size:.1f}: {name}", flush=True
        )


def _try_faults(
    part: PlayedPart,
    notes: StemNotes,
    reference: Reference | None,
    stems: int,
    rng: np.random.Generator,
    found: Counter[tuple[str, str, str]],
    tried: Counter[tuple[str, str]],
) -> None:
    """Put a fault of each kind that is still wanted into a stem, and count what is found."""
    candidates = places(part, notes)
    for kind in FaultKind:
        needs_pitch = kind not in (*N_PITCHLESS, *set(FaultKind) - set(SINGLE)) or (
            kind in (FaultKind.STEM_SEMITONE, FaultKind.STEM_HALF_SEMITONE, FaultKind.STEM_OCTAVE)
        )
        if notes.is_drum and needs_pitch:
            continue
        if kind not in SINGLE:
            wanted = [(0, "whole stem")] * (tried[str(kind), "whole stem"] < stems)
        else:
            wanted = [c for c in candidates if tried[str(kind), c[1]] < stems]
        if not wanted:
            continue
        note, place = wanted[int(rng.integers(len(wanted)))]
        fault = inject(kind, part, note, rng)
        if fault is None:
            continue
        tried[str(kind), place] += 1
        for how, beside in ((BESIDE, reference), (ALONE, None)):
            defects = audit_stem(fault.audio[None], notes, SAMPLE_RATE, None, beside)
            found[how, str(kind), place] += any(
                d.kind in EXPECTED[kind] and d.start < fault.end and d.end > fault.start
                for d in defects
            )


if __name__ == "__main__":
    main()
