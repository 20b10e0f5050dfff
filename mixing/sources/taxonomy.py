"""Taxonomies: named targets, each a group of instrument classes.

A class is what a data set calls a stem: Slakh's coarse and fine classes (``piano``, ``violin``),
MUSDB18's four sources, the name of a folder of solos. Names are compared as `slug` writes them, in
lower case with hyphens. A stem belongs to the first target, in the order of the taxonomy, that
lists one of its classes; ``*`` stands for every class.
"""

from __future__ import annotations

import importlib
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Final

from stemsmith.manifests.documents import read_toml
from stemsmith.manifests.errors import UsageError
from stemsmith.manifests.names import distinct_slugs, normal_name, slug
from stemsmith.manifests.paths import local_path
from stemsmith.manifests.programs import DrumPiece, class_names

__all__ = ["TAXONOMIES", "Taxonomy", "known_classes", "names_pieces", "read_taxonomy"]

ANY: Final = "*"
# "percussion" is what other data sets call whole stems.
PIECES_ALONE: Final = frozenset(DrumPiece) - {DrumPiece.PERCUSSION}
_MODULE_AND_OBJECT: Final = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")


class Taxonomy:
    """Targets in order, and the classes of each.

    Parameters
    ----------
    name : str
        ``slakh``, ``musdb``, or the file it was read from.
    classes : mapping of str to iterable of str
        Classes of every target.

    Raises
    ------
    UsageError
        If the name of a class has no letter or digit, two different names would be the same class,
        or two targets have one name; the text names both.
    """

    def __init__(self, name: str, classes: Mapping[str, Iterable[str]]) -> None:
        self.name = name
        own = {target: list(members) for target, members in classes.items()}
        try:
            slugs = distinct_slugs(c for members in own.values() for c in members if c != ANY)
        except ValueError as error:
            raise UsageError(f"taxonomy {name}: {error}") from None
        self.classes = {
            normal_name(target): tuple(sorted({slugs.get(c, c) for c in members}))
            for target, members in own.items()
        }
        if len(self.classes) < len(own):
            (twice, _), *_ = Counter(map(normal_name, own)).most_common(1)
            raise UsageError(f"taxonomy {name}: the target {twice!r} is there twice, spelled alike")

    @property
    def class_names(self) -> frozenset[str]:
        """Names of all classes that some target lists."""
        return frozenset(c for members in self.classes.values() for c in members) - {ANY}

    @property
    def targets(self) -> tuple[str, ...]:
        """Names of the targets in order."""
        return tuple(self.classes)

    def target_of(self, classes: Iterable[str]) -> str | None:
        """Return the target of a stem from all names of its class, or None if no target has it."""
        own = {*classes, ANY}
        return next((t for t, members in self.classes.items() if own & set(members)), None)


TAXONOMIES: Final = {
    taxonomy.name: taxonomy
    for taxonomy in (
        # Slakh section 3: bass, drums, guitar and piano are in every song, the rest is not.
        Taxonomy(
            "slakh",
            {
                "piano": ["piano"],
                "bass": ["bass"],
                "guitar": ["guitar"],
                "drums": ["drums"],
                "residual": [ANY],
            },
        ),
        Taxonomy(
            "musdb",
            {"vocals": ["vocals"], "drums": ["drums"], "bass": ["bass"], "other": [ANY]},
        ),
        # What most public separators of vocals are scored by, as in SiSEC 2018.
        Taxonomy("vocals-accompaniment", {"vocals": ["vocals"], "accompaniment": [ANY]}),
        # The stems of public separators of drums; corpora have them with `render --drum-pieces`.
        Taxonomy(
            "drum-pieces",
            {
                "kick": ["kick"],
                "snare": ["snare"],
                "toms": ["toms"],
                "hi-hat": ["hi-hat"],
                "cymbals": ["ride", "crash"],
                "percussion": ["percussion"],
            },
        ),
        Taxonomy(
            "violin-piano",  # Chiu et al. 2020
            {"violin": ["violin"], "piano": ["piano"]},
        ),
        Taxonomy(
            "bach10",
            {
                "violin": ["violin"],
                "clarinet": ["clarinet"],
                "saxophone": ["saxophone", "tenor-sax", "soprano-alto-sax", "baritone-sax"],
                "bassoon": ["bassoon"],
            },
        ),
        # Garcia-Martinez et al. 2024 (SynthSOD), who count piccolos as flutes and English horns as
        # oboes, and the saxophone of URMP and CocoChorales. Slakh has flutes among its pipes.
        Taxonomy(
            "orchestra",
            {
                "violin": ["violin"],
                "viola": ["viola"],
                "cello": ["cello"],
                "double-bass": ["contrabass", "double-bass"],
                "flute": ["flute", "piccolo", "pipe"],
                "oboe": ["oboe", "english-horn"],
                "clarinet": ["clarinet"],
                "saxophone": ["saxophone", "tenor-sax", "soprano-alto-sax", "baritone-sax"],
                "bassoon": ["bassoon"],
                "horn": ["french-horn", "horn"],
                "trumpet": ["trumpet"],
                "trombone": ["trombone"],
                "tuba": ["tuba"],
                "harp": ["orchestral-harp", "harp"],
                "timpani": ["timpani"],
                "percussion": ["percussion", "percussive", "drums"],
            },
        ),
    )
}


def names_pieces(classes: Iterable[str]) -> bool:
    """Tell whether a taxonomy with these classes names pieces of drum kits."""
    return not PIECES_ALONE.isdisjoint(classes)


def known_classes() -> frozenset[str]:
    """Return what stems are called: the classes of General MIDI and those of the data sets."""
    own = {
        name
        for taxonomy in TAXONOMIES.values()
        for name in (*taxonomy.class_names, *taxonomy.targets)
    }
    return class_names() | own


def read_taxonomy(name: str) -> Taxonomy:
    """Return a built-in taxonomy, one of a Python module, or one that a TOML file has.

    Parameters
    ----------
    name : str
        One of `TAXONOMIES`, ``package.module:OBJECT`` for a `Taxonomy` of anyone's, or a file.

    The file has one table ``[targets]`` of lists::

        [targets]
        strings = ["violin", "viola", "cello"]
        rest = ["*"]

    Raises
    ------
    UsageError
        If there is no such taxonomy, or the file is not one; the text names it.
    """
    if name in TAXONOMIES:
        return TAXONOMIES[name]
    path = local_path(name) if name else None
    if path is None or not path.is_file():
        if _MODULE_AND_OBJECT.fullmatch(name):
            return _imported(name)
        known = ", ".join(TAXONOMIES)
        raise UsageError(f"{name}: neither a taxonomy ({known}) nor a TOML file with one")
    content = read_toml(path)
    targets = content.get("targets")
    if (
        set(content) != {"targets"}
        or not isinstance(targets, dict)
        or not targets
        or not all(_is_list_of_text(members) for members in targets.values())
    ):
        raise UsageError(f"{path}: expected one table [targets] of lists of class names")
    if wrong := [
        target
        for target in targets
        if target in ("", "mixture") or slug(target) != normal_name(target)
    ]:
        raise UsageError(
            f"{path}: target {wrong[0]!r}: lower case letters, digits and hyphens, not 'mixture'"
        )
    return Taxonomy(path.name, targets)


def _imported(name: str) -> Taxonomy:
    module, _, attribute = name.partition(":")
    try:
        found = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise UsageError(f"taxonomy {name!r}: cannot be imported: {error}") from error
    if not isinstance(found, Taxonomy):
        raise UsageError(f"taxonomy {name!r}: not a {Taxonomy.__module__}:Taxonomy")
    return found


def _is_list_of_text(value: object) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(v, str) for v in value)
