"""The certificate of a corpus: what was checked, how often, what was found, and on which bytes.

It says nothing of when, where and by whom: the same corpus has the same certificate. Whose bytes
it is about follows from the hash of ``manifest.json``, which has the hashes of the shards, which
have those of all other files.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from stemsmith.manifests import documents, places, shards, storage
from stemsmith.manifests.corpus import Corpus
from stemsmith.manifests.errors import InvalidCorpus
from stemsmith.manifests.programs import DRUMS
from stemsmith.manifests.records import Rejection, ScannedSong, Song, Stem
from stemsmith.manifests.renditions import RENDITIONS, RenditionStem
from stemsmith.manifests.splits import SPLITS
from stemsmith.render.corpus.card import CARD
from stemsmith.render.corpus.config import MixSource
from stemsmith.render.corpus.near_duplicates import (
    LEAST_CONTAINED,
    LEAST_SHARED,
    near_pairs,
)
from stemsmith.render.renditions.closing import SCORES_FOLDER
from stemsmith.render.songs import metadata as slakh

__all__ = [
    "JSON",
    "MARKDOWN",
    "Certificate",
    "check_certificate",
    "make_certificate",
    "score_paths",
]

JSON: Final = "CERTIFICATE.json"
MARKDOWN: Final = "CERTIFICATE.md"
_VERSION: Final = 1
_UNKNOWN: Final = "unknown"


@dataclass(frozen=True, slots=True)
class Certificate:
    """What is certified of a corpus.

    Attributes
    ----------
    root : Path
        Folder of the corpus.
    content : dict
        What ``CERTIFICATE.json`` says; ``docs/certificate.md`` names the keys.
    """

    root: Path
    content: Mapping[str, Any]

    @property
    def leaks(self) -> list[dict[str, Any]]:
        """Pairs of nearly the same music that lie in two splits."""
        found: list[dict[str, Any]] = self.content["leaks"]["across_splits"]
        return found

    @property
    def markdown(self) -> str:
        """The text of ``CERTIFICATE.md``."""
        return "\n".join(_lines(self.content)) + "\n"

    def write(self) -> None:
        """Write both files into the folder of the corpus, the one for programs last."""
        storage.write_atomic(self.root / MARKDOWN, _encoded(self.markdown))
        storage.write_atomic(self.root / JSON, _encoded(_json(self.content)))


def score_paths(corpus: Corpus) -> dict[str, str]:
    """Return where the score of each song of a corpus of either kind is, by its label."""
    if corpus.kind == RENDITIONS:
        tracks = dict.fromkeys(stem.track for stem in corpus.iter_stems())
        return {track: f"{SCORES_FOLDER}/{track}.mid" for track in tracks}
    return {song.track: f"{song.path}/{slakh.SOURCE_MIDI}" for song in corpus.song_records()}


def make_certificate(corpus: Corpus, scanned: Sequence[ScannedSong | Rejection]) -> Certificate:
    """Gather what is certified of a corpus that has been validated.

    Parameters
    ----------
    corpus : Corpus
        A corpus of either kind, all files of which are as its records say.
    scanned : sequence of ScannedSong or Rejection
        What a scan finds in the files of `score_paths`.

    Returns
    -------
    Certificate
        It is not written yet.
    """
    tally = _Tally(corpus)
    leaks = _leaks(tally.scores, scanned)
    content = {
        "certificate": _VERSION,
        "bytes": tally.bytes(),
        "corpus": tally.counts(),
        "checks": [*tally.checks(), *_leak_checks(leaks, len(tally.scores))],
        "leaks": leaks,
        "audit": tally.audit(),
        "licences": tally.licences(),
        "versions": corpus.header.get("versions", {}),
    }
    return Certificate(corpus.root, content)


def check_certificate(root: Path) -> bool:
    """Check that a corpus, if it is certified, still has the bytes that were certified.

    Parameters
    ----------
    root : Path
        Folder of a corpus whose files are those of its manifest, or are checked afterwards.

    Returns
    -------
    bool
        Whether there is a certificate.

    Raises
    ------
    InvalidCorpus
        If the certificate is damaged, or of other bytes.
    """
    path = root / JSON
    if not path.exists():
        if (root / MARKDOWN).exists():
            raise InvalidCorpus(f"{root / MARKDOWN}: {JSON} is missing; certify the corpus again")
        return False
    try:
        content = documents.read_json(path, InvalidCorpus)
        certified = content["bytes"]["manifest_sha256"]
        text = Certificate(root, content).markdown
    except (InvalidCorpus, ValueError, LookupError, TypeError, AttributeError) as error:
        raise InvalidCorpus(f"{path}: cannot be read; certify the corpus again") from error
    if certified != storage.file_hash(root / shards.MANIFEST):
        raise InvalidCorpus(
            f"{root / shards.MANIFEST}: not the one that {JSON} certifies: the bytes of the corpus "
            "are no longer those that were certified; certify it again"
        )
    if not (root / MARKDOWN).is_file() or (root / MARKDOWN).read_bytes() != _encoded(text):
        raise InvalidCorpus(f"{root / MARKDOWN}: not what {JSON} says; certify the corpus again")
    return True


@dataclass(frozen=True, slots=True)
class _Score:
    """What the certificate says of one score."""

    track: str
    split: str
    source: str
    licence: str | None


class _Tally:
    """Counts what a corpus of either kind holds, one shard of stems in memory at a time."""

    def __init__(self, corpus: Corpus) -> None:
        self._corpus = corpus
        self._songs = [] if corpus.kind == RENDITIONS else corpus.song_records()
        self._hashes: dict[str, str] = {}
        self._n_kits = self._n_pieces = 0
        self._n_stems = self._n_notes = self._n_hashed = self._n_audited = 0
        self._n_samples = 0.0
        self._stems_with: Counter[str] = Counter()
        self._defects: Counter[str] = Counter()
        self._n_defective = 0
        licences: dict[str, tuple[str, str | None]] = {}
        for stem in corpus.iter_stems():
            self._add(stem)
            if isinstance(stem, RenditionStem):
                licences[stem.track] = stem.split, stem.licence
        for piece in corpus.piece_records() if corpus.has_pieces else ():
            self._hashes[piece.path] = piece.sha256
            self._hashes[piece.midi_path] = piece.midi_sha256
            self._n_pieces += 1
        self.scores = list(self._scores(licences))
        self._add_other_files()

    def _add(self, stem: Stem | RenditionStem) -> None:
        self._hashes[stem.path] = stem.sha256
        self._hashes[stem.midi_path] = stem.midi_sha256
        if isinstance(stem, Stem) and stem.dry_path and stem.dry_sha256:
            self._hashes[stem.dry_path] = stem.dry_sha256
        self._n_stems += 1
        self._n_kits += isinstance(stem, Stem) and stem.program == DRUMS
        self._n_notes += stem.n_notes
        self._n_hashed += stem.samples_sha256 is not None
        found = stem.audit if isinstance(stem, Stem) else None
        if found is not None:
            self._n_audited += 1
            self._n_defective += bool(found)
            self._defects.update(str(defect.kind) for defect in found)
            self._stems_with.update({str(defect.kind) for defect in found})

    def _scores(self, licences: Mapping[str, tuple[str, str | None]]) -> Iterator[_Score]:
        for song in self._songs:
            yield _Score(song.track, song.split, song.source, song.licence)
        if licences:
            sources = {r.track: r.source for r in self._corpus.rendition_records()}
            for track, (split, licence) in licences.items():
                yield _Score(track, split, sources[track], licence)

    def _add_other_files(self) -> None:
        for song in self._songs:
            self._hashes[f"{song.path}/{slakh.SOURCE_MIDI}"] = song.midi_sha256
            self._hashes[f"{song.path}/{slakh.YAML}"] = song.metadata_sha256
            self._hashes[song.mix_path] = song.mix_sha256
            if song.master_path and song.master_sha256:
                self._hashes[song.master_path] = song.master_sha256
        root = self._corpus.root
        if not self._songs:
            for score in self.scores:
                path = f"{SCORES_FOLDER}/{score.track}.mid"
                self._hashes[path] = storage.file_hash(root / path)
        if (root / CARD).is_file():  # not in what earlier versions wrote
            self._hashes[CARD] = storage.file_hash(root / CARD)
        self._hashes |= {str(e["file"]): str(e["sha256"]) for e in self._corpus.header["shards"]}
        self._hashes[shards.MANIFEST] = storage.file_hash(root / shards.MANIFEST)

    def bytes(self) -> dict[str, Any]:
        """Return what tells the bytes from any other."""
        total, n_bytes = hashlib.sha256(), 0
        for path in sorted(self._hashes):
            total.update(f"{self._hashes[path]}  {path}\n".encode())  # as `sha256sum` writes
            n_bytes += places.size_of(self._corpus.root / path)
        return {
            "manifest_sha256": self._hashes[shards.MANIFEST],
            "files_sha256": total.hexdigest(),
            "n_files": len(self._hashes),
            "n_bytes": n_bytes,
        }

    def counts(self) -> dict[str, Any]:
        """Return what is in the corpus."""
        by_split = Counter(score.split for score in self.scores)
        counts = {
            **({"n_pieces": self._n_pieces} if self._n_pieces else {}),
            "kind": self._corpus.kind,
            "n_songs": {split: by_split[split] for split in SPLITS},
            "n_stems": self._n_stems,
            "n_notes": self._n_notes,
        }
        if self._corpus.kind == RENDITIONS:
            counts["n_renditions"] = len(self._corpus)
        return counts

    def checks(self) -> Iterator[dict[str, Any]]:
        """Yield what `validate` has checked; it ends at the first offence, so none was found."""
        n_songs, n_stems = len(self.scores), self._n_stems
        checks = {
            "SHA-256 of files": len(self._hashes),
            "MD5 of scores": n_songs,
            "length and sample rate of stems": n_stems,
            "SHA-256 of the samples of stems": self._n_hashed,
            "loudness and peak of stems as recorded": n_stems,
            "columns of notes of stems": n_stems,
            **({"drum kit = sum of its pieces": self._n_kits} if self._n_pieces else {}),
            "mixture = sum of its stems": _n_sums(self._songs) if self._songs else n_songs,
            "equal notes in one split": n_songs,
        }
        for check, n_checked in checks.items():
            yield {"check": check, "n_checked": n_checked, "n_found": 0}
        if self._n_audited:
            n_found = self._n_defective
            yield {"check": "audit of stems", "n_checked": self._n_audited, "n_found": n_found}
        n_unknown = sum(score.licence is None for score in self.scores)
        yield {"check": "licence of scores known", "n_checked": n_songs, "n_found": n_unknown}

    def audit(self) -> dict[str, Any] | None:
        """Return what the audit of the stems found, or None if nobody audited them."""
        if not self._n_audited:
            return None
        return {
            "n_stems": self._n_audited,
            "n_defective": self._n_defective,
            "n_stems_by_kind": dict(sorted(self._stems_with.items())),
            "n_defects_by_kind": dict(sorted(self._defects.items())),
        }

    def licences(self) -> dict[str, Any]:
        """Return the licences of the scores, with numbers, and of the soundfonts."""
        counts = Counter(score.licence or _UNKNOWN for score in self.scores)
        return {
            "scores": dict(sorted(counts.items())),
            "soundfonts": self._corpus.header.get("soundfonts", []),
        }


def _n_sums(songs: Sequence[Song]) -> int:
    return sum(song.mix_source == MixSource.AUTOMIX for song in songs)


def _leaks(scores: Sequence[_Score], scanned: Sequence[ScannedSong | Rejection]) -> dict[str, Any]:
    """Compare all scores with one another."""
    signatures = [s.melodic_signature if isinstance(s, ScannedSong) else None for s in scanned]
    pairs = near_pairs(signatures)
    across = []
    columns = (column.tolist() for column in pairs)
    for first, second, shared, contained in zip(*columns, strict=True):
        a, b = scores[first], scores[second]
        if a.split != b.split:
            names = [{"track": s.track, "split": s.split, "source": s.source} for s in (a, b)]
            across.append(
                {"songs": names, "shared": round(shared, 3), "contained": round(contained, 3)}
            )
    return {
        "least_contained": LEAST_CONTAINED,
        "least_shared": LEAST_SHARED,
        "n_compared": sum(signature is not None for signature in signatures),
        "n_pairs": len(pairs.first),
        "across_splits": across,
    }


def _leak_checks(leaks: Mapping[str, Any], n_songs: int) -> Iterator[dict[str, Any]]:
    yield {
        "check": "near duplicates in one split",
        "n_checked": leaks["n_compared"],
        "n_found": len(leaks["across_splits"]),
    }
    if n_plain := n_songs - leaks["n_compared"]:
        check = "near duplicates of scores too short or plain to compare: equal notes only"
        yield {"check": check, "n_checked": n_plain, "n_found": 0}


def _json(content: Mapping[str, Any]) -> str:
    return json.dumps(content, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "backslashreplace")


def _lines(content: Mapping[str, Any]) -> Iterator[str]:
    """Yield the lines of the certificate for people."""
    made_by = content["versions"].get("stemsmith", _UNKNOWN)
    counts, certified = content["corpus"], content["bytes"]
    songs = ", ".join(f"{counts['n_songs'][split]} {split}" for split in SPLITS)
    yield from ("# Certificate", "")
    renditions = f"{counts['n_renditions']} renditions, " if "n_renditions" in counts else ""
    yield f"A corpus of {counts['kind']}: {songs}; {renditions}{counts['n_stems']} stems,"
    if "n_pieces" in counts:
        yield f"{counts['n_pieces']} pieces of drum kits,"
    yield f"{counts['n_notes']} notes. Made by stemsmith {made_by}."
    yield from ("", "## Bytes", "")
    yield f"{certified['n_files']} files, {certified['n_bytes']} bytes."
    yield from ("", "| SHA-256 of | |", "|---|---|")
    yield f"| `{shards.MANIFEST}` | `{certified['manifest_sha256']}` |"
    yield f"| the list of all files | `{certified['files_sha256']}` |"
    yield from ("", "## Checks", "", "| check | checked | found |", "|---|---:|---:|")
    for row in content["checks"]:
        yield f"| {_cell(row['check'])} | {row['n_checked']} | {row['n_found']} |"
    yield from _leak_lines(content["leaks"])
    yield from _audit_lines(content["audit"])
    yield from ("", "## Licences", "", "| scores | songs |", "|---|---:|")
    for licence, n in sorted(content["licences"]["scores"].items()):
        yield f"| {_cell(licence)} | {n} |"
    yield from ("", "| soundfont | licence | SHA-256 |", "|---|---|---|")
    for font in content["licences"]["soundfonts"]:
        yield f"| {_cell(font['file'])} | {_cell(font['licence'])} | `{font['sha256']}` |"


def _leak_lines(leaks: Mapping[str, Any]) -> Iterator[str]:
    yield from ("", "## Leaks between splits", "")
    yield f"{leaks['n_compared']} scores were compared with one another, whatever their key, tempo,"
    yield f"order of tracks and instruments: {leaks['n_pairs']} pairs are nearly the same music,"
    yield f"{len(leaks['across_splits'])} of them in two splits."
    if leaks["across_splits"]:
        yield from ("", "| song | split | song | split | contained |", "|---|---|---|---|---:|")
    for pair in leaks["across_splits"]:
        names = (
            f"{_cell(s['track'])} ({_cell(s['source'])}) | {s['split']}" for s in pair["songs"]
        )
        yield f"| {' | '.join(names)} | {pair['contained']:.2f} |"


def _audit_lines(audit: Mapping[str, Any] | None) -> Iterator[str]:
    yield from ("", "## Audit of stems", "")
    if audit is None:
        yield "The stems were not audited."
        return
    yield f"{audit['n_stems']} stems were audited; something was found in {audit['n_defective']}."
    if audit["n_stems_by_kind"]:
        yield from ("", "| finding | stems | findings |", "|---|---:|---:|")
    for kind, n_stems in sorted(audit["n_stems_by_kind"].items()):
        yield f"| {_cell(kind)} | {n_stems} | {audit['n_defects_by_kind'][kind]} |"


def _cell(value: object) -> str:
    """Return text that stays in its cell of a table."""
    text = "".join(c if c.isprintable() else repr(c)[1:-1] for c in str(value))
    return text.replace("\\", "\\\\").replace("|", "\\|")
