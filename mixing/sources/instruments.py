"""Names of instruments as data sets have them, and the classes that taxonomies know.

Most names stand for a program of General MIDI, whose classes are Slakh's: a harpsichord is a piano
there. What is left has its own name alone, such as ``erhu``, ``sampler`` and ``fx-processed-sound``
of MedleyDB, and belongs to those targets that take everything.
"""

from __future__ import annotations

from typing import Final

from stemsmith.manifests.names import slug
from stemsmith.manifests.programs import inst_class_of, rendering_class_of

__all__ = ["instrument_classes"]

_PROGRAMS: Final[dict[str, int]] = {
    "piano": 0, "grand-piano": 0, "tack-piano": 3, "electric-piano": 4, "harpsichord": 6,
    "glockenspiel": 9, "vibraphone": 11, "marimba": 12, "xylophone": 13, "chimes": 14,
    "dulcimer": 15,
    "electronic-organ": 16, "organ": 16, "pipe-organ": 19, "harmonium": 20, "melodica": 20,
    "accordion": 21, "concertina": 21, "harmonica": 22, "bandoneon": 23,
    "acoustic-guitar": 25, "clean-electric-guitar": 27, "lap-steel-guitar": 27,
    "slide-guitar": 27, "distorted-electric-guitar": 30,
    "bass-guitar": 33, "electric-bass": 33, "bass-synthesizer": 38,
    "violin": 40, "viola": 41, "cello": 42, "contrabass": 43, "double-bass": 43,
    "harp": 46, "timpani": 47,
    "string-section": 48, "violin-section": 48, "viola-section": 48, "cello-section": 48,
    "trumpet": 56, "cornet": 56, "trombone": 57, "tuba": 58, "euphonium": 58,
    "horn": 60, "french-horn": 60,
    "brass-section": 61, "horn-section": 61, "trumpet-section": 61, "trombone-section": 61,
    "french-horn-section": 61,
    "soprano-saxophone": 64, "alto-saxophone": 65, "saxophone": 65, "tenor-saxophone": 66,
    "baritone-saxophone": 67,
    "oboe": 68, "english-horn": 69, "coranglais": 69, "bassoon": 70,
    "clarinet": 71, "bass-clarinet": 71, "clarinet-section": 71,
    "piccolo": 72, "flute": 73, "flute-section": 73, "recorder": 74, "panpipes": 75,
    "bamboo-flute": 77, "whistle": 78,
    "synth-lead": 80, "synth-pad": 88,
    "sitar": 104, "banjo": 105, "bagpipe": 109,
}  # fmt: skip
_CLASSES: Final[dict[str, frozenset[str]]] = {
    "vocals": frozenset(
        {
            "male-singer", "female-singer", "male-speaker", "female-speaker", "male-rapper",
            "female-rapper", "male-screamer", "vocalists", "choir", "beatboxing",
        }
    ),
    "drums": frozenset(  # MUSDB18's, which have percussion in them
        {
            "drum-set", "drum-machine", "kick-drum", "snare-drum", "toms", "bass-drum", "high-hat",
            "cymbal", "auxiliary-percussion", "bongo", "cabasa", "castanet", "claps", "conga",
            "cowbell", "darbuka", "doumbek", "gong", "gu", "guiro", "maracas", "rattle", "shaker",
            "sleigh-bells", "snaps", "tabla", "tambourine", "triangle",
        }
    ),
    "percussion": frozenset({"untunedpercussion"}),
}  # fmt: skip


def instrument_classes(name: str) -> tuple[str, ...]:
    """Return the classes of an instrument, the coarsest first.

    Parameters
    ----------
    name : str
        Its name in any spelling that `slug` makes one of; without numbers of players.

    Returns
    -------
    tuple of str
        Slakh's coarse and fine class, or ``vocals``, ``drums`` or ``percussion``, where there is
        one; and the name itself.

    Examples
    --------
    >>> instrument_classes("clean electric guitar"), instrument_classes("female singer")
    (('guitar', 'clean-electric-guitar'), ('vocals', 'female-singer'))
    >>> instrument_classes("Horn"), instrument_classes("erhu")
    (('brass', 'french-horn', 'horn'), ('erhu',))
    """
    own = slug(name)
    known = [coarse for coarse, names in _CLASSES.items() if own in names]
    if own in _PROGRAMS:
        program = _PROGRAMS[own]
        known = [slug(inst_class_of(program)), slug(rendering_class_of(program))]
    return tuple(dict.fromkeys((*known, own)))
