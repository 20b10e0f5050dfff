"""General MIDI programs, Slakh's two class tables, and the players of a band.

Slakh knows two classifications: the 17 coarse classes that ``metadata.yaml`` names
(``inst_class``), and the 34 finer classes from which the renderer draws its patches
(Manilow et al. 2019, section 2.2; the file ``komplete_strict.json`` of slakh-generation).
Programs are 0-based; all drums are the pseudo-program 128.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from typing import Final

from stemsmith.manifests.names import slug

__all__ = [
    "DRUMS",
    "OMITTED_PROGRAMS",
    "PROGRAM_NAMES",
    "RENDERING_CLASSES",
    "DrumPiece",
    "class_names",
    "classes_of",
    "inst_class_of",
    "players",
    "rendering_class_of",
]

DRUMS: Final = 128


class DrumPiece(StrEnum):
    """A piece of a drum kit."""

    KICK = "kick"
    SNARE = "snare"
    TOMS = "toms"
    HI_HAT = "hi-hat"
    RIDE = "ride"
    CRASH = "crash"
    PERCUSSION = "percussion"  # all else: claps, cowbells, shakers, timpani, effects


# General MIDI level 1 names; pretty_midi has the same (but "Lead 4 chiff"), and Slakh's
# `midi_program_name` too.
_NAMES: Final = """\
    Acoustic Grand Piano|Bright Acoustic Piano|Electric Grand Piano|Honky-tonk Piano
    |Electric Piano 1|Electric Piano 2|Harpsichord|Clavinet|Celesta|Glockenspiel|Music Box
    |Vibraphone|Marimba|Xylophone|Tubular Bells|Dulcimer|Drawbar Organ|Percussive Organ
    |Rock Organ|Church Organ|Reed Organ|Accordion|Harmonica|Tango Accordion
    |Acoustic Guitar (nylon)|Acoustic Guitar (steel)|Electric Guitar (jazz)
    |Electric Guitar (clean)|Electric Guitar (muted)|Overdriven Guitar|Distortion Guitar
    |Guitar Harmonics|Acoustic Bass|Electric Bass (finger)|Electric Bass (pick)|Fretless Bass
    |Slap Bass 1|Slap Bass 2|Synth Bass 1|Synth Bass 2|Violin|Viola|Cello|Contrabass
    |Tremolo Strings|Pizzicato Strings|Orchestral Harp|Timpani|String Ensemble 1
    |String Ensemble 2|Synth Strings 1|Synth Strings 2|Choir Aahs|Voice Oohs|Synth Choir
    |Orchestra Hit|Trumpet|Trombone|Tuba|Muted Trumpet|French Horn|Brass Section|Synth Brass 1
    |Synth Brass 2|Soprano Sax|Alto Sax|Tenor Sax|Baritone Sax|Oboe|English Horn|Bassoon
    |Clarinet|Piccolo|Flute|Recorder|Pan Flute|Blown bottle|Shakuhachi|Whistle|Ocarina
    |Lead 1 (square)|Lead 2 (sawtooth)|Lead 3 (calliope)|Lead 4 (chiff)|Lead 5 (charang)
    |Lead 6 (voice)|Lead 7 (fifths)|Lead 8 (bass + lead)|Pad 1 (new age)|Pad 2 (warm)
    |Pad 3 (polysynth)|Pad 4 (choir)|Pad 5 (bowed)|Pad 6 (metallic)|Pad 7 (halo)|Pad 8 (sweep)
    |FX 1 (rain)|FX 2 (soundtrack)|FX 3 (crystal)|FX 4 (atmosphere)|FX 5 (brightness)
    |FX 6 (goblins)|FX 7 (echoes)|FX 8 (sci-fi)|Sitar|Banjo|Shamisen|Koto|Kalimba|Bagpipe
    |Fiddle|Shanai|Tinkle Bell|Agogo|Steel Drums|Woodblock|Taiko Drum|Melodic Tom|Synth Drum
    |Reverse Cymbal|Guitar Fret Noise|Breath Noise|Seashore|Bird Tweet|Telephone Ring
    |Helicopter|Applause|Gunshot|Drums"""
PROGRAM_NAMES: Final = tuple(name.strip() for name in _NAMES.split("|"))

# Slakh's `inst_class`: first program of each class. Both spellings of "Sound effects" are Slakh's.
_INST_CLASSES: Final[tuple[tuple[int, str], ...]] = (
    (0, "Piano"),
    (8, "Chromatic Percussion"),
    (16, "Organ"),
    (24, "Guitar"),
    (32, "Bass"),
    (40, "Strings"),
    (48, "Strings (continued)"),
    (56, "Brass"),
    (64, "Reed"),
    (72, "Pipe"),
    (80, "Synth Lead"),
    (88, "Synth Pad"),
    (96, "Sound Effects"),
    (104, "Ethnic"),
    (112, "Percussive"),
    (119, "Sound effects"),
    (DRUMS, "Drums"),
)

# The 34 classes Slakh renders. Slakh lists program 0 both as acoustic and as electric piano,
# and which one wins is an accident of dictionary order; here it is acoustic, as its name says.
RENDERING_CLASSES: Final[dict[str, tuple[int, ...]]] = {
    "Acoustic Piano": (0, 1, 3, 6),
    "Electric Piano": (2, 4, 5, 7),
    "Chromatic Percussion": tuple(range(8, 16)),
    "Organ": tuple(range(16, 24)),
    "Acoustic Guitar": (24, 25),
    "Clean Electric Guitar": (26, 27, 28, 31),
    "Distorted Electric Guitar": (29, 30),
    "Acoustic Bass": (32,),
    "Electric Bass": (33, 34, 35, 36, 37),
    "Violin": (40,),
    "Viola": (41,),
    "Cello": (42,),
    "Contrabass": (43,),
    "String Ensemble": (44, 45, 48, 49),
    "Timpani": (47,),
    "Orchestral Harp": (46,),
    "Synth Strings": (50, 51),
    "Choir and Voice": (52, 53, 54),
    "Trumpet": (56, 59),
    "Trombone": (57,),
    "Tuba": (58,),
    "French Horn": (60,),
    "Brass Section": (61,),
    "Soprano/Alto Sax": (64, 65),
    "Tenor Sax": (66,),
    "Baritone Sax": (67,),
    "Oboe": (68,),
    "English Horn": (69,),
    "Bassoon": (70,),
    "Clarinet": (71,),
    "Pipe": tuple(range(72, 80)),
    "Synth Lead": tuple(range(80, 88)),
    "Synth Pad": tuple(range(88, 96)),
    "Drums": (DRUMS,),
}

# Programs Slakh never renders, by classes of our own, for `--render-omitted`.
_OMITTED_CLASSES: Final[dict[str, tuple[int, ...]]] = {
    "Synth Bass": (38, 39),
    "Orchestra Hit": (55,),
    "Synth Brass": (62, 63),
    "Sound Effects": (*range(96, 104), *range(119, 128)),
    "Ethnic": tuple(range(104, 112)),
    "Percussive": tuple(range(112, 119)),
}

OMITTED_PROGRAMS: Final = frozenset(p for ps in _OMITTED_CLASSES.values() for p in ps)

_RENDERING_CLASS_OF: Final = {
    program: name
    for table in (RENDERING_CLASSES, _OMITTED_CLASSES)
    for name, programs in table.items()
    for program in programs
}


def inst_class_of(program: int) -> str:
    """Return Slakh's coarse class (17 names) of a 0-based program; 128 is drums."""
    return next(name for first, name in reversed(_INST_CLASSES) if program >= first)


def rendering_class_of(program: int) -> str:
    """Return the class a patch is drawn from: one of Slakh's 34, or of the omitted ones."""
    return _RENDERING_CLASS_OF[program]


def _player_programs() -> dict[str, frozenset[int]]:
    table: dict[str, set[int]] = {}
    for classes in (RENDERING_CLASSES, _OMITTED_CLASSES):
        for name, programs in classes.items():
            table.setdefault(slug(name), set()).update(programs)
    for program in range(DRUMS + 1):  # coarse classes win where both tables have the name
        table.setdefault(slug(inst_class_of(program)), set()).add(program)
    table["strings"] = set(range(40, 56))  # "Strings" and "Strings (continued)" are one section
    return {name: frozenset(programs) for name, programs in table.items()}


_PLAYERS: Final = _player_programs()


def class_names() -> frozenset[str]:
    """Return the names of all classes of both tables, as `slug` writes them."""
    return frozenset(_PLAYERS)


def classes_of(program: int) -> tuple[str, ...]:
    """Return the classes of both tables that have a 0-based program, the smallest first.

    Examples
    --------
    >>> classes_of(24)
    ('acoustic-guitar', 'guitar')
    """
    sizes = sorted((len(has), name) for name, has in _PLAYERS.items() if program in has)
    return tuple(name for _, name in sizes)


def players(names: Iterable[str]) -> dict[str, frozenset[int]]:
    """Return the programs each player of a band may use.

    Parameters
    ----------
    names : iterable of str
        Class names of either table, in lower case with hyphens: ``piano``, ``bass``,
        ``violin``, ``clean-electric-guitar``, ...

    Returns
    -------
    dict of str to frozenset of int
        Programs by name, in the order given.

    Raises
    ------
    KeyError
        With the unknown name and all known ones.
    """
    band: dict[str, frozenset[int]] = {}
    for name in names:
        key = slug(name)
        if key not in _PLAYERS:
            raise KeyError(f"no instrument class {name!r}; known: {', '.join(sorted(_PLAYERS))}")
        band[key] = _PLAYERS[key]
    return band
