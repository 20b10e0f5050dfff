"""Options of what is made in object stores, and an end of it before any write."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from stemsmith.manifests.stores import ObjectPath

RENDERED: dict[str, Any] = {
    "seed": 3,
    "sample_rate": 8000,
    "min_notes": 1,
    "tail_s": 0.5,
    "splits": "2,1,1",
    "audit": False,
}
MIXED: dict[str, Any] = {
    "target": "bass",
    "n_mixtures": 6,
    "n_validation_mixtures": 2,
    "n_test_mixtures": 1,
    "clip_s": 1,
    "min_rms_dbfs": -70,
    "audio_format": "flac",
}
TRAINED: dict[str, Any] = {
    "target": "bass",
    "settings": {"n_layers": 1, "n_units": 4, "segment_frames": 20, "sample_rate": 8000},
    "batch_size": 2,
    "device": "cpu",
    "logger": "csv",
}


def weights_of(run: Any) -> dict[str, bytes]:
    """Return the last weights of a run."""
    weights = run.model("last").state_dict()
    return {name: value.numpy().tobytes() for name, value in weights.items()}


class Killed(BaseException):
    """Stands for the end of the process."""


@contextmanager
def killed_after(n_writes: int) -> Iterator[None]:
    """End the body, as a kill would end the process, before it writes another object."""
    left = n_writes

    def dying(method: str) -> Callable[..., Any]:
        own = getattr(ObjectPath, method)

        def write(self: ObjectPath, *arguments: Any, **options: Any) -> Any:
            nonlocal left
            if self.name not in ("lock", ".lock"):
                left -= 1
                if left < 0:
                    raise Killed
            return own(self, *arguments, **options)

        return write

    with pytest.MonkeyPatch.context() as patch, suppress(Killed):
        for method in ("write_bytes", "upload", "unlink", "remove_below"):
            patch.setattr(ObjectPath, method, dying(method))
        patch.setattr(ObjectPath, "upload_below", one_by_one)
        yield


def one_by_one(self: ObjectPath, folder: Path) -> None:
    """Upload a folder so that it can be stopped within."""
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            (self / path.relative_to(folder).as_posix()).upload(path)
