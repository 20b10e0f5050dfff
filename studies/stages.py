"""Stages of a study: steps that each fill one folder, and what each needs of the others."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from stemsmith.manifests.options import json_value

__all__ = ["StageKind", "StudyStage", "fingerprints", "in_order"]


class StageKind(StrEnum):
    """What a stage makes; the value is the folder of all that are of the kind."""

    SCORES = "scores"
    ALIGNED = "aligned"  # the same scores as they were played
    CORPUS = "corpora"
    MIXTURES = "mixtures"
    SONGS = "songs"  # mixtures as a data set to test on
    RUN = "runs"
    RESULTS = "results"
    GAP = "gaps"  # how far a corpus is from the songs of tests


@dataclass(frozen=True, kw_only=True)
class StudyStage:
    """A step of a study.

    Attributes
    ----------
    kind : StageKind
        What it makes.
    name : str
        Its folder among those of its kind.
    work : mapping of str to object
        All that decides what it makes, as JSON values; other stages by their `id`.
    needs : tuple of str
        The `id` of every stage that has to be done before.
    """

    kind: StageKind
    name: str
    work: Mapping[str, Any]
    needs: tuple[str, ...] = ()

    @property
    def id(self) -> str:
        """Its folder below that of the study."""
        return f"{self.kind}/{self.name}"


def in_order(stages: Mapping[str, StudyStage], wanted: Iterable[str]) -> tuple[StudyStage, ...]:
    """Return the wanted stages and all that they need, none before what it needs.

    Parameters
    ----------
    stages : mapping of str to StudyStage
        All stages by their `id`.
    wanted : iterable of str
        What is asked for, in the order in which it is to be done.
    """
    found: dict[str, StudyStage] = {}

    def add(name: str) -> None:
        if name not in found:
            for needed in stages[name].needs:
                add(needed)
            found[name] = stages[name]

    for name in wanted:
        add(name)
    return tuple(found.values())


def fingerprints(stages: Iterable[StudyStage]) -> dict[str, str]:
    """Return a hash of all that decides each stage, what it needs included.

    Parameters
    ----------
    stages : iterable of StudyStage
        In an order in which none stands before what it needs.
    """
    hashes: dict[str, str] = {}
    for stage in stages:
        needed = {name: hashes[name] for name in stage.needs}
        text = json.dumps([stage.id, json_value(dict(stage.work)), needed], sort_keys=True)
        hashes[stage.id] = hashlib.sha256(text.encode()).hexdigest()
    return hashes
