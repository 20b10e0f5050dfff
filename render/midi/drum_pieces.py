"""Which piece of a drum kit a key plays, by the maps of GM, GS and XG.

References: General MIDI System Level 1, percussion key map; drum set lists of the Roland SC-88 (GS:
keys 22 to 34 and 82 to 88, brush, orchestra and SFX sets) and of the Yamaha MU80 (XG: keys 13 to 34
and 82 to 84, SFX kits).
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from typing import Final

from stemsmith.manifests.programs import DrumPiece
from stemsmith.manifests.records import Part

__all__ = ["piece_class", "pieces_of_keys"]

_KEYS: Final = 128
_XG_BANKS: Final = (126, 127)
_XG_EFFECTS: Final = 126
_ELECTRONIC, _BRUSH, _ORCHESTRA, _EFFECTS = (24, 25), 40, 48, 56  # kits by program

_GM: Final[Mapping[DrumPiece, tuple[int, ...]]] = {
    DrumPiece.KICK: (35, 36),
    DrumPiece.SNARE: (37, 38, 40),
    DrumPiece.TOMS: (41, 43, 45, 47, 48, 50),
    DrumPiece.HI_HAT: (42, 44, 46),
    DrumPiece.RIDE: (51, 53, 59),
    DrumPiece.CRASH: (49, 52, 55, 57),
}
_GS: Final = {**_GM, DrumPiece.SNARE: (25, 37, 38, 40)}  # a roll
_GS_BRUSH: Final = {**_GS, DrumPiece.SNARE: (25, 37, 38, 39, 40)}  # taps, slaps and swirls
_GS_ORCHESTRA: Final = {  # timpani from 41 to 53
    DrumPiece.KICK: (35, 36),
    DrumPiece.SNARE: (25, 37, 38, 40),
    DrumPiece.HI_HAT: (27, 28, 29),
    DrumPiece.RIDE: (30,),
    DrumPiece.CRASH: (55, 57, 59),
}
_XG: Final = {
    **_GM,
    DrumPiece.KICK: (33, 35, 36),
    DrumPiece.SNARE: (25, 26, 27, 28, 29, 31, 34, 37, 38, 40),  # brushes, a roll, open rim shots
}
# In electronic kits key 28 is a reversed cymbal.
_XG_ELECTRONIC: Final = {**_XG, DrumPiece.SNARE: (25, 26, 27, 29, 31, 34, 37, 38, 40)}


def piece_class(piece: DrumPiece) -> str:
    """Return the name of a piece as an instrument class: ``Hi-Hat``."""
    return piece.value.title()


def pieces_of_keys(
    part: Part, kit: int | None = None, exclusive_class: Callable[[int], int] = lambda key: 0
) -> tuple[DrumPiece, ...]:
    """Return the piece that each key of a part plays.

    Parameters
    ----------
    part : Part
        A part that plays drums. Where its bank is one of XG's, keys are XG's; else GS's, which
        has GM's.
    kit : int, optional
        Program of the kit that sounds, of which brush, orchestra and SFX sets have keys of their
        own; the one that the score asks for if not given.
    exclusive_class : callable
        Returns the class of a key of which one voice at a time sounds, and 0 for none. The keys of
        a class are one piece, that of most of them: they end one another.

    Returns
    -------
    tuple of DrumPiece
        One for each of the 128 keys.
    """
    found = [DrumPiece.PERCUSSION] * _KEYS
    for piece, keys in _map_of(part.bank, part.kit if kit is None else kit).items():
        for key in keys:
            found[key] = piece
    groups: dict[int, list[int]] = defaultdict(list)
    for key in range(_KEYS):
        if number := exclusive_class(key):
            groups[number].append(key)
    for keys_of_group in groups.values():
        ((piece, _),) = Counter(found[key] for key in keys_of_group).most_common(1)
        for key in keys_of_group:
            found[key] = piece
    return tuple(found)


def _map_of(bank: int, kit: int) -> Mapping[DrumPiece, tuple[int, ...]]:
    if bank == _XG_EFFECTS or (kit == _EFFECTS and bank not in _XG_BANKS):
        return {}
    if bank in _XG_BANKS:
        return _XG_ELECTRONIC if kit in _ELECTRONIC else _XG
    return {_BRUSH: _GS_BRUSH, _ORCHESTRA: _GS_ORCHESTRA}.get(kit, _GS)
