"""What trainers find in a folder: the parts of their data sets that decide about files.

Each function looks for files as the cited lines do, with the same patterns and the same conditions,
and gives what they keep. Nothing else of these programs is here: their code runs only with their
own requirements.
"""

from __future__ import annotations

import csv
import hashlib
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

__all__ = [
    "demucs_cached",
    "demucs_metadata",
    "msst_balanced",
    "msst_listed",
    "msst_of_targets",
    "msst_songs",
    "msst_validation",
    "musdb_tracks",
    "openunmix_sources",
]

_MSST_ENDINGS = ("wav", "flac")


def msst_songs(data_path: str, instruments: list[str]) -> dict[str, tuple[int, list[str]]]:
    """Return length and instruments of the songs of MSST's types 1, 4, 6 and 7.

    ZFTurbo/Music-Source-Separation-Training at ccc011a, utils/dataset.py: `get_metadata` (lines 766
    to 806) and `get_track_set_length` (lines 184 to 205).
    """
    songs = {}
    for path in sorted(Path(data_path).glob("*")):
        if path.name[0] == "." or not path.is_dir():
            continue
        lengths, found = [], []
        for instrument in instruments:
            for ending in _MSST_ENDINGS:
                file = path / f"{instrument}.{ending}"
                if file.is_file():
                    lengths.append(soundfile.info(file).frames)
                    found.append(instrument)
                    break
        songs[str(path)] = (np.array(lengths).min(), found)  # fails where a song has no instrument
    return songs


def msst_of_targets(data_path: str, instruments: list[str]) -> dict[str, list[tuple[str, int]]]:
    """Return the files of each instrument of MSST's type 2 (utils/dataset.py, lines 807 to 836)."""
    found = {}
    for instrument in instruments:
        folder = Path(data_path, instrument)
        paths = [*sorted(folder.glob("*.wav")), *sorted(folder.glob("*.flac"))]
        found[instrument] = [(str(path), soundfile.info(path).frames) for path in paths]
    return found


def msst_listed(data_path: str, instruments: list[str]) -> dict[str, list[tuple[str, int]]]:
    """Return the files of each instrument of MSST's type 3 (utils/dataset.py, lines 837 to 877)."""
    with Path(data_path).open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    return {
        instrument: [
            (row["path"], soundfile.info(row["path"]).frames)
            for row in rows
            if row["instrum"] == instrument and Path(row["path"]).is_file()
        ]
        for instrument in instruments
    }


def msst_balanced(
    data_path: str, instruments: list[str], max_ratio: float = 0.4
) -> dict[str, list[str]]:
    """Return the songs of each instrument that type 7 draws, which must not be in too many songs.

    utils/dataset.py, `_build_class_to_tracks` (lines 357 to 452).
    """
    songs = msst_songs(data_path, instruments)
    balanced = {}
    for instrument in instruments:
        own = [path for path, (_, found) in songs.items() if instrument in found]
        if own and len(own) / len(songs) <= max_ratio:
            balanced[instrument] = own
    if not balanced:
        raise RuntimeError("dataset_type 7: all classes were filtered out by frequency threshold")
    return balanced


def msst_validation(valid_path: str, instruments: list[str]) -> dict[str, dict[str, str]]:
    """Return the references of each mixture that MSST validates on.

    valid.py at ccc011a: `get_mixture_paths` (lines 75 to 90) and `get_instruments` of
    `process_audio_files` (lines 257 to 269).
    """
    root = Path(valid_path)
    found = {}
    for mixture in [*root.rglob("mixture.wav"), *root.rglob("mixture.flac")]:
        references = {}
        for instrument in instruments:
            for ending in ("wav", "flac"):
                path = mixture.parent / f"{instrument}.{ending}"
                if path.exists():
                    references[instrument] = str(path)
                    break
        found[str(mixture)] = references
    return found


def demucs_metadata(path: Path, sources: list[str]) -> dict[str, dict[str, Any]]:
    """Return what Demucs finds out of a folder before it trains.

    facebookresearch/demucs at e976d93, demucs/wav.py: `build_metadata` (lines 78 to 104) and
    `_track_metadata` (lines 30 to 75). PyTorch's standard deviation divides by n - 1.
    """
    metadata = {}
    for folder, folders, _ in os.walk(path, followlinks=True):
        root = Path(folder)
        if root.name.startswith(".") or folders or root == path:
            continue
        infos = [soundfile.info(root / f"{name}.wav") for name in (*sources, "mixture")]
        if len({(info.frames, info.samplerate) for info in infos}) > 1:
            raise ValueError(f"Invalid length for file {root}")
        audio, rate = soundfile.read(root / "mixture.wav", dtype="float32", always_2d=True)
        mono = audio.mean(axis=1)
        metadata[str(root.relative_to(path))] = {
            "length": len(mono),
            "mean": float(mono.mean(dtype=np.float64)),
            "std": float(mono.std(ddof=1, dtype=np.float64)),
            "samplerate": rate,
        }
    return metadata


def demucs_cached(wav: str, metadata: Path) -> list[dict[str, dict[str, Any]]]:
    """Return the metadata of ``train`` and ``valid`` that Demucs finds and so does not make.

    demucs/wav.py, `get_wav_datasets` (lines 187 to 201).
    """
    signature = hashlib.sha1(str(wav).encode()).hexdigest()[:8]
    content = json.loads((metadata / f"wav_{signature}.json").read_text())
    assert isinstance(content, list)
    return content


def openunmix_sources(
    root: Path, split: str, folders: list[str], seq_duration: float
) -> dict[str, list[Path]]:
    """Return the files that Open-Unmix draws from for each source.

    sigsep/open-unmix-pytorch at fb672c9, openunmix/data.py: `SourceFolderDataset.get_tracks`
    (lines 484 to 500).
    """
    found = {}
    for name in folders:
        paths = sorted((root / split / name).glob("*.wav"))
        found[name] = [path for path in paths if soundfile.info(path).duration > seq_duration]
    return found


def musdb_tracks(root: Path, subset: str, setup: dict[str, Any]) -> dict[str, dict[str, str]]:
    """Return the files of the sources of each track, as the musdb package finds them.

    sigsep/sigsep-mus-db at c018167, musdb/__init__.py: `DB.load_mus_tracks` with ``is_wav``
    (lines 197 to 241).
    """
    tracks = {}
    for folder, folders, _ in os.walk(root / subset):
        for name in sorted(folders):
            track = root / subset / name
            assert (track / setup["mixture"]).exists(), folder
            sources = {key: track / file for key, file in setup["sources"].items()}
            tracks[name] = {key: str(file) for key, file in sources.items() if file.exists()}
    return tracks
