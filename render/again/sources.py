"""What a corpus was made of, found again by its content: soundfonts, patch banks and scores."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from stemsmith.manifests import places
from stemsmith.manifests.errors import InvalidCorpus, UsageError
from stemsmith.render.again.pack import PackedSong
from stemsmith.render.corpus.manifest import bank_header
from stemsmith.render.midi.scan import files_below
from stemsmith.render.songs.tars import TAR
from stemsmith.render.sound.known_fonts import find_soundfonts
from stemsmith.render.sound.patches import Bank, bank_of
from stemsmith.render.sound.sf2 import read_soundfont

__all__ = ["bank_of_manifest", "check_bank", "find_scores"]


def bank_of_manifest(manifest: Mapping[str, Any], paths: Sequence[Path], where: str) -> Bank:
    """Return the bank of a corpus that was rendered with soundfonts and no patch bank of one's own.

    Parameters
    ----------
    manifest : mapping of str to object
        What the manifest of the corpus says.
    paths : sequence of Path
        Soundfonts, under any names. Those need not be among them that lie where soundfonts of this
        machine are looked for (`stemsmith.render.sound.known_fonts`).
    where : str
        What the manifest was read from, for messages.

    Returns
    -------
    Bank
        Its soundfonts are called what they were called then. It is not measured.

    Raises
    ------
    UsageError
        If a soundfont is missing or has changed, or the corpus had a patch bank.
    """
    wanted: Sequence[Mapping[str, str]] = manifest["soundfonts"]
    given = [read_soundfont(path) for path in paths]
    by_hash = {font.sha256: font for font in given}
    if absent := {font["sha256"] for font in wanted} - by_hash.keys():
        by_hash |= {h: read_soundfont(path) for h, path in find_soundfonts(absent).items()}
    missing = [font for font in wanted if font["sha256"] not in by_hash]
    if missing:
        name, sha256 = missing[0]["file"], missing[0]["sha256"]
        changed = [font for font in given if font.file == name]
        is_changed = f"{changed[0].path} is another one; " if changed else ""
        raise UsageError(
            f"{where}: {len(missing)} of {len(wanted)} soundfonts are missing: {name} with the "
            f"SHA-256 {sha256}; {is_changed}give it with --soundfont"
        )
    fonts = [replace(by_hash[font["sha256"]], file=font["file"]) for font in wanted]
    bank = bank_of(fonts) if fonts else None
    if bank is None or not _has_patches_of(bank, manifest):
        raise UsageError(
            f"{where}: its patches are not all presets of its soundfonts: it was rendered with a "
            "patch bank; give that with --bank FILE"
        )
    return bank


def check_bank(bank: Bank, manifest: Mapping[str, Any], where: str) -> None:
    """Check that a patch bank is the one that a corpus was rendered with.

    Raises
    ------
    UsageError
        Naming the soundfont that differs, or saying that the patches do.
    """
    wanted = {font["file"]: font["sha256"] for font in manifest["soundfonts"]}
    found = {font.file: font for font in bank.soundfonts}
    for file, sha256 in wanted.items():
        if file not in found:
            raise UsageError(f"{where}: the patch bank has no soundfont {file}, which is wanted")
        if found[file].sha256 != sha256:
            raise UsageError(
                f"{where}: {found[file].path} is another {file}: its SHA-256 is not {sha256}"
            )
    if not _has_patches_of(bank, manifest):
        raise UsageError(
            f"{where}: was rendered with another patch bank: patches, their files, effects or "
            "order differ (plug-ins count by their path)"
        )


def _has_patches_of(bank: Bank, manifest: Mapping[str, Any]) -> bool:
    return bool(bank_header(bank)["patch_bank"]["sha256"] == manifest["patch_bank"]["sha256"])


def find_scores(
    root: Path, songs: Sequence[PackedSong], skipped: Path | None = None
) -> dict[str, str]:
    """Find the scores of songs by their content, wherever they lie below a folder.

    Parameters
    ----------
    root : Path
        Folder that is searched with its subfolders and the tars of corpora, whatever files are
        called.
    songs : sequence of PackedSong
        Songs whose scores are wanted.
    skipped : Path, optional
        A folder that is not entered: the corpus that is made.

    Returns
    -------
    dict of str to str
        Path of each song's score below `root`, by the label of the song.

    Raises
    ------
    UsageError
        If `root` is no folder or cannot be read, or a score is missing or has changed, naming it.
    """
    if not root.is_dir():
        raise UsageError(f"{root}: not a folder of MIDI files")
    wanted: dict[str, list[PackedSong]] = defaultdict(list)
    for song in songs:
        wanted[song.sha256].append(song)
    sizes = {song.n_bytes for song in songs}
    found: dict[str, str] = {}

    def take(path: str) -> None:
        for song in wanted.pop(places.sha256_of(root / path), ()):
            found[song.track] = path

    for song in songs:  # most lie where they lay
        if song.sha256 in wanted and _size(root / song.source) == song.n_bytes:
            take(song.source)
    if wanted:
        for path, n_bytes in _files_with_sizes(root, skipped):
            if n_bytes in sizes:
                take(path)
                if not wanted:
                    break
    if missing := [song for song in songs if song.track not in found]:
        first = missing[0]
        is_changed = places.is_file(root / first.source)
        what = "has changed" if is_changed else "is missing, under any name"
        raise UsageError(
            f"{root / first.source}: {what}; {len(missing)} of {len(songs)} scores are not below "
            f"{root} (SHA-256 of this one: {first.sha256})"
        )
    return found


def _files_with_sizes(root: Path, skipped: Path | None) -> Iterator[tuple[str, int | None]]:
    """Yield all files below a folder, and those in tars of corpora that are there."""
    for path in files_below(root, skipped):
        yield path, _size(root / path)
        if path.endswith(TAR):
            with suppress(InvalidCorpus):  # somebody else's
                for name, member in places.members_of(root / path).items():
                    yield f"{path}/{name}", member.n_bytes


def _size(path: Path) -> int | None:
    try:
        status = places.status_of(path)
    except OSError:
        return None
    return status.n_bytes if status.is_regular else None
