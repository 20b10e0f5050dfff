"""Looks for notes of a corpus that are labelled as heard and are not there.

    python benchmarks/unheard_notes.py CORPUS

Reads nothing but the FLAC files and the Parquet records of the stems, and shares no code with what
wrote them. A note is looked at if the 50 ms before it are silent in its stem. It is there if its
stem has, within 250 ms of its onset, a peak above -70 dBFS and above -60 dB of the stem's peak;
silence is what is not above both. Notes with `note_heard` false are passed over, and counted.
Prints one line of JSON, and the first notes that are missing; the exit status is 1 if there is any.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq
import soundfile

COLUMNS = ["stem_id", "path", "patch", "note_onset", "note_pitch", "note_velocity", "note_heard"]
LOWEST = 10 ** (-70 / 20)
RANGE = 10 ** (-60 / 20)
BEFORE_S, WITHIN_S = 0.05, 0.25
SHOWN = 20


def main() -> None:
    """Look at every stem of a corpus."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("corpus", type=Path)
    corpus = parser.parse_args().corpus
    counts = {"stems": 0, "notes": 0, "marked": 0, "looked_at": 0, "missing": 0}
    missing: list[str] = []
    for stem in stems_of(corpus):
        audio, sample_rate = soundfile.read(corpus / stem["path"], dtype="float32")
        onset = np.array(stem["note_onset"], np.int64)
        heard = np.array(stem["note_heard"] or [True] * len(onset), bool)
        # So many loud samples there are before each one.
        n_loud = np.concatenate([[0], np.cumsum(loud_samples(audio))])
        at = np.minimum(onset, len(audio))
        before = np.maximum(at - int(BEFORE_S * sample_rate), 0)
        after = np.minimum(at + int(WITHIN_S * sample_rate), len(audio))
        is_looked_at = heard & (at < len(audio)) & (n_loud[at] == n_loud[before])
        counts["stems"] += 1
        counts["notes"] += len(heard)
        counts["marked"] += int((~heard).sum())
        counts["looked_at"] += int(is_looked_at.sum())
        for i in np.flatnonzero(is_looked_at & (n_loud[after] == n_loud[at])):
            note = f"pitch {stem['note_pitch'][i]} velocity {stem['note_velocity'][i]}"
            missing.append(f"{stem['stem_id']} {stem['patch']}: {note} at sample {onset[i]}")
    counts["missing"] = len(missing)
    print(json.dumps(counts))
    for line in missing[:SHOWN]:
        print(line)
    sys.exit(bool(missing))


def stems_of(corpus: Path) -> Iterator[dict[str, Any]]:
    """Yield the records of the stems."""
    for path in sorted(corpus.glob("stems-*.parquet")):
        yield from pq.read_table(path, columns=COLUMNS).to_pylist()


def loud_samples(audio: npt.NDArray[np.float32]) -> npt.NDArray[np.bool_]:
    """Return which samples are no silence."""
    magnitude = np.abs(audio)
    loud: npt.NDArray[np.bool_] = magnitude > max(LOWEST, RANGE * float(magnitude.max(initial=0)))
    return loud


if __name__ == "__main__":
    main()
