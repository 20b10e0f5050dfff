"""Recordings on disk become files of their targets: ``DESTINATION/<recording>/<target>.wav``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from stemsmith.manifests import storage
from stemsmith.manifests.audio.formats import FileFormat
from stemsmith.manifests.audio.read import AudioInfo, audio_info
from stemsmith.manifests.audio.write import check_format, writing
from stemsmith.manifests.errors import InvalidCorpus, UsageError
from stemsmith.manifests.names import normal_name

if TYPE_CHECKING:  # it needs torch
    from stemsmith.evaluate.separation.blockwise import BlockwiseSeparator

__all__ = [
    "SeparatedRecording",
    "folder_names",
    "outputs_of",
    "separate_to_files",
    "unfit_recordings",
]

_STAGING: Final = ".separating-"
_MIXTURES: Final = ("mix", "mixture")


@dataclass(frozen=True, slots=True)
class SeparatedRecording:
    """A recording that has been separated.

    Attributes
    ----------
    recording : Path
        The file that was separated.
    files : mapping of str to Path
        The files that were written, by target.
    info : AudioInfo
        Sample rate, channels and length of the recording and of every file.
    peaks : mapping of str to float
        Largest absolute sample of every target before it was written, full scale being 1.
    """

    recording: Path
    files: Mapping[str, Path]
    info: AudioInfo
    peaks: Mapping[str, float]

    @property
    def duration_s(self) -> float:
        """Length of the recording in seconds."""
        return self.info.n_samples / self.info.sample_rate


def folder_names(recordings: Sequence[Path]) -> list[str]:
    """Return a name for every recording: its own, with that of its folder before it if two clash.

    Those that clash with none keep their own. A mixture in a song's folder, as corpora and
    MUSDB18-HQ have it, is called what the folder is. Names that are too long for a folder are
    shortened.

    Raises
    ------
    UsageError
        If that does not tell them apart either.

    Examples
    --------
    >>> folder_names([Path("a/song.wav"), Path("b/other.wav")])
    ['song', 'other']
    >>> folder_names([Path("test/Track00001/mix.flac"), Path("test/Track00002/mix.flac")])
    ['Track00001', 'Track00002']
    >>> folder_names([Path("a/song.wav"), Path("b/song.wav"), Path("b/other.wav")])
    ['a-song', 'b-song', 'other']
    >>> folder_names([Path("Falcon 69.stem.mp4")])  # as MUSDB18 calls the song
    ['Falcon 69']
    """
    candidates = [_names(path.absolute()) for path in recordings]
    tried = [0] * len(candidates)
    while True:
        names = [own[place] for own, place in zip(candidates, tried, strict=True)]
        keys = [normal_name(name).casefold() for name in names]
        counts = Counter(keys)
        clashing = [k for k, key in enumerate(keys) if counts[key] > 1]
        if not clashing:
            return names
        for k in clashing:
            tried[k] += 1
            if tried[k] == len(candidates[k]):
                raise UsageError(
                    f"{recordings[k]}: two recordings have the same name in folders of the same "
                    "name, or are one"
                )


def _names(path: Path) -> tuple[str, ...]:
    """Return what a recording may be called, the shortest first."""
    folder = path.parent.name
    names = (_title(path), f"{folder}-{_title(path)}", f"{folder}-{path.name}")
    return tuple(map(storage.short_name, names))


def _title(path: Path) -> str:
    title = path.stem.removesuffix(".stem") if path.suffix.lower() == ".mp4" else path.stem
    if title in _MIXTURES and path.parent.name:
        title = path.parent.name
    return title if title.strip(".") else path.name  # neither nothing nor a way up


def outputs_of(
    separator: BlockwiseSeparator,
    recordings: Sequence[Path],
    destination: Path,
    file_format: FileFormat,
    is_overwriting: bool = False,
) -> list[dict[str, Path]]:
    """Return the files that are to be written of every recording, by target.

    All that can be refused is refused here, before long work.

    Raises
    ------
    UsageError
        If two recordings cannot be told apart, or one would be overwritten; if a file is there, and
        not to be replaced, or something else is that cannot be.
    """
    outputs = [
        {
            target: destination / name / f"{target}{file_format.suffix}"
            for target in separator.targets
        }
        for name in folder_names(recordings)
    ]
    written = {path.resolve() for files in outputs for path in files.values()}
    for recording in recordings:
        if recording.resolve() in written:
            raise UsageError(f"{recording}: would be overwritten; choose another destination")
    for files in outputs:
        _check_free(destination, files.values(), is_overwriting)
    return outputs


def unfit_recordings(
    separator: BlockwiseSeparator, recordings: Sequence[Path], file_format: FileFormat
) -> dict[Path, UsageError]:
    """Return why recordings cannot be separated in the way that is asked for, before long work.

    Those that cannot be read are not among them: that is found out when they are separated.

    Parameters
    ----------
    separator : Separator
        The system that is to separate them.
    recordings : sequence of Path
        Files of audio.
    file_format : FileFormat
        Format of the files that are written.

    Returns
    -------
    dict of Path to UsageError
        Of recordings whose rate, channels or length system or format do not take; the texts name
        them.
    """
    unfit = {}
    for recording in recordings:
        try:
            _check_recording(separator, recording, file_format)
        except UsageError as error:
            unfit[recording] = error
    return unfit


def _check_free(destination: Path, files: Iterable[Path], is_overwriting: bool) -> None:
    for path in files:
        for folder in (destination, path.parent):
            if folder.exists() and not folder.is_dir():
                raise UsageError(f"{folder}: is not a folder; choose another destination")
        if path.is_dir():
            raise UsageError(f"{path}: is a folder; choose another destination")
        if path.exists() and not is_overwriting:
            raise UsageError(f"{path}: is there already; --overwrite replaces it")


def _check_recording(
    separator: BlockwiseSeparator, recording: Path, file_format: FileFormat
) -> None:
    try:
        info = audio_info(recording)
    except (InvalidCorpus, UsageError):  # of the recording alone, and found out again
        return
    try:
        separator.check_rate(info.sample_rate)
        check_format(info, file_format)
    except UsageError as error:
        raise UsageError(f"{recording}: {error}") from None


def separate_to_files(
    separator: BlockwiseSeparator,
    recording: Path,
    outputs: Mapping[str, Path],
    file_format: FileFormat,
) -> SeparatedRecording:
    """Separate a recording in bounded memory.

    The files get their names, replacing what had them, when all are whole.

    Parameters
    ----------
    separator : Separator
        The system that separates.
    recording : Path
        A file of audio that `read_blocks` reads.
    outputs : mapping of str to Path
        A file for every target, all in one folder, which need not be there yet.
    file_format : FileFormat
        Format of these files.

    Raises
    ------
    InvalidCorpus
        If the recording cannot be read, or its estimates are no numbers; nothing is written then.
    UsageError
        If system or format do not take its rate, channels or length, or reading it needs PyAV.
    """
    info = audio_info(recording)
    folder = next(iter(outputs.values())).parent
    folder.parent.mkdir(parents=True, exist_ok=True)
    peaks = dict.fromkeys(outputs, 0.0)
    with storage.scratch_folder(folder.parent, _STAGING) as staging:
        staged = {target: staging / path.name for target, path in outputs.items()}
        with ExitStack() as stack:
            writers = {
                target: stack.enter_context(writing(path, info, file_format))
                for target, path in staged.items()
            }
            for estimates in separator.separate_file(recording):
                for target, audio in estimates.items():
                    writers[target](audio)
                    peaks[target] = max(peaks[target], float(abs(audio).max(initial=0.0)))
        folder.mkdir(exist_ok=True)
        for target, path in outputs.items():
            staged[target].replace(path)
    return SeparatedRecording(recording, outputs, info, peaks)
