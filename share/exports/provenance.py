"""Where the weights of a run come from: mixtures, the corpora these are of, and their licences."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from stemsmith.manifests import documents, shards, storage
from stemsmith.manifests.corpus import Corpus
from stemsmith.manifests.errors import StemsmithError
from stemsmith.manifests.places import joined
from stemsmith.mixing.mixtures import Mixtures
from stemsmith.render.certificate import JSON, check_certificate
from stemsmith.render.corpus.card import UNKNOWN, corpus_facts, text_cell
from stemsmith.train.run import TrainedRun

__all__ = ["licences_text", "provenance_of"]


def provenance_of(run: TrainedRun) -> dict[str, Any]:
    """Return what is known of the data of a run, as JSON.

    Parameters
    ----------
    run : TrainedRun
        A run, whose mixtures and their sources are looked for where they were.

    Returns
    -------
    dict of str to object
        ``model``, ``targets``, ``versions`` and ``mixtures``: for each set of mixtures its name,
        its fingerprint, the splits it was used for, whether it was found, and its sources; of a
        source that is a corpus the hash of its manifest, the licences of scores and sounds, and
        its certificate, if it has one that holds. Nothing of it names a folder of this machine.
    """
    hashes: dict[str, list[str]] = run.config.get("data", {})
    paths: dict[str, list[str]] = run.content.get("data", {})
    found: dict[str, dict[str, Any]] = {}
    for split, fingerprints in hashes.items():
        places = paths.get(split, [])
        for number, fingerprint in enumerate(fingerprints):
            place = places[number] if number < len(places) else None
            if fingerprint not in found:
                found[fingerprint] = _mixtures(run.root, place, fingerprint)
            entry = found[fingerprint]
            entry["used_for"] = sorted({*entry.get("used_for", ()), split})
    return {
        "model": run.model_name,
        "targets": list(run.targets),
        "versions": run.content.get("versions", {}),
        "mixtures": list(found.values()),
    }


def _mixtures(root: Path, place: str | None, fingerprint: str) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "name": None if place is None else Path(place).name,
        "fingerprint": fingerprint,
        "is_found": False,
        "sources": [],
    }
    if place is None:
        return entry
    try:
        mixtures = Mixtures(joined(root, place))
        if mixtures.fingerprint != fingerprint:  # another set lies there now
            return entry
        roots = mixtures.header.get("roots", {})
        names = [(str(s["root"]), str(s.get("layout"))) for s in mixtures.header["sources"]]
    except (StemsmithError, OSError, KeyError):
        return entry
    entry["is_found"] = True
    entry["hours"] = mixtures.hours
    folders = {name: joined(mixtures.root, str(roots.get(name, name))) for name, _ in names}
    entry["sources"] = [
        {"name": name, "layout": layout, **_source(folders[name])} for name, layout in names
    ]
    return entry


def _source(folder: Path) -> dict[str, Any]:
    """Return what is known of a source of mixtures: of a corpus, much; of any other, nothing."""
    unknown = {"is_corpus": False, "licences": {"scores": {}, "sounds": []}, "certificate": None}
    try:
        corpus = Corpus(folder)
        facts = corpus_facts(corpus.root, corpus.header)
        digest = storage.file_hash(corpus.root / shards.MANIFEST)
    except (StemsmithError, OSError, LookupError, TypeError):
        return unknown
    return {
        "is_corpus": True,
        "manifest_sha256": digest,
        "n_songs": dict(facts.n_songs),
        "licences": {"scores": dict(facts.licences), "sounds": [dict(s) for s in facts.sounds]},
        "certificate": _certificate(corpus.root),
    }


def _certificate(root: Path) -> Any:
    """Return the certificate of a corpus, if it has one and that holds."""
    try:
        return documents.read_json(root / JSON) if check_certificate(root) else None
    except (StemsmithError, OSError):
        return None


def licences_text(provenance: Mapping[str, Any], licence: str | None) -> str:
    """Return what is known of the licence of some weights, for people.

    Parameters
    ----------
    provenance : mapping
        What `provenance_of` returns.
    licence : str or None
        SPDX licence that whoever trained the weights gives them; None if nobody said.
    """
    return "\n".join(_lines(provenance, licence)) + "\n"


def _lines(provenance: Mapping[str, Any], licence: str | None) -> Iterator[str]:
    yield from ("# Licences", "")
    if licence is None:
        yield "No licence of these weights is on record: ask whoever gave you the file."
    else:
        yield f"These weights are given under {text_cell(licence)} by whoever wrote this file."
    yield "They were trained on what is listed below; `provenance.json` says more."
    for mixtures in provenance["mixtures"]:
        name = text_cell(mixtures["name"] or mixtures["fingerprint"])
        yield from ("", f"## Mixtures {name}", "")
        yield f"Fingerprint `{mixtures['fingerprint']}`."
        if not mixtures["is_found"]:
            yield "They were not there when this file was written: their sources are unknown."
        for source in mixtures["sources"]:
            yield from _source_lines(source)


def _source_lines(source: Mapping[str, Any]) -> Iterator[str]:
    yield from ("", f"### {text_cell(source['name'])}", "")
    if not source["is_corpus"]:
        yield f"A data set in the layout {text_cell(source['layout'])}; its licence is {UNKNOWN}."
        return
    certified = "certified" if source["certificate"] else "not certified"
    yield f"A corpus of stemsmith, {certified}; SHA-256 of its manifest"
    yield f"`{source['manifest_sha256']}`."
    yield from ("", "| licence of scores | scores |", "|---|---:|")
    for licence, n_scores in source["licences"]["scores"].items():
        yield f"| {text_cell(licence)} | {n_scores} |"
    yield from ("", "| sounds | licence |", "|---|---|")
    for sound in source["licences"]["sounds"]:
        name, licence = sound.get("file") or UNKNOWN, sound.get("licence") or UNKNOWN
        yield f"| {text_cell(name)} | {text_cell(licence)} |"
