"""Scores as they were played: the timing that renditions take over from a performance."""

from __future__ import annotations

import shutil
from pathlib import Path

from stemsmith.manifests import storage
from stemsmith.manifests.corpus import Corpus, Track
from stemsmith.manifests.errors import UsageError
from stemsmith.manifests.shards import MANIFEST

__all__ = ["write_aligned"]


def write_aligned(played: Path, scores: Path, destination: Path) -> None:
    """Write what was played of every score, as `stemsmith.render.renditions.aligned` reads it.

    Parameters
    ----------
    played : Path
        A corpus of songs of the scores; or a folder with aligned scores of anyone's, MIDI files or
        folders of texts that are called what the scores are.
    scores : Path
        What `stemsmith.studies.scores.copy_part` wrote.
    destination : Path
        Folder that is made anew.

    Raises
    ------
    UsageError
        Naming the first score of which there is nothing.
    """
    shutil.rmtree(destination, ignore_errors=True)
    destination.mkdir(parents=True)
    if (played / MANIFEST).exists():
        tracks = {Path(track.record.source).name: track for track in Corpus(played).values()}
        for path in _files(scores):
            if path.name not in tracks:
                raise UsageError(f"{played}: has no song of {path.name}, whose timing is wanted")
            _write_texts(tracks[path.name], destination / path.stem)
        return
    for path in _files(scores):
        name = Path(path.name.partition("-")[2])  # after the hash that `copy_part` puts before it
        midi, texts = played / name, played / name.stem
        if midi.is_file():
            storage.write_atomic(destination / path.name, midi.read_bytes())
        elif texts.is_dir():
            shutil.copytree(texts, destination / path.stem)
        else:
            raise UsageError(f"{played}: neither {name} nor a folder {name.stem} is there")


def _files(scores: Path) -> list[Path]:
    return sorted(path for path in scores.iterdir() if path.is_file())


def _write_texts(track: Track, folder: Path) -> None:
    """Write a text of onsets, offsets and notes for each stem."""
    folder.mkdir()
    for name, stem in track.stems.items():
        rate = track.record.sample_rate
        notes = stem.notes.to_pylist()
        lines = [
            f"{note['onset'] / rate:.4f},{note['offset'] / rate:.4f},{note['pitch']}\n"
            for note in notes
        ]
        storage.write_atomic(folder / f"{name}.txt", "".join(lines).encode())
