"""Recordings on disk become files of their targets: ``DESTINATION/<recording>/<target>.wav``."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from stemsmith.evaluate.separator import Separator
from stemsmith.manifests.audio import AudioInfo, audio_info
from stemsmith.manifests.audio_writer import FileFormat, writing
from stemsmith.manifests.errors import UsageError

__all__ = ["Separated", "folder_names", "outputs_of", "separate_to_files"]


@dataclass(frozen=True, slots=True)
class Separated:
    """What came of a recording.

    Attributes
    ----------
    info : AudioInfo
        Of the recording and of every file.
    peaks : mapping of str to float
        Largest absolute sample of every target before it was written, full scale being 1.
    """

    info: AudioInfo
    peaks: Mapping[str, float]


def folder_names(recordings: Sequence[Path]) -> list[str]:
    """Return a name for every recording: its own, or if two are alike that of its folder before it.

    Raises
    ------
    UsageError
        If that does not tell them apart either.

    Examples
    --------
    >>> folder_names([Path("a/song.wav"), Path("b/other.wav")])
    ['song', 'other']
    >>> folder_names([Path("a/mixture.wav"), Path("b/mixture.wav")])
    ['a-mixture', 'b-mixture']
    """
    paths = [path.absolute() for path in recordings]
    for names in (
        [path.stem for path in paths],
        [f"{path.parent.name}-{path.stem}" for path in paths],
        [f"{path.parent.name}-{path.name}" for path in paths],
    ):
        if len({name.casefold() for name in names}) == len(names):
            return names
    raise UsageError("two recordings have the same name in folders of the same name, or are one")


def outputs_of(
    separator: Separator, recordings: Sequence[Path], destination: Path, file_format: FileFormat
) -> list[dict[str, Path]]:
    """Return the files that are to be written of every recording, by target.

    Raises
    ------
    UsageError
        If two recordings cannot be told apart, or one would be overwritten.
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
    return outputs


def separate_to_files(
    separator: Separator, recording: Path, outputs: Mapping[str, Path], file_format: FileFormat
) -> Separated:
    """Separate a recording in bounded memory.

    The files get their names, replacing what had them, when all are whole.

    Parameters
    ----------
    separator : Separator
        The system.
    recording : Path
        Whatever `read_blocks` reads.
    outputs : mapping of str to Path
        A file for every target, all in one folder, which need not be there yet.
    file_format : FileFormat
        Of the files.

    Raises
    ------
    InvalidCorpus
        If the recording cannot be read; nothing is written then.
    UsageError
        If it is too long for the format, or the system does not take its sample rate.
    """
    info = audio_info(recording)
    folder = next(iter(outputs.values())).parent
    folder.parent.mkdir(parents=True, exist_ok=True)
    peaks = dict.fromkeys(outputs, 0.0)
    with tempfile.TemporaryDirectory(prefix=".separating-", dir=folder.parent) as staging:
        staged = {target: Path(staging, path.name) for target, path in outputs.items()}
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
    return Separated(info, peaks)
