"""Corpora without audio: what their songs are rendered from again, and where it lay.

``lazy.json`` in the folder of such a corpus says where soundfonts, patch bank, impulse responses
and aligned scores were on the machine that made it. They are known by their content, so that
another machine may have them elsewhere: soundfonts are then looked for where soundfonts lie.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, cast

from stemsmith.manifests import storage
from stemsmith.manifests.documents import Every, Nullable, misfit, read_json
from stemsmith.manifests.errors import InvalidCorpus, UsageError
from stemsmith.manifests.paths import local_path
from stemsmith.manifests.places import LAZY, is_remote, place
from stemsmith.render.corpus.config import NONE, RenderConfig
from stemsmith.render.corpus.layout import Layout
from stemsmith.render.midi.playing import Dynamic
from stemsmith.render.sound.patches import Bank

__all__ = ["LazySources", "lazy_sources", "publish_lazy_sources", "read_lazy_sources"]

_SHAPE: Final = {
    "soundfonts": Every(dict, str),
    "bank": Nullable(str),
    "room": Nullable(str),
    "aligned": Nullable(str),
    "dynamics": Every(list, list),
}


@dataclass(frozen=True, slots=True)
class LazySources:
    """Where the sources of a corpus lay, by absolute paths.

    Attributes
    ----------
    soundfonts : dict of str to str
        Path of each soundfont by its SHA-256; empty where there is a patch bank.
    bank : str or None
        The YAML file of the patch bank, if patches are not just the presets of soundfonts.
    room : str or None
        Impulse response of the corpus, or the folder of them.
    aligned : str or None
        Folder of aligned scores.
    dynamics : tuple of Dynamic
        The dynamics in the order in which they were asked for.
    """

    soundfonts: Mapping[str, str]
    bank: str | None
    room: str | None
    aligned: str | None
    dynamics: tuple[Dynamic, ...]

    def keep(self, layout: Layout) -> None:
        """Keep the sources with the state of a run, for whoever closes the corpus."""
        content = {
            "soundfonts": dict(self.soundfonts),
            "bank": self.bank,
            "room": self.room,
            "aligned": self.aligned,
            "dynamics": [list(dynamic) for dynamic in self.dynamics],
        }
        data = json.dumps(content, indent=2, ensure_ascii=False).encode("utf-8", "backslashreplace")
        storage.write_once(layout.run / LAZY, data + b"\n")


def publish_lazy_sources(layout: Layout) -> None:
    """Write ``lazy.json`` into the folder of a corpus that keeps no audio, before its manifest."""
    kept = layout.run / LAZY
    if kept.exists():
        storage.write_atomic(layout.root / LAZY, kept.read_bytes())


def lazy_sources(
    bank: Bank, bank_file: object, config: RenderConfig, aligned: str | None = None
) -> LazySources:
    """Return the sources of a corpus that is about to be rendered.

    Parameters
    ----------
    bank : Bank
        Patches of the corpus.
    bank_file : object
        What named them: a file, or nothing that is one.
    config : RenderConfig
        Options of the corpus.
    aligned : str, optional
        Folder of aligned scores.

    Raises
    ------
    UsageError
        If the bank was put together in Python, so that no file has it.
    """
    file = None
    if bank.is_chosen:
        if not (isinstance(bank_file, str | Path) or is_remote(bank_file)):
            raise UsageError("--lazy: the patch bank must be given as its YAML file")
        file = str(place(cast("str | Path", bank_file)).resolve())
    fonts = {} if file else {font.sha256: font.path for font in bank.soundfonts}
    has_files = config.room not in (NONE, "drawn")
    room = str(local_path(config.room).resolve()) if has_files else None
    return LazySources(fonts, file, room, aligned, tuple(config.dynamics))


def read_lazy_sources(corpus: Path) -> LazySources:
    """Read ``lazy.json``.

    Raises
    ------
    InvalidCorpus
        If it is missing or damaged.
    """
    path = corpus / LAZY
    if not path.exists():
        raise InvalidCorpus(f"{path}: missing; without it no song can be rendered")
    content: Any = read_json(path, InvalidCorpus)
    if problem := misfit(content, _SHAPE):
        raise InvalidCorpus(f"{path}: damaged: {problem}")
    for dynamic in content["dynamics"]:
        if [type(value) for value in dynamic] not in ([str, int], [str, type(None)]):
            raise InvalidCorpus(f"{path}: damaged: {dynamic!r} is no dynamic")
    dynamics = tuple(Dynamic(*dynamic) for dynamic in content["dynamics"])
    places = {key: content[key] for key in ("soundfonts", "bank", "room", "aligned")}
    return LazySources(**places, dynamics=dynamics)
