"""The pack of a corpus: a small file from which the corpus can be rendered again, and proved.

A corpus is decided by scores, soundfonts and options, and rendering is deterministic. So a pack has
the manifest, which names options, soundfonts and versions, and for each song the hashes of its
score, its files and its records; no audio, and no scores.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple

from stemsmith.manifests import documents, shards, storage
from stemsmith.manifests.corpus import CORPUS, SONGS
from stemsmith.manifests.documents import Every, Nullable, Optional, misfit
from stemsmith.manifests.errors import InvalidCorpus, UsageError, upgrade_command
from stemsmith.manifests.ranges import text_rule_of
from stemsmith.manifests.records import Reason, Rejection
from stemsmith.manifests.renditions import RENDITIONS
from stemsmith.render.midi.playing import Dynamic
from stemsmith.render.songs.tars import TAR

__all__ = [
    "BEGIN",
    "RENDERED",
    "Pack",
    "PackedFile",
    "PackedSong",
    "is_place_of_song",
    "read_pack",
    "write_pack",
]

_VERSION: Final = 1
BEGIN: Final = b'{"pack": '  # of every pack, whatever its version
_LARGEST: Final = 1 << 28  # bytes of JSON that are read
_SHA256: Final = re.compile(r"[0-9a-f]{64}")
_MD5: Final = re.compile(r"[0-9a-f]{32}")
RENDERED: Final = {  # of a manifest, what rendering asks
    "stage": str,
    "kind": Optional(str),
    "schema_version": int,
    "fingerprint": str,
    "config": dict,
    "soundfonts": Every(list, {"file": str, "sha256": str}),
    "patch_bank": {"sha256": str},
    "versions": Every(dict, str),
    "synthesis": Optional(object),
    "balance": Optional(Every(dict, Every(dict, float))),
    "production": Optional(
        {
            "class_effects": Optional(Every(dict, Every(list, dict))),
            "impulse_responses": Optional(Every(list, {"file": str, "sha256": str})),
            "versions": Optional(Every(dict, str)),
        }
    ),
    "n_songs": Every(dict, int),
    "n_duplicates_grouped": int,
    "n_points": Optional(Every(dict, str)),
    "rejections": Every(dict, int),
    "shards": Every(list, {"file": str, "n_records": int, "sha256": str}),
    "tars": Optional(Every(list, {"file": str, "sha256": str})),
}
_SONG: Final = {
    "track": str,
    "split": str,
    "source": str,
    "md5": str,
    "sha256": str,
    "n_bytes": int,
    "licence": Nullable(str),
    "group": Nullable(str),
    "folder": str,
    "records": str,
    "files": Every(dict, object),
}
_SHAPE: Final = {
    "manifest": RENDERED,
    "manifest_sha256": str,
    "dynamics": Every(list, list),
    "rejections": Every(list, Every(list, str)),
    "songs": Every(list, _SONG),
}


class PackedFile(NamedTuple):
    """What is known of a file of a corpus.

    Attributes
    ----------
    sha256 : str
        SHA-256 of its bytes.
    samples_sha256 : str or None
        SHA-256 of its samples, as `stemsmith.manifests.audio.flac.SampleHash` has it; None for what
        is no audio, and for mixtures that are the sum of their stems.
    """

    sha256: str
    samples_sha256: str | None = None


@dataclass(frozen=True, slots=True)
class PackedSong:
    """One song of a corpus, or one score of a corpus of renditions.

    Attributes
    ----------
    track, split : str
        Label of the song, and the split it lies in.
    source : str
        Path of its score below the folder that the corpus was made from.
    md5, sha256 : str
        Hashes of the score, which is found by the second.
    n_bytes : int
        Size of the score.
    licence, group : str or None
        Licence of the score, and the songs that it is not separated from, as records have them.
    folder : str
        Folder of the song below that of the corpus, which may lead into a tar; empty in corpora of
        renditions.
    records_sha256 : str
        Hash of all that its records say, but for hashes of FLAC files.
    files : mapping of str to PackedFile
        Its files by their paths below `folder`, what others are made of first.
    """

    track: str
    split: str
    source: str
    md5: str
    sha256: str
    n_bytes: int
    licence: str | None
    group: str | None
    folder: str
    records_sha256: str
    files: Mapping[str, PackedFile]

    @property
    def name(self) -> str:
        """Label and source, as messages say them."""
        return f"{self.track} ({self.source})"

    @property
    def tar(self) -> str | None:
        """The tar that the song lies in; None where songs have folders."""
        name = self.folder.rpartition("/")[0]
        return name if name.endswith(TAR) else None

    def path_of(self, file: str) -> str:
        """Return the path of one of its files below the folder of the corpus."""
        return f"{self.folder}/{file}" if self.folder else file


@dataclass(frozen=True, slots=True)
class Pack:
    """What makes a corpus again.

    Attributes
    ----------
    manifest : dict
        The content of ``manifest.json``.
    manifest_sha256 : str
        SHA-256 of that file.
    dynamics : tuple of Dynamic
        The dynamics that parts were played at, in the order that draws go by.
    rejections : tuple of Rejection
        What was left out of the corpus.
    songs : tuple of PackedSong
        The songs, in order of track number.

    Examples
    --------
    >>> import stemsmith
    >>> packed = stemsmith.pack("corpus", "corpus.pack.json")
    >>> packed.kind, [song.track for song in packed.songs]
    ('songs', ['Track00001', 'Track00002', 'Track00003'])
    """

    manifest: Mapping[str, Any]
    manifest_sha256: str
    dynamics: tuple[Dynamic, ...]
    rejections: tuple[Rejection, ...]
    songs: tuple[PackedSong, ...]

    @property
    def kind(self) -> str:
        """What the corpus holds: ``songs`` or ``renditions``."""
        return str(self.manifest.get("kind") or SONGS)

    @property
    def fingerprint(self) -> str:
        """The fingerprint of the corpus."""
        return str(self.manifest["fingerprint"])

    @property
    def versions(self) -> dict[str, str]:
        """Versions of all that made the corpus, by name."""
        production = self.manifest.get("production", {})
        return {**self.manifest["versions"], **production.get("versions", {})}

    def selected(self, tracks: Iterable[str]) -> tuple[PackedSong, ...]:
        """Return the songs with some labels, in order of track number.

        Raises
        ------
        UsageError
            If there is no song of a label.
        """
        wanted = dict.fromkeys(tracks)
        known = {song.track for song in self.songs}
        if unknown := [track for track in wanted if track not in known]:
            first, last = self.songs[0].track, self.songs[-1].track
            raise UsageError(f"--track {unknown[0]}: not in the pack, which has {first} to {last}")
        return tuple(song for song in self.songs if song.track in wanted)


def write_pack(path: Path, pack: Pack) -> None:
    """Write a pack, a line a song.

    Raises
    ------
    UsageError
        If the file is there already and no pack, or the pack would be larger than is read.
    """
    if path.is_dir():
        raise UsageError(f"{path}: is a folder; name a file, such as {path.name}.pack.json")
    if path.exists():
        with path.open("rb") as file:
            if file.read(len(BEGIN)) not in (b"", BEGIN):
                raise UsageError(f"{path}: is there already, and no pack; choose another")
    data = "".join(_lines(pack)).encode("utf-8", "backslashreplace")
    if len(data) > _LARGEST:
        raise UsageError(
            f"{path}: would have {len(data) >> 20} MiB, and {_LARGEST >> 20} MiB are read; pack "
            "corpora of fewer songs"
        )
    try:
        storage.write_atomic(path, data)
    except FileNotFoundError:
        raise UsageError(f"{path}: its folder is not there") from None


def _lines(pack: Pack) -> Iterable[str]:
    yield f"{BEGIN.decode()}{_VERSION},\n"
    yield f'"manifest_sha256": {_json(pack.manifest_sha256)},\n'
    yield f'"manifest": {_json(pack.manifest)},\n'
    yield f'"dynamics": {_json(pack.dynamics)},\n'
    rejections = [[r.id, r.stage, str(r.reason), r.detail] for r in pack.rejections]
    yield f'"rejections": {_json(rejections)},\n"songs": [\n'
    yield ",\n".join(_json(_song_to_json(song)) for song in pack.songs)
    yield "\n]}\n"


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _song_to_json(song: PackedSong) -> dict[str, Any]:
    return {
        "track": song.track,
        "split": song.split,
        "source": song.source,
        "md5": song.md5,
        "sha256": song.sha256,
        "n_bytes": song.n_bytes,
        "licence": song.licence,
        "group": song.group,
        "folder": song.folder,
        "records": song.records_sha256,
        "files": {
            name: file.sha256 if file.samples_sha256 is None else list(file)
            for name, file in song.files.items()
        },
    }


def read_pack(path: Path) -> Pack:
    """Read a pack, and check everything that rendering and proving ask of it.

    Raises
    ------
    UsageError
        If it is not there, or no pack.
    InvalidCorpus
        If it is damaged, of a later version, or names a path that leads out of the corpus.
    """
    if path.is_dir():
        raise UsageError(f"{path}: is a folder; give the file that `stemsmith pack` has written")
    if not path.exists():
        raise UsageError(f"{path}: there is no such pack")
    with path.open("rb") as file:
        if file.read(len(BEGIN)) != BEGIN:
            raise UsageError(f"{path}: is no pack, which `stemsmith pack CORPUS FILE` writes")
    content = documents.read_json(path, InvalidCorpus)
    version = content.get("pack") if isinstance(content, dict) else None
    if not isinstance(version, int) or isinstance(version, bool) or version < 1:
        raise InvalidCorpus(f"{path}: damaged: {version!r} is no version of a pack")
    if version > _VERSION:
        raise InvalidCorpus(
            f"{path}: a pack of version {version}, and this stemsmith reads up to {_VERSION}: "
            f"{upgrade_command()}"
        )
    problem = misfit(content, _SHAPE) or _offence(content)
    if problem:
        raise InvalidCorpus(f"{path}: damaged: {problem}")
    return Pack(
        manifest=content["manifest"],
        manifest_sha256=content["manifest_sha256"],
        dynamics=tuple(Dynamic(name, velocity) for name, velocity in content["dynamics"]),
        rejections=tuple(
            Rejection(id_, stage, Reason(reason), detail)
            for id_, stage, reason, detail in content["rejections"]
        ),
        songs=tuple(map(_song_from_json, content["songs"])),
    )


def _song_from_json(song: Mapping[str, Any]) -> PackedSong:
    files = {
        name: PackedFile(file) if isinstance(file, str) else PackedFile(*file)
        for name, file in song["files"].items()
    }
    values = {key: song[key] for key in _SONG if key not in ("records", "files")}
    return PackedSong(**values, records_sha256=song["records"], files=files)


def _offence(content: Mapping[str, Any]) -> str:
    """Say what is wrong with a pack that has the right shape; nothing if all is well."""
    manifest = content["manifest"]
    kind = manifest.get("kind") or SONGS
    known = shards.schema_version_of(CORPUS)
    if manifest["stage"] != CORPUS or kind not in (SONGS, RENDITIONS):
        return f"it is of a folder of {manifest['stage']}, {kind}"
    if not 1 <= manifest["schema_version"] <= known:
        return f"the schema version {manifest['schema_version']} of its manifest is not read here"
    for entry in _named_files(manifest):
        if not _is_label(entry["file"]) or not _SHA256.fullmatch(entry["sha256"]):
            return f"{entry['file']!r}, {entry['sha256']!r} is no file with its hash"
    for dynamic in content["dynamics"]:
        if [type(value) for value in dynamic] not in ([str, int], [str, type(None)]):
            return f"{dynamic!r} is no dynamic"
    for rejection in content["rejections"]:
        if len(rejection) != 4 or rejection[2] not in set(Reason):
            return f"{rejection!r} is no rejection"
    if not content["songs"]:
        return "it has no songs"
    track, n_times = Counter(song["track"] for song in content["songs"]).most_common(1)[0]
    if n_times > 1:
        return f"{track} is there twice"
    are_in_tars = "tracks_per_tar" in manifest["config"]
    offences = (_song_offence(song, kind, are_in_tars) for song in content["songs"])
    return next(filter(None, offences), "")


def _named_files(manifest: Mapping[str, Any]) -> Iterator[Mapping[str, str]]:
    """Yield what a manifest says of soundfonts, impulse responses, shards and tars."""
    yield from manifest["soundfonts"]
    yield from manifest.get("production", {}).get("impulse_responses", ())
    yield from manifest["shards"]
    yield from manifest.get("tars", ())


def _is_label(text: str) -> bool:
    rule = text_rule_of("track")
    assert rule is not None
    return not re.search(rule.pattern, text)


def is_place_of_song(folder: str, split: str, track: str, is_in_tar: bool) -> bool:
    """Tell whether a song lies where rendering puts it: below its split, or in a tar of it.

    Parameters
    ----------
    folder : str
        Folder of the song, as records have it.
    split, track : str
        Split and label of the song.
    is_in_tar : bool
        Whether the corpus was rendered in tars.
    """
    where = rf"{re.escape(split)}-[0-9]{{5,}}{re.escape(TAR)}" if is_in_tar else re.escape(split)
    return re.fullmatch(rf"{where}/{re.escape(track)}", folder) is not None


def _song_offence(song: Mapping[str, Any], kind: str, are_in_tars: bool) -> str:
    for key in ("track", "split", "source"):
        rule = text_rule_of(key)
        assert rule is not None
        if bool(re.search(rule.pattern, song[key])) == rule.is_offence:
            return f"{key} is {song[key]!r}, {rule.complaint}"
    track = song["track"]
    if kind != SONGS:
        is_known = song["folder"] == ""
    else:
        is_known = is_place_of_song(song["folder"], song["split"], track, are_in_tars)
    if not is_known:
        return f"the folder of {track} is {song['folder']!r}, where no song of its kind lies"
    hashes = [song["sha256"], song["records"]]
    for name, file in song["files"].items():
        rule = text_rule_of("path")
        assert rule is not None
        if re.search(rule.pattern, name):
            return f"a file of {track} is {name!r}, {rule.complaint}"
        several = [file] if isinstance(file, str) else file
        if not isinstance(several, list) or not 1 <= len(several) <= 2:
            return f"{track}: {name} has no hash"
        hashes += several
    if not all(isinstance(h, str) and _SHA256.fullmatch(h) for h in hashes):
        return f"a hash of {track} is none"
    if not _MD5.fullmatch(song["md5"]) or song["n_bytes"] < 0:
        return f"MD5 or size of the score of {track} is none"
    return ""
