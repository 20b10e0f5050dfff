"""What tests look at in folders that were exported."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import soundfile


def content(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of every file below a folder, by its path."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def integers(path: Path | str) -> np.ndarray[Any, Any]:
    """Return the (n_samples, n_channels) 16-bit samples of a file, which can be added up."""
    return soundfile.read(path, dtype="int16", always_2d=True)[0].astype(np.int64)
