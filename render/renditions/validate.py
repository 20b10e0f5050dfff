"""Checking a corpus of renditions against its checksums and invariants."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from stemsmith.manifests import places, shards, storage
from stemsmith.manifests.audio.flac import SampleHash
from stemsmith.manifests.audio.read import FULL_SCALE_24, audio_info, read_excerpt
from stemsmith.manifests.corpus import Corpus
from stemsmith.manifests.errors import InvalidCorpus
from stemsmith.manifests.jobs import recheck
from stemsmith.manifests.mixtures import Mixture, MixtureSource
from stemsmith.manifests.places import place
from stemsmith.manifests.records import Finding
from stemsmith.manifests.renditions import Rendition, RenditionStem
from stemsmith.manifests.run_folder import refuse_unfinished
from stemsmith.manifests.splits import SPLITS
from stemsmith.mixing.audio.realise import MIXTURE, realise
from stemsmith.mixing.level.gains import db_to_linear
from stemsmith.mixing.level.loudness import envelope, integrated_loudness
from stemsmith.render.corpus.layout import RUN_FOLDER
from stemsmith.render.renditions.closing import SCORES_FOLDER
from stemsmith.render.sound.heard import check_heard

__all__ = ["PieceValidation", "plan_validation", "validate_piece"]

_LOUDNESS_TOLERANCE_LU: Final = 0.01
_PEAK_TOLERANCE_DB: Final = 0.01
_SUM_TOLERANCE: Final = 1e-5
# Softer stems and peaks are near the rounding to 24 bits.
_LOWEST_COMPARED_DB: Final = -90.0


@dataclass(frozen=True, slots=True)
class PieceValidation:
    """One piece to check.

    Attributes
    ----------
    root : str
        Folder of the corpus.
    track, song_id : str
        Label of the piece, and MD5 of its score.
    stems : tuple of RenditionStem
        Records of all its stems.
    renditions : tuple of Rendition
        Records of all its renditions.
    """

    root: str
    track: str
    song_id: str
    stems: tuple[RenditionStem, ...]
    renditions: tuple[Rendition, ...]


def plan_validation(corpus: Corpus) -> list[PieceValidation]:
    """Check what concerns a corpus of renditions as a whole, and plan the checks of its pieces.

    The whole is: nothing left of a run, the shards and the manifest's counts, unique ids, pieces
    with the same notes within one split, files that no record names.

    Raises
    ------
    InvalidCorpus
        Naming the first offender.
    """
    refuse_unfinished(corpus.root / RUN_FOLDER, "render")
    corpus.verify()
    stems, renditions = corpus.rendition_stem_records(), corpus.rendition_records()
    _check_whole(corpus, stems, renditions)
    stems_of: dict[str, list[RenditionStem]] = {}
    for stem in stems:
        stems_of.setdefault(stem.song_id, []).append(stem)
    made: dict[str, list[Rendition]] = {}
    for rendition in renditions:
        made.setdefault(rendition.song_id, []).append(rendition)
    return [
        PieceValidation(
            str(corpus.root), own[0].track, song_id, tuple(own), tuple(made.get(song_id, ()))
        )
        for song_id, own in stems_of.items()
    ]


def _check_whole(
    corpus: Corpus, stems: Sequence[RenditionStem], renditions: Sequence[Rendition]
) -> None:
    header, root = corpus.header, corpus.root
    manifest = root / shards.MANIFEST
    if (len(stems), len(renditions)) != (header.get("n_stems"), header.get("n_renditions")):
        raise InvalidCorpus(f"{manifest}: counts are not those of the records")
    ids = [*(s.stem_id for s in stems), *(r.rendition_id for r in renditions)]
    if len(set(ids)) != len(ids):
        raise InvalidCorpus(f"{root}: a stem or a rendition is recorded twice")
    split_of: dict[str, str] = {}
    split_of_group: dict[str, str] = {}
    for stem in stems:
        if split_of.setdefault(stem.notes_sha256, stem.split) != stem.split:
            raise InvalidCorpus(f"{root}: notes of {stem.track} lie in two splits")
        group = stem.duplicate_group or stem.notes_sha256
        if split_of_group.setdefault(group, stem.split) != stem.split:
            raise InvalidCorpus(f"{root}: music like that of {stem.track} lies in two splits")
    counted = {split: len({s.song_id for s in stems if s.split == split}) for split in SPLITS}
    if header.get("n_songs") != counted:
        raise InvalidCorpus(f"{manifest}: has {counted} songs, not as it says")
    known = {stem.path for stem in stems} | {stem.midi_path for stem in stems}
    known |= {f"{SCORES_FOLDER}/{stem.track}.mid" for stem in stems}
    known |= {entry["file"] for entry in header["shards"]}
    found = [*root.glob("*.parquet"), *root.glob("stems/**/*"), *root.glob("scores/**/*")]
    for path in sorted(found):
        if not path.is_dir() and path.relative_to(root).as_posix() not in known:
            raise InvalidCorpus(f"{path}: no record names it")


def validate_piece(job: PieceValidation) -> Finding:
    """Check the files of one piece, and one of its renditions, against the records."""
    try:
        _check_piece(job)
    except InvalidCorpus as error:
        recheck(error)
        return Finding(job.track, str(error))
    return Finding(job.track, None)


def _check_piece(job: PieceValidation) -> None:
    root = place(job.root)
    score = root / SCORES_FOLDER / f"{job.track}.mid"
    if not score.is_file() or storage.file_hash(score, "md5") != job.song_id:
        raise InvalidCorpus(f"{score}: missing, or its MD5 is not the piece's id")
    stems = {stem.stem_id: stem for stem in job.stems}
    used: set[str] = set()
    for rendition in job.renditions:
        for source in rendition.sources:
            stem = stems.get(source.stem_id)
            if stem is None or (stem.n_samples, stem.tempo, stem.stem) != (
                rendition.n_samples,
                rendition.tempo,
                source.stem,
            ):
                raise InvalidCorpus(
                    f"{root}: rendition {rendition.rendition_id}: {source.stem_id} is no stem of "
                    f"its tempo and length that plays {source.stem}"
                )
            used.add(source.stem_id)
    if unused := set(stems) - used:
        raise InvalidCorpus(f"{root}: no rendition uses the stem {min(unused)}")
    for stem in job.stems:
        _check_stem(root, stem)
    _check_sum(root, job.renditions[0], stems)


def _check_stem(root: Path, stem: RenditionStem) -> None:
    for relative, sha256 in ((stem.path, stem.sha256), (stem.midi_path, stem.midi_sha256)):
        file = storage.inside(root, relative)
        if not places.is_file(file):
            raise InvalidCorpus(f"{file}: missing")
        if places.sha256_of(file) != sha256:
            raise InvalidCorpus(f"{file}: SHA-256 is not the recorded one")
    path = storage.inside(root, stem.path)
    n_channels = stem.n_channels or 1
    if tuple(audio_info(path)) != (stem.sample_rate, n_channels, stem.n_samples):
        raise InvalidCorpus(
            f"{path}: not {stem.n_samples} samples of {n_channels} channels at "
            f"{stem.sample_rate} Hz"
        )
    audio = read_excerpt(path, 0, stem.n_samples)
    if stem.samples_sha256 is not None:
        samples = SampleHash(n_bits=24)
        samples.update(np.rint(audio * FULL_SCALE_24).astype(np.int32))  # exact
        if samples.hexdigest() != stem.samples_sha256:
            raise InvalidCorpus(f"{path}: SHA-256 of its samples is not the recorded one")
    levels = envelope(audio, stem.sample_rate)
    found = integrated_loudness(levels.k_power)
    recorded = integrated_loudness(stem.k_power, stem.gain_db)
    if not _agree(found, recorded, _LOUDNESS_TOLERANCE_LU):
        raise InvalidCorpus(f"{path}: {found} LUFS, not {recorded} as its envelope says")
    peak_dbfs = 20 * math.log10(levels.peak) if levels.peak else None
    if not _agree(peak_dbfs, stem.peak_dbfs, _PEAK_TOLERANCE_DB):
        raise InvalidCorpus(f"{path}: peaks at {peak_dbfs} dBFS, not {stem.peak_dbfs}")
    if len({len(stem.note_onset), len(stem.note_offset), len(stem.note_pitch), stem.n_notes}) > 1:
        raise InvalidCorpus(f"{path}: its note columns are not equally long")
    check_heard(path, stem, audio)


def _agree(a: float | None, b: float | None, tolerance: float) -> bool:
    lowest = _LOWEST_COMPARED_DB
    a, b = max(a if a is not None else lowest, lowest), max(b if b is not None else lowest, lowest)
    return abs(a - b) <= tolerance


def _check_sum(root: Path, rendition: Rendition, stems: dict[str, RenditionStem]) -> None:
    """Compare what a recipe makes of a rendition with the rolled stems, added up here."""
    n_channels = max(stem.n_channels or 1 for stem in stems.values())
    total = np.zeros((n_channels, rendition.n_samples), np.float64)
    sources = []
    for source in rendition.sources:
        stem = stems[source.stem_id]
        audio = read_excerpt(storage.inside(root, stem.path), 0, stem.n_samples)
        rolled = np.roll(audio.astype(np.float64), source.shift, axis=1)
        total += rolled * db_to_linear(source.gain_db)
        sources.append(_recipe_of(source.shift, source.gain_db, stem))
    mixture = Mixture(
        mixture_id=rendition.rendition_id,
        mode="renditions",
        split=rendition.split,
        sample_rate=rendition.sample_rate,
        n_samples=rendition.n_samples,
        n_channels=n_channels,
        peak_ceiling_dbfs=0.0,
        sources=tuple(sources),
    )
    made = realise(mixture, {"corpus": root}, is_verified=False)
    expected = total * db_to_linear(made.guard_gain_db)
    if np.abs(made[MIXTURE] - expected).max() > _SUM_TOLERANCE:
        raise InvalidCorpus(f"{root}: rendition {rendition.rendition_id}: not the sum of its stems")


def _recipe_of(shift: int, gain_db: float, stem: RenditionStem) -> MixtureSource:
    return MixtureSource(
        stem_id=stem.stem_id,
        song_id=stem.song_id,
        root="corpus",
        path=stem.path,
        stream=0,
        sha256=stem.sha256,
        group=stem.stem,
        role="source",
        sample_rate=stem.sample_rate,
        n_stem_samples=stem.n_samples,
        start=0,
        n_read=stem.n_samples,
        shift=shift,
        is_shift_padded=False,
        transforms=(),
        target_lufs=None,
        gain_db=gain_db,
    )
