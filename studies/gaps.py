"""How far a corpus is from the songs of tests, as a stage of a study keeps it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

from stemsmith.evaluate.realism.gap import Gap
from stemsmith.evaluate.realism.song_sound import MIXTURE
from stemsmith.manifests import storage
from stemsmith.manifests.documents import Every, Nullable, misfit, read_json
from stemsmith.manifests.errors import InvalidCorpus

__all__ = ["read_distances", "write_gap"]

_GAP: Final = "gap.json"
_SHAPE: Final = {
    "spectra": Every(dict, {"gap_db": Nullable(float)}),
    "measures": Every(dict, {"difference": Nullable(float)}),
}


def write_gap(gap: Gap, folder: Path) -> None:
    """Write what `measure_gap` found into a folder, which is made where it is not there."""
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps(gap.to_dict(), indent=1, sort_keys=True, ensure_ascii=False)
    storage.write_atomic(folder / _GAP, text.encode() + b"\n")


def read_distances(folder: Path) -> dict[str, float]:
    """Return every distance between a corpus and real songs that is known.

    Parameters
    ----------
    folder : Path
        Where `write_gap` wrote.

    Returns
    -------
    dict of str to float
        By measure, the gap of the spectra of mixtures, then of each group, in dB, and the absolute
        difference of the means of everything else, each in its unit.

    Raises
    ------
    InvalidCorpus
        If the file is missing or damaged.
    """
    path = folder / _GAP
    try:
        content = read_json(path, InvalidCorpus)
    except FileNotFoundError:
        raise InvalidCorpus(f"{path}: is missing; remove {folder} and run again") from None
    if problem := misfit(content, _SHAPE):
        raise InvalidCorpus(f"{path}: {problem}; remove {folder} and run again")
    # Keys are sorted in the file; the mixture comes first here.
    kinds = sorted(content["spectra"], key=lambda kind: (kind != MIXTURE, kind))
    distances = {f"gap of {kind}, dB": content["spectra"][kind]["gap_db"] for kind in kinds}
    distances |= {name: one["difference"] for name, one in content["measures"].items()}
    return {name: abs(value) for name, value in distances.items() if value is not None}
