"""Corpora as small files, and files as corpora: what `pack` and `restore` do, in Python.

The functions print nothing and raise the errors of `stemsmith.manifests.errors`. They work in this
process unless `jobs` or `scheduler` ask for workers, and tell `progress` how far they are.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from stemsmith.manifests import shards
from stemsmith.manifests.cluster import open_workers
from stemsmith.manifests.corpus import CORPUS, Corpus
from stemsmith.manifests.errors import InvalidCorpus, UsageError
from stemsmith.manifests.jobs import QUIET, Progress, Workers, do_jobs, needed
from stemsmith.manifests.paths import local_path
from stemsmith.manifests.places import place, sha256_of
from stemsmith.manifests.preflight import preflight
from stemsmith.manifests.records import Rejection, ScannedSong
from stemsmith.manifests.renditions import RENDITIONS
from stemsmith.render.again.pack import Pack, read_pack, write_pack
from stemsmith.render.again.packing import (
    dynamics_of,
    pack_song,
    pieces_of_shards,
    plan_packing,
)
from stemsmith.render.again.plan import (
    Restoration,
    config_of,
    plan_renditions_again,
    plan_songs_again,
)
from stemsmith.render.again.proof import check_records
from stemsmith.render.again.restore import (
    ProvedSong,
    SongToRestore,
    StemsToRestore,
    restore_song,
    restore_stems,
    why_not_the_same,
)
from stemsmith.render.again.sources import bank_of_manifest, check_bank, find_scores
from stemsmith.render.again.tars import describe_tar, plan_whole_tars
from stemsmith.render.corpus.config import Drums
from stemsmith.render.midi.scan import plan_scan, scan_files
from stemsmith.render.renditions.corpus import RenditionDestination
from stemsmith.render.renditions.forecast import forecast_renditions
from stemsmith.render.songs.corpus import CorpusDestination
from stemsmith.render.songs.forecast import forecast
from stemsmith.render.sound.measured_bank import with_compasses
from stemsmith.render.sound.patches import Bank
from stemsmith.render.sound.synth import check_soundfonts
from stemsmith.render.workflow import make_bank, refuse_other_folder, same_sound, state_of

__all__ = ["pack", "restore"]

T = TypeVar("T", SongToRestore, StemsToRestore)


def pack(
    corpus: Corpus | str | Path,
    path: str | Path,
    *,
    jobs: int | Workers = 0,
    scheduler: str | None = None,
    progress: Progress = QUIET,
) -> Pack:
    """Write what it takes to render a corpus again, and to prove it, into one small file.

    Parameters
    ----------
    corpus : Corpus or path
        A finished corpus of songs or of renditions.
    path : path
        File that is written: JSON. An earlier pack of this name is replaced.
    jobs : int or Workers
        Number of local worker processes, where 0 works in this process; or workers that are open.
        Audio is decoded only where no record has a hash of its samples: masters, stems before their
        effects, and mixtures that are not the sum of their stems. Of a corpus in tars without audio
        all songs are rendered again, for the hashes of the tars.
    scheduler : str, optional
        Address of a Dask scheduler to use in place of local workers.
    progress : Progress, optional
        Is told how far it is. Nothing is shown by default.

    Returns
    -------
    Pack
        What the file says.

    Raises
    ------
    InvalidCorpus
        If records or scores of the corpus are missing, or not what they were.
    UsageError
        If the corpus is of a kind that scores and soundfonts alone do not decide, or the file is
        there already and no pack.

    Examples
    --------
    >>> import stemsmith
    >>> packed = stemsmith.pack("corpus", "packed.json")
    >>> len(packed.songs), packed.manifest["config"]["sample_rate"]
    (3, 16000)
    """
    opened = corpus if isinstance(corpus, Corpus) else Corpus(corpus)
    destination = place(path)
    songs = []
    n_songs = sum(opened.header.get("n_songs", {}).values())
    with (
        open_workers(jobs, scheduler) as workers,
        preflight(workers, inputs=[[(opened.root / shards.MANIFEST).resolve()]]),
    ):
        with progress.loop("pack", n_songs) as ticker:
            tasks = plan_packing(opened)
            for song in do_jobs(workers, pack_song, tasks, needed(lambda task: str(task.score))):
                songs.append(song)
                ticker.advance()
        if not songs:
            raise InvalidCorpus(f"{opened.root}: has no songs")
        manifest, manifest_sha256 = _manifest_with_audio(opened, workers, progress)
    packed = Pack(
        manifest=manifest,
        manifest_sha256=manifest_sha256,
        dynamics=dynamics_of(opened),
        rejections=tuple(opened.rejection_records()),
        songs=tuple(sorted(songs, key=lambda song: (len(song.track), song.track))),
    )
    write_pack(destination, packed)
    return packed


def _manifest_with_audio(
    corpus: Corpus, workers: Workers, progress: Progress
) -> tuple[dict[str, Any], str]:
    """Return the manifest of a corpus as if it had its audio, and the SHA-256 of its file."""
    if "lazy" not in corpus.header:
        return corpus.header, sha256_of(corpus.root / shards.MANIFEST)
    header = {**corpus.header, **corpus.header["lazy"]}
    del header["lazy"]
    if names := list(corpus.tars):
        entries = {}
        with progress.loop("tars", len(names)) as ticker:
            tars = plan_whole_tars(corpus)
            for entry in do_jobs(workers, describe_tar, tars, needed(lambda tar: tar.name)):
                entries[entry["file"]] = entry
                ticker.advance()
        header["tars"] = [entries[name] for name in names]
    return header, hashlib.sha256(shards.manifest_bytes(header)).hexdigest()


def restore(
    pack: str | Path,
    corpus: str | Path,
    *,
    midi_dir: str | Path,
    soundfonts: Sequence[str | Path] = (),
    bank: Bank | str | Path | None = None,
    room: str | Path | None = None,
    aligned: str | Path | None = None,
    tracks: Sequence[str] | None = None,
    jobs: int | Workers = 0,
    scheduler: str | None = None,
    progress: Progress = QUIET,
) -> Corpus:
    """Render a corpus that was packed again, and prove every file of it.

    A song is proved as soon as it is rendered: its files have the bytes of the packed ones, or FLAC
    the same samples where another encoder has written it. Where versions differ from those of then,
    that is a warning, and an error only if something else differs. Killed at any moment, the same
    call goes on where it was.

    Parameters
    ----------
    pack : path
        File that `pack` has written.
    corpus : path
        Folder that the corpus goes to: a new one, or that of the same call before.
    midi_dir : path
        Folder below which the scores lie, under any names.
    soundfonts : sequence of path
        Soundfonts of the corpus, under any names. Those that lie where soundfonts of this machine
        are looked for are found by themselves (`stemsmith.render.sound.known_fonts`).
    bank : Bank or path, optional
        The patch bank of the corpus, in place of soundfonts, if it had one.
    room : path, optional
        Impulse responses of the corpus, or the folder of them, under any names; by default they are
        looked for where they were.
    aligned : path, optional
        Folder of the aligned scores of a corpus of renditions, if it had one.
    tracks : sequence of str, optional
        Labels of the songs to make, such as ``Track00017``; by default all are made.
    jobs, scheduler, progress
        As for `pack`.

    Returns
    -------
    Corpus
        The same corpus, byte for byte. Where songs are left out, or FLAC is of another encoder, its
        manifest says so under ``restored_from``.

    Raises
    ------
    UsageError
        If a score, a soundfont or another source is missing or has changed, naming it; or the
        folder holds something else.
    InvalidCorpus
        If the pack is damaged, or what was rendered is not what was packed, naming the first file
        that differs and the versions that do.

    Examples
    --------
    >>> import stemsmith
    >>> corpus = stemsmith.render_corpus("scores/bands", "new-corpus", min_notes=1, tail_s=0)
    >>> packed = stemsmith.pack(corpus, "packed.json")
    >>> again = stemsmith.restore("packed.json", "again", midi_dir="scores")
    >>> again.header == corpus.header
    True
    >>> one = stemsmith.restore("packed.json", "one", midi_dir="scores", tracks=["Track00002"])
    >>> list(one)
    ['Track00002']
    """
    path, root = place(pack), place(corpus)
    packed = read_pack(path)
    songs = packed.songs if tracks is None else packed.selected(tracks)
    refuse_other_folder(root)
    bank = _bank_of(packed, bank, soundfonts, progress, str(path))
    config, production, versions = config_of(
        packed.manifest,
        packed.dynamics,
        bank,
        None if aligned is None else local_path(aligned).resolve(),
        None if room is None else local_path(room),
        str(path),
    )
    restoration = Restoration(
        packed, songs, bank, config, production, versions, place(midi_dir), root
    )
    if _is_restored(restoration):
        progress.note(f"{root}: is there already")
        return Corpus(root).verify()
    if differences := restoration.differences:
        progress.warn(f"{path}: made with {differences}: files may become others, which is told")
    scores = find_scores(restoration.midi_root, songs, root.resolve())
    with open_workers(jobs, scheduler) as workers, same_sound(workers, bank):
        scanned = _scan(restoration, scores, workers, progress)
        restoring = _Restoring(restoration, workers, jobs if isinstance(jobs, int) else 1, progress)
        if packed.kind == RENDITIONS:
            return restoring.renditions(scanned, scores)
        return restoring.songs(scanned, scores)


def _bank_of(
    packed: Pack,
    bank: Bank | str | Path | None,
    soundfonts: Sequence[str | Path],
    progress: Progress,
    where: str,
) -> Bank:
    """Return the bank of a pack, measured."""
    if bank is None:
        bank = bank_of_manifest(packed.manifest, [place(s) for s in soundfonts], where)
        check_soundfonts([font.path for font in bank.soundfonts])
    else:
        if soundfonts:
            raise UsageError("give either --bank or --soundfont")
        bank = bank if isinstance(bank, Bank) else make_bank((), bank, progress)
        check_bank(bank, packed.manifest, where)
    return with_compasses(bank, progress)


def _is_restored(restoration: Restoration) -> bool:
    """Tell whether the destination holds what is to be made, finished."""
    root = restoration.corpus
    if not (root / shards.MANIFEST).exists() or state_of(root).exists():
        return False
    found = shards.read_manifest(root, CORPUS).get("fingerprint")
    is_packed = restoration.is_whole and found == restoration.pack.fingerprint
    return is_packed or found == restoration.fingerprint()


def _scan(
    restoration: Restoration, scores: dict[str, str], workers: Workers, progress: Progress
) -> dict[str, ScannedSong]:
    """Return what is in the score of each song, by the label of the song."""
    root, config = restoration.midi_root.resolve(), restoration.config
    jobs = plan_scan(
        root,
        sorted(set(scores.values())),
        config.max_duration_s,
        are_drums_joined=config.drums is Drums.JOINED,
    )
    found: dict[str, ScannedSong] = {}
    with (
        preflight(workers, inputs=[(root / path for path in scores.values())]),
        progress.loop("scan", len(set(scores.values()))) as ticker,
    ):
        for results in do_jobs(workers, scan_files, jobs, needed(lambda job: job.paths[0])):
            for result in results:
                if isinstance(result, Rejection):
                    raise InvalidCorpus(
                        f"{root / result.id}: cannot be used here: {result.detail}"
                        + (f"; versions differ: {d}" if (d := restoration.differences) else "")
                    )
                found[result.path] = result
            ticker.advance(len(results))
    return {track: found[path] for track, path in scores.items()}


def _name_of(task: SongToRestore | StemsToRestore) -> str:
    return task.packed.name


class _Restoring:
    """Makes and proves the songs of a pack, and finishes the corpus."""

    def __init__(
        self, restoration: Restoration, workers: Workers, n_jobs: int, progress: Progress
    ) -> None:
        self._restoration, self._workers = restoration, workers
        self._n_jobs, self._progress = n_jobs, progress
        self._packed = {song.track: song for song in restoration.songs}
        self._n_encoded_anew = 0

    def songs(self, scanned: dict[str, ScannedSong], scores: dict[str, str]) -> Corpus:
        """Make a corpus of songs."""
        made = self._restoration
        plan = plan_songs_again(made, scanned, scores)
        destination = CorpusDestination(made.corpus, plan, fingerprint=made.fingerprint())
        expected = forecast(destination.open_jobs())
        expected.check_room(made.corpus)
        with destination.opened():
            if expected.n_songs:
                self._progress.note(expected.sentence(self._n_jobs))
            open_jobs = destination.open_jobs()
            names = {job.track for job in open_jobs}
            jobs = (*open_jobs, *(job for job in plan.jobs if job.track not in names))
            tasks = [SongToRestore(j, self._packed[j.track], made.differences) for j in jobs]
            self._prove(restore_song, tasks)
            return destination.close(self._settled)

    def renditions(self, scanned: dict[str, ScannedSong], scores: dict[str, str]) -> Corpus:
        """Make a corpus of renditions."""
        made = self._restoration
        plan = plan_renditions_again(made, scanned, scores)
        destination = RenditionDestination(made.corpus, plan, fingerprint=made.fingerprint())
        expected = forecast_renditions(destination.open_jobs(), plan)
        expected.check_room(made.corpus)
        with destination.opened():
            if expected.n_stems:
                self._progress.note(expected.sentence(self._n_jobs))
            jobs = sorted(destination.jobs, key=lambda job: len(job.specs), reverse=True)
            tasks = [StemsToRestore(j, self._packed[j.track], made.differences) for j in jobs]
            self._prove(restore_stems, tasks)
            return destination.close(self._settled)

    def _prove(self, restored: Callable[[T], ProvedSong], tasks: Sequence[T]) -> None:
        """Make what is not there yet, and prove all of it."""
        scores = (task.job.score for task in tasks)
        with (
            preflight(
                self._workers, inputs=[scores], destination=state_of(self._restoration.corpus)
            ),
            self._progress.loop("restore", len(tasks)) as ticker,
        ):
            for proved in do_jobs(self._workers, restored, tasks, needed(_name_of)):
                self._n_encoded_anew += proved.n_encoded_anew
                ticker.advance(audio_s=proved.audio_s)

    def _settled(self, header: dict[str, Any]) -> dict[str, Any]:
        """Prove the records that are not proved yet; return what the manifest says."""
        made = self._restoration
        if made.pack.kind == RENDITIONS:
            for track, stems, renditions in pieces_of_shards(made.corpus, header["shards"]):
                try:
                    check_records(self._packed[track], (*stems, *renditions))
                except InvalidCorpus as error:
                    raise InvalidCorpus(f"{error}{why_not_the_same(made.differences)}") from error
        finished = made.finished(header, is_encoded_anew=bool(self._n_encoded_anew))
        if finished == made.pack.manifest:
            self._check_manifest(finished)
        elif self._n_encoded_anew:
            self._progress.warn(
                f"{made.corpus}: {self._n_encoded_anew} FLAC files have other bytes than the "
                "packed ones, and the same samples"
            )
        return finished

    def _check_manifest(self, manifest: dict[str, Any]) -> None:
        """Check that the manifest, which has the hashes of all else, is the packed one."""
        digest = hashlib.sha256(shards.manifest_bytes(manifest)).hexdigest()
        if digest != self._restoration.pack.manifest_sha256:
            raise InvalidCorpus(
                f"{self._restoration.corpus / shards.MANIFEST}: says what the packed one did, in "
                "other bytes: another version of stemsmith has written that"
            )
