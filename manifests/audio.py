"""Reading and writing samples: the only file that touches soundfile.

A stem on disk is mono 16-bit FLAC, and the integer k stands for k / 32768 of full scale: reading
gives back exactly what was quantised.
"""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import soundfile
from stemsmith.manifests.errors import InvalidCorpus

__all__ = ["FULL_SCALE_16", "read_int16", "write_flac"]

FULL_SCALE_16: Final = 32768


def write_flac(path: Path, samples: npt.NDArray[np.int16], sample_rate: int) -> None:
    """Write mono 16-bit FLAC.

    Parameters
    ----------
    path : Path
        Destination; a partial file remains if the disk is full, so write in a staging folder.
    samples : numpy.ndarray
        (n_samples,) int16.
    sample_rate : int
        In Hz.

    Raises
    ------
    OSError
        If the file cannot be written, naming it.
    """
    # Encoded in memory: libsndfile does not report what fails when it closes a file on a full disk.
    encoded = io.BytesIO()
    soundfile.write(encoded, samples, sample_rate, format="FLAC", subtype="PCM_16")
    path.write_bytes(encoded.getbuffer())


def read_int16(path: Path) -> tuple[npt.NDArray[np.int16], int]:
    """Read a whole mono 16-bit file as integers.

    Returns
    -------
    samples : numpy.ndarray
        (n_samples,) int16.
    sample_rate : int
        In Hz.

    Raises
    ------
    InvalidCorpus
        If the file is missing, damaged, or not mono 16-bit.
    """
    try:
        with soundfile.SoundFile(os.fsencode(path)) as file:
            if file.channels != 1 or file.subtype != "PCM_16":
                raise InvalidCorpus(
                    f"{path}: {file.channels} channels of {file.subtype}, not mono PCM_16"
                )
            return file.read(dtype="int16"), file.samplerate
    except (soundfile.LibsndfileError, ValueError, MemoryError) as error:
        raise InvalidCorpus(f"{path}: cannot be decoded: {error}") from error
