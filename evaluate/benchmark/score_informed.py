"""Score-constrained NMF as a system that is scored: where the scores of songs are."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from stemsmith.evaluate.benchmark.datasets import Dataset, DatasetSong
from stemsmith.evaluate.benchmark.song import Unscorable, read_song
from stemsmith.evaluate.benchmark.systems import System, require_torch
from stemsmith.evaluate.nmf.options import NmfConfig
from stemsmith.evaluate.nmf.scores import (
    ScorePart,
    parts_of_targets,
    program_of,
    read_parts,
    score_of_song,
    score_of_stem,
)
from stemsmith.manifests import places
from stemsmith.manifests.audio.read import encode_wav
from stemsmith.manifests.errors import UsageError
from stemsmith.manifests.jobs import QUIET, Progress
from stemsmith.manifests.places import place
from stemsmith.mixing.sources.taxonomy import Taxonomy, read_taxonomy

__all__ = ["ScoreInformed"]

_EXPECTED: Final = "<stem>.mid or .txt beside the stems, or <song>.mid; nmf:FOLDER has them"


class ScoreInformed:
    """NMF that knows the scores of a data set's songs.

    Parameters
    ----------
    system : System
        The system: its folder of scores, if it has one, and whether it is informed.
    dataset : Dataset
        The songs that are to be separated.
    taxonomy : str
        What groups instruments to targets, as `read_taxonomy` takes it.
    config : NmfConfig
        How gains are found, and what bases are learned from.
    device : str
        Where they are found: ``auto``, ``cpu`` or ``cuda``.
    progress : Progress
        Is told what is wrong with patches of the bank.

    Attributes
    ----------
    names : tuple of str
        Names of the targets that it separates: those of the data set.

    Raises
    ------
    UsageError
        If torch is not there, there is no such folder of scores or bank, or not one song has a
        score.
    """

    def __init__(
        self,
        system: System,
        dataset: Dataset,
        taxonomy: str,
        config: NmfConfig,
        device: str,
        progress: Progress = QUIET,
    ) -> None:
        require_torch()
        from stemsmith.evaluate.nmf.separator import LearnedBases
        from stemsmith.evaluate.separation.blockwise import torch_device
        from stemsmith.render.workflow import make_bank

        torch_device(device)
        self.names = dataset.targets
        self._config, self._device, self._is_informed = config, device, system.is_informed
        self._folder = system.folders[0] if system.folders else None
        if self._folder is not None and not self._folder.is_dir():
            raise UsageError(f"{self._folder}: not a folder of scores")
        self._taxonomy: Taxonomy = read_taxonomy(taxonomy)
        if not any(self._scores(song) for song in dataset.songs):
            raise UsageError(f"{system.name}: {self._missing(dataset.songs[0])}")
        self._bases = LearnedBases(make_bank(config.soundfonts, config.bank, progress))

    def to_dict(self) -> dict[str, Any]:
        """Return what the manifest says of the system."""
        from stemsmith.render.corpus.manifest import bank_header

        header = bank_header(self._bases.bank)
        return {
            **self._config.to_dict(),
            "is_informed": self._is_informed,
            **{key: header[key] for key in ("soundfonts", "patch_bank")},
            "libfluidsynth": header["versions"]["libfluidsynth"],
        }

    def inputs(self, song: DatasetSong) -> list[tuple[str, str]]:
        """Return names and hashes of a song's scores: they decide its estimates."""
        return [(path.name, places.sha256_of(path)) for path in self._scores(song)]

    def separate(self, song: DatasetSong, folder: Path) -> None:
        """Write the estimates of a song as ``<name>.wav``, 32-bit float.

        Nothing is written for a song that cannot be read, since scoring it will say why.

        Raises
        ------
        UsageError
            If it has no score, or one that is of no use; the text names it.
        """
        try:
            audio = read_song(song)
        except Unscorable:
            return
        from stemsmith.evaluate.nmf.separator import NmfSeparator

        parts = self._parts(song, audio.sample_rate, audio.mixture.shape[1])
        separator = NmfSeparator(parts, self._bases, self._config, self._is_informed, self._device)
        folder.mkdir(parents=True, exist_ok=True)
        estimates = separator.separate(audio.mixture, audio.sample_rate)
        for name, estimate in estimates.items():
            (folder / f"{name}.wav").write_bytes(encode_wav(estimate, audio.sample_rate))

    def _parts(
        self, song: DatasetSong, sample_rate: int, n_samples: int
    ) -> dict[str, list[ScorePart]]:
        """Return what the targets of a song play, in their order."""
        present = {stem.target for stem in song.stems}
        targets = [target for target in self.names if target in present]
        scores = self._scores(song)
        if not scores:
            raise UsageError(self._missing(song))
        if len(scores) < len(song.stems):
            return parts_of_targets(scores[0], targets, self._taxonomy)
        parts: dict[str, list[ScorePart]] = {target: [] for target in targets}
        for stem, path in zip(song.stems, scores, strict=True):
            names = stem.location.stem.removeprefix(f"{song.name}-"), stem.target
            for part in read_parts(path, names):
                own = part
                if not stem.score and part.program == 0:  # as of files that name no instrument
                    known = (p for name in names if (p := program_of(name)) is not None)
                    own = replace(part, program=next(known, 0))
                if stem.shift:
                    own = own.shifted(stem.shift / sample_rate, n_samples / sample_rate)
                parts[stem.target].append(own)
        return parts

    def _scores(self, song: DatasetSong) -> list[Path]:
        """Return the score of every stem, or one of the song, or none."""
        own = []
        for stem in song.stems:
            if stem.score and self._folder is None:
                own.append(place(stem.score))
                continue
            found = score_of_stem(stem.location, song.name, self._folder)
            if found is None:
                break
            own.append(found)
        if len(own) == len(song.stems):
            return own
        of_song = score_of_song(song.stems[0].location, song.name, self._folder)
        return [] if of_song is None else [of_song]

    def _missing(self, song: DatasetSong) -> str:
        folder = song.stems[0].location.parent if self._folder is None else self._folder
        return f"{folder}: no score of {song.name}; expected {_EXPECTED}"
