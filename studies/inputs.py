"""What a user gives to a study, and what stands in for what is not given."""

from __future__ import annotations

import string
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from stemsmith.manifests.errors import UsageError
from stemsmith.manifests.folder_kinds import own_kind
from stemsmith.manifests.names import slug
from stemsmith.manifests.paths import local_path
from stemsmith.mixing.sources.find import CORPUS, divided_source
from stemsmith.studies.study import InputKind, InputSpec, Study

__all__ = ["StudyInputs", "read_inputs"]


@dataclass(frozen=True)
class StudyInputs:
    """What a user gave to a study.

    Attributes
    ----------
    study : Study
        What declares the inputs.
    given : mapping of str to tuple of str
        By input, the paths that were given, data sets with their layout; inputs that were not
        given are not there.
    """

    study: Study
    given: Mapping[str, tuple[str, ...]]

    def is_there(self, name: str) -> bool:
        """Whether an input was given, or something stands in for it."""
        return name in self.given or bool(self.study.inputs[name].stand_in)

    def title(self, name: str) -> str:
        """Return what rows call an input: never a data set that was not used."""
        spec = self.study.inputs[name]
        if name in self.given:
            return spec.title or " + ".join(map(_folder_name, self.given[name]))
        return spec.stand_in_title or spec.stand_in or f"no {spec.title or name}"

    def filled(self, text: str) -> str:
        """Return a title in which ``{input}`` is what rows call the input.

        Raises
        ------
        UsageError
            If the text names something that is no input.
        """
        titles = {name: self.title(name) for name in self.study.inputs}
        try:
            return string.Formatter().vformat(text, (), titles)
        except (KeyError, IndexError, ValueError, AttributeError):
            known = ", ".join(f"{{{name}}}" for name in titles) or "none"
            raise UsageError(
                f"{self.study.path}: {text!r} names an input that is not there; there are {known}"
            ) from None

    def parts(self, name: str) -> tuple[tuple[str, str], ...]:
        """Return the label and the path of each data set that was given as an input."""
        paths = self.given[name]
        labels = [slug(_folder_name(path)) for path in paths]
        if len(set(labels)) < len(labels):
            labels = [f"{label}-{number}" for number, label in enumerate(labels, 1)]
        return tuple(zip(labels, paths, strict=True))


def _folder_name(path: str) -> str:
    return Path(divided_source(path)[1]).name or path


def read_inputs(study: Study, given: Mapping[str, Sequence[str]]) -> StudyInputs:
    """Check what a user gave to a study.

    Parameters
    ----------
    study : Study
        What declares the inputs.
    given : mapping of str to sequence of str
        By name of the input, paths; data sets may name their layout, as ``folder:PATH``.

    Raises
    ------
    UsageError
        If the study has no such input, or takes one path of it and several are given.
    """
    settled: dict[str, tuple[str, ...]] = {}
    for name, paths in given.items():
        if name not in study.inputs:
            known = ", ".join(f"--{other}" for other in study.inputs) or "none"
            raise UsageError(f"--{name}: {study.path} has no such input; it has {known}")
        spec = study.inputs[name]
        if spec.kind != InputKind.SONGS and len(paths) > 1:
            raise UsageError(f"--{name}: takes one path, {len(paths)} are given")
        settled[name] = tuple(_located(spec, path) for path in paths)
        folders = [Path(divided_source(place)[1]).resolve() for place in settled[name]]
        for path, folder in zip(paths, folders, strict=True):
            if folders.count(folder) > 1:
                raise UsageError(f"--{name} {path}: given twice")
    return StudyInputs(study, settled)


def _located(spec: InputSpec, path: str) -> str:
    """Return where an input is: data sets with their layout."""
    if spec.kind != InputKind.SONGS:
        if not local_path(path).exists():
            raise UsageError(f"--{spec.name} {path}: is not there")
        return str(local_path(path).absolute())
    layout, root = divided_source(path)
    if not local_path(root).is_dir():
        raise UsageError(f"--{spec.name} {path}: {root} is not a folder")
    if layout == CORPUS:  # a folder that stemsmith has not written needs a layout
        layout = spec.layout if own_kind(local_path(root)) is None else ""
    place = str(local_path(root).absolute())
    return f"{layout}:{place}" if layout else place
