"""Planning a corpus again: the decisions of a pack, for the scores and patches of here."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from stemsmith.manifests.errors import InvalidCorpus, UsageError, one_line
from stemsmith.manifests.records import ScannedSong
from stemsmith.manifests.renditions import RENDITIONS
from stemsmith.manifests.scratch import OnDemand
from stemsmith.mixing.level.balance import Balance
from stemsmith.render.again.pack import Pack, PackedSong
from stemsmith.render.corpus.config import NONE, RenderConfig
from stemsmith.render.corpus.layout import SongTar
from stemsmith.render.corpus.manifest import bank_header, ordered_versions
from stemsmith.render.corpus.selection import Chosen, Selection, patches_of
from stemsmith.render.midi.playing import Dynamic
from stemsmith.render.renditions.config import RenditionConfig
from stemsmith.render.renditions.plan import RenditionPlan, plan_pieces
from stemsmith.render.renditions.render import stem_path
from stemsmith.render.songs import metadata as slakh
from stemsmith.render.songs.job import RenderJob
from stemsmith.render.songs.plan import CorpusPlan, plan_songs
from stemsmith.render.songs.production import Production, plan_production_again
from stemsmith.render.sound.patches import Bank

__all__ = [
    "Restoration",
    "config_of",
    "differing_versions",
    "plan_renditions_again",
    "plan_songs_again",
]

# Of a manifest, what is only known when a corpus is finished.
_OF_THE_END: Final = frozenset(
    {"fingerprint", "schema_version", "n_songs", "n_stems", "n_renditions", "rejections"}
    | {"audit", "shards", "tars"}
)
_RESTORED: Final = "restored_from"


@dataclass(frozen=True, slots=True)
class Restoration:
    """What is to be made of a pack, and with what.

    Attributes
    ----------
    pack : Pack
        The pack that is restored.
    songs : tuple of PackedSong
        Those of its songs that are made.
    bank : Bank
        The patches of the corpus, measured.
    config : RenderConfig
        The options of the corpus.
    production : Production
        Its effects and rooms.
    versions : dict of str to str
        Versions here of all that made the corpus, by name.
    midi_root, corpus : Path
        Folder of the scores, and folder that the corpus goes to.
    """

    pack: Pack
    songs: tuple[PackedSong, ...]
    bank: Bank
    config: RenderConfig
    production: Production
    versions: Mapping[str, str]
    midi_root: Path
    corpus: Path

    @property
    def is_whole(self) -> bool:
        """Whether all songs of the pack are made."""
        return len(self.songs) == len(self.pack.songs)

    @property
    def differences(self) -> str:
        """What differs here from what made the corpus, for people; empty if nothing does."""
        return differing_versions(self.pack.versions, self.versions)

    def fingerprint(self) -> str:
        """Return a hash of all that decides what is made here."""
        tracks = [song.track for song in self.songs]
        text = json.dumps([self.pack.fingerprint, tracks, self.versions], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()

    def header(self) -> dict[str, Any]:
        """Return what the manifest says of the corpus before it is finished, as the pack has it."""
        header = {k: v for k, v in self.pack.manifest.items() if k not in _OF_THE_END}
        if self.is_whole:
            return header
        header["n_duplicates_grouped"] = self._n_grouped()
        if "n_points" in header:
            tracks = {song.track for song in self.songs}
            header["n_points"] = {k: n for k, n in header["n_points"].items() if k in tracks}
        return header

    def _n_grouped(self) -> int:
        if self.is_whole:
            return int(self.pack.manifest["n_duplicates_grouped"])
        members = Counter(song.group for song in self.songs if song.group is not None)
        return sum(n for n in members.values() if n > 1)

    def selection(self, chosen: Sequence[Chosen]) -> Selection:
        """Return what stands for the selection of the songs."""
        return Selection(tuple(chosen), (), len(chosen), self._n_grouped())

    def finished(self, header: Mapping[str, Any], is_encoded_anew: bool) -> dict[str, Any]:
        """Return the manifest of a corpus all files and records of which are proved.

        Parameters
        ----------
        header : mapping of str to object
            What the manifest would say, with the shards that were written.
        is_encoded_anew : bool
            Whether there is a FLAC file of other bytes than the packed one.

        Returns
        -------
        dict of str to object
            The packed one if every byte is the same. One that says the versions of here, and of
            which corpus this one is, if not, or if songs are left out.

        Raises
        ------
        InvalidCorpus
            If shards have other bytes, and no version says why.
        """
        packed = self.pack.manifest
        header = json.loads(json.dumps(header))  # lists and text, as the pack has them
        expected = {k: v for k, v in packed.items() if k not in ("fingerprint", "schema_version")}
        if self.is_whole and header == expected:
            return dict(packed)
        is_other = is_encoded_anew or bool(self.differences)
        if self.is_whole and not is_other:
            raise InvalidCorpus(f"{self.corpus}: {_difference(header, expected)}")
        made = {**header, _RESTORED: _origin(packed)}
        if is_other:
            made["versions"] = {name: self.versions[name] for name in self._own_versions(packed)}
            if "versions" in packed.get("production", {}):
                of_production = packed["production"]["versions"]
                versions = {name: self.versions[name] for name in of_production}
                made["production"] = {**packed["production"], "versions": versions}
        return made

    def _own_versions(self, packed: Mapping[str, Any]) -> list[str]:
        """Return the names that the manifest of a corpus made here has versions of."""
        of_production = packed.get("production", {}).get("versions", {})
        return [n for n in self.versions if n not in of_production or n in packed["versions"]]


def _origin(packed: Mapping[str, Any]) -> dict[str, Any]:
    return {key: packed[key] for key in ("fingerprint", "n_songs", "versions")}


def _difference(header: Mapping[str, Any], expected: Mapping[str, Any]) -> str:
    """Name what differs in two manifests: a shard, a tar, or a key."""
    for key, of in (("shards", "records"), ("tars", "files")):
        hashes = {entry["file"]: entry["sha256"] for entry in expected.get(key, ())}
        for entry in header.get(key, ()):
            if hashes.get(entry["file"]) != entry["sha256"]:
                return f"{entry['file']} has other bytes than the packed one, of the same {of}"
    key = next(k for k in {**expected, **header} if header.get(k) != expected.get(k))
    return f"its manifest says another {key} than the packed one"


def differing_versions(packed: Mapping[str, str], here: Mapping[str, str]) -> str:
    """Return which versions differ, as in ``numpy 2.0.1 (here 2.1.0)``; empty if none does."""
    return ", ".join(
        f"{name} {packed.get(name, 'none')} (here {here.get(name, 'none')})"
        for name in {**packed, **here}
        if packed.get(name) != here.get(name)
    )


def config_of(
    manifest: Mapping[str, Any],
    dynamics: Sequence[Dynamic],
    bank: Bank,
    aligned: Path | None,
    room: Path | None,
    where: str,
) -> tuple[RenderConfig, Production, dict[str, str]]:
    """Return the options of a corpus, its production, and the versions here of what made it.

    Parameters
    ----------
    manifest : mapping of str to object
        What its manifest says.
    dynamics : sequence of Dynamic
        Its dynamics, in the order in which they were asked for.
    bank : Bank
        The patches of the corpus.
    aligned, room : Path, optional
        Folder of its aligned scores, and its impulse response or the folder of them.
    where : str
        What the manifest was read from, for messages.

    Raises
    ------
    UsageError
        If this version does not know an option, a room or a package is missing, or aligned scores
        are wanted and not given.
    """
    content, header = manifest["config"], bank_header(bank)
    versions: dict[str, str] = header["versions"]
    try:
        if manifest.get("kind") != RENDITIONS:
            config = RenderConfig.from_dict(content, dynamics)
        else:
            config = RenditionConfig.from_dict(
                content, dynamics, None if aligned is None else str(aligned)
            )
    except UsageError as error:
        made_by = manifest["versions"].get("stemsmith", "unknown")
        raise UsageError(f"{where}: made by stemsmith {made_by}: {error}") from error
    is_aligned = bool(content.get("is_aligned"))
    if is_aligned != (aligned is not None):
        raise UsageError(
            f"{where}: was rendered with aligned scores; give their folder with --aligned"
            if is_aligned
            else f"{where}: was rendered without aligned scores; leave --aligned out"
        )
    if room is not None and config.room in (NONE, "drawn"):
        raise UsageError(f"{where}: has no impulse responses; leave --room out")
    described = manifest.get("production", {})
    production, made = plan_production_again(config, described, room, where)
    versions = {**versions, **made.get("production", {}).get("versions", {})}
    if (synthesis := manifest.get("synthesis")) not in (None, header["synthesis"]):
        raise UsageError(
            f"{where}: was synthesised with {one_line(synthesis)}, which this stemsmith does not do"
        )
    return config, production, versions


def _chosen(
    restoration: Restoration, songs: Mapping[str, ScannedSong]
) -> list[tuple[PackedSong, Chosen]]:
    found = []
    for packed in restoration.songs:
        scanned = songs[packed.track]
        song = replace(scanned, path=packed.source, licence=packed.licence)
        patches = patches_of(song, restoration.config, restoration.bank)
        group = packed.group or song.notes_sha256
        found.append((packed, Chosen(song, packed.track, packed.split, patches, group)))
    return found


def plan_songs_again(
    restoration: Restoration, songs: Mapping[str, ScannedSong], scores: Mapping[str, str]
) -> CorpusPlan:
    """Plan a corpus of songs as it was planned when it was packed.

    Parameters
    ----------
    restoration : Restoration
        What is to be made.
    songs : mapping of str to ScannedSong
        What a scan found in the score of each song, by the label of the song.
    scores : mapping of str to str
        Where these scores are below the folder of the scores.

    Returns
    -------
    CorpusPlan
        Its jobs are those of the songs that are to be made.
    """
    manifest = restoration.pack.manifest
    balance = None
    if "balance" in manifest:
        balance = Balance.from_dict(manifest["balance"], "the balance of the pack")
    chosen = [one for _, one in _chosen(restoration, songs)]
    tars = _tars_of(restoration.songs)
    jobs = plan_songs(
        chosen,
        restoration.midi_root,
        restoration.corpus,
        restoration.config,
        restoration.bank,
        balance,
        restoration.production,
        tars,
    )

    def job(number: int) -> RenderJob:
        found = jobs[number]
        return replace(found, score_path=scores[found.track])

    return CorpusPlan(
        OnDemand(job, range(len(jobs))),
        restoration.selection(chosen),
        restoration.pack.rejections,
        restoration.header(),
        tuple(dict.fromkeys(tars.values())),
    )


def _tars_of(songs: Iterable[PackedSong]) -> dict[str, SongTar]:
    """Return the tar of each song by its label, with those of its songs that are made.

    Which tar a song is in is what the pack says: songs that rendering rejected had their places.
    """
    members: dict[str, list[str]] = {}
    for song in songs:
        if song.tar is not None:
            members.setdefault(song.tar, []).append(song.track)
    tars = [SongTar(name, tuple(tracks)) for name, tracks in members.items()]
    return {track: tar for tar in tars for track in tar.tracks}


def plan_renditions_again(
    restoration: Restoration, songs: Mapping[str, ScannedSong], scores: Mapping[str, str]
) -> RenditionPlan:
    """Plan a corpus of renditions as it was planned when it was packed; see `plan_songs_again`.

    Raises
    ------
    InvalidCorpus
        If other stems are planned than were packed, naming the first score of which that is so.
    """
    config = restoration.config
    assert isinstance(config, RenditionConfig)
    versions = ordered_versions(restoration.bank, restoration.pack.manifest["versions"])
    chosen = _chosen(restoration, songs)
    pieces, warnings = plan_pieces([one for _, one in chosen], config, restoration.bank, versions)
    for (packed, _), piece in zip(chosen, pieces, strict=True):
        planned = {stem_path(spec, slakh.AUDIO[1:]) for spec in piece.specs.values()}
        if planned != {path for path in packed.files if path.endswith(slakh.AUDIO)}:
            differences = restoration.differences
            raise InvalidCorpus(
                f"{packed.name}: other stems are planned here than were packed: "
                f"{differences or 'aligned scores or patches are not the same'}"
            )
    return RenditionPlan(
        tuple(replace(piece, score_path=scores[piece.chosen.track]) for piece in pieces),
        restoration.pack.rejections,
        restoration.header(),
        warnings,
        str(restoration.midi_root.resolve()),
        config,
    )
