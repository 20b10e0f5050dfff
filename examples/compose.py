"""Write the demonstration scores: ``python examples/compose.py DEST``.

The band scores are original, but for the melody of "Greensleeves"; the chorales are original or our
own harmonisations of melodies in the public domain. Everything written here is CC0-1.0.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

# A script finds its neighbours by their bare name, a type checker run from the top by the full one.
if TYPE_CHECKING:
    from examples import arranger as arr
else:
    import arranger as arr

FULL: Final = "X---------------"  # one chord for the whole bar


def _morning_ferry() -> arr.Score:
    """Pop in G: pushed piano with pedal, strummed steel strings, a flute above string pads."""
    piece = arr.chart(
        "G | D/F# | Em7 | C | G/B | C | Am7 | Dsus4 D | Em7 | C | G/D D | G", ending="X-------"
    )
    flute = arr.line(
        "D5:1.5 B4:.5 D5:1 G5 | F#5:1.5 E5:.5 D5:1 A4 | B4 D5 E5 G5 | E5:3 D5:1 |"
        "D5:1.5 B4:.5 D5:1 G5 | G5:1.5 E5:.5 C5:1 E5 | E5 D5:.5 C5 E5:1 C5 | D5:2 F#5:1 A5 |"
        "G5:1.5 F#5:.5 E5:1 B4 | C5 E5 G5 E5 | D5:2 C5:1 A4 | G4:4"
    )
    piano = arr.comp(piece, "x--x--x- x--x---p", 55, 79, style="piano")
    strum = arr.comp(piece, "X.xx.xx. X.xx.xxx", 40, 76, style="barre", level=66, strum=0.02)
    groove = (
        "kick x..xx... x..xx..x; snare ..X...X.; hat xxxxxxxx; tamb ..x...x.;crash X....... . . ."
    )
    fill = "kick x..xx...; snare ....X.......xxXX; hat xxxxxx..; tom1 ........xx......"
    parts = (
        arr.Part("Piano", 0, piano, 96, 54, arr.pedal(piece)),
        arr.Part("Steel Guitar", 25, strum, 88, 84),
        arr.Part("Bass", 33, arr.bass(piece, "1.111.51 1.11.55b"), 104),
        arr.Part("Strings", 48, arr.comp(piece, FULL, 55, 76), 70, 44, arr.swells(piece)),
        arr.Part("Flute", 73, flute, 100, 70),
        arr.Part("Drums", None, arr.drums(piece, groove, fill), 100),
    )
    return arr.Score("Morning Ferry", "G", ((0, 116),), parts, seed=11)


def _back_porch_shuffle() -> arr.Score:
    """Swing a twelve-bar blues in A: boogie bass, honky-tonk piano, a tenor sax that scoops."""
    piece = arr.chart(
        "A7 | D7 | A7 | A7 | D7 | D7 | A7 | F#7 | Bm7 | E7 | A7 D7 | A7 E7 | A7", ending="X---...."
    )
    sax = arr.line(
        "r:.5 E4 G4 A4 C5:1 A4:.5 G4 | A4:1.5 F#4:.5 D4:2 | r:.5 E4 G4 A4 C5:1 A4:.5 G4 | A4:2 r |"
        "r:.5 F#4 A4 C5 D5:1 C5:.5 A4 | C5:1.5 A4:.5 F#4:2 | r:.5 E4 G4 A4 C#5:1 E5:.5 C#5 |"
        "C#5:1.5 A#4:.5 F#4:2 | D5:.5 C#5 B4 A4 F#4:1 D4 | E4:.5 G#4 B4 D5 E5:1.5 D5:.5 |"
        "C5:.5 A4 G4 E4 F#4 A4 C5 A4 | G4 E4 C#4 E4 B4:1 G#4 | A4:2",
        level=92,
    )
    walk = (
        "1.335.66 8.6.5.33 1.3.5.68 8.655.b. 1.335.66 8.6.55b. 1.3.5.66 1.335.a."
        " 1.3.5.aa 1.5.33b. 1.5.1.bb 1.5.1.aa"
    )
    groove = "kick x...x...; snare ..Xo..Xo; ride x.xxx.xx; crash X....... . . ."
    fill = "kick x...x...; snare ..Xo.xXx; ride x.xx....; tom1 ....x...; tom3 .......x"
    comp = "..x...xx .x.x..x."
    parts = (
        arr.Part("Honky-tonk", 3, arr.comp(piece, comp, 55, 76, gate=0.7), 92, 44),
        arr.Part(
            "Archtop Guitar",
            27,
            arr.comp(piece, "x.X.x.X.", 50, 74, style="drop2", level=64, gate=0.6),
            84,
            84,
        ),
        arr.Part("Upright Bass", 32, arr.bass(piece, walk), 108),
        arr.Part("Organ", 16, arr.comp(piece, FULL, 57, 76, level=58), 64, 30, arr.swells(piece)),
        arr.Part("Tenor Sax", 66, sax, 104, 70, arr.scoops(sax, shortest=0.9)),
        arr.Part("Drums", None, arr.drums(piece, groove, fill), 98),
    )
    return arr.Score("Back Porch Shuffle", "A", ((0, 126),), parts, seed=12, swing=True)


def _iron_orchard() -> arr.Score:
    """Rock in E minor: after four clean bars the rhythm guitar steps on its pedal."""
    piece = arr.chart(
        "Em | C | G | D | Em | G A | Em | C D | Em | G A | C | D | B7 | Em", ending="X-------"
    )
    clean = arr.comp(piece, "01232123", 47, 72, style="drop2", level=70, gate=0.85)
    riff = "X.xx.xX.xx.xX.x. X.xx.xX.X.xx.xX."
    heavy = arr.comp(piece, riff, 40, 64, style="power", level=88)
    rhythm = [*arr.between(clean, 0, 16), *arr.between(heavy, 16, 99)]
    lead = arr.line(
        "B4:1 D5:.5 E5:1.5 G5:.5 E5 | D5:1 B4 C#5:.5 E5:1.5 | G5 E5:.5 D5:1 B4 | C5 E5 F#5 A5 |"
        "B5:2 G5:.5 E5 D5:1 | D5:.5 G5 B5:1 A5:.5 E5 C#5:1 | E5:.5 G5 C6:1 B5:.5 G5 E5:1 |"
        "F#5:.5 A5 D6:1 C6:.5 A5 F#5:1 | D#5:.5 F#5 A5:1 F#5:.5 D#5 B4:1 | E5:4",
        start=16,
        level=92,
    )
    step = (15.95, arr.program(30))
    groove = (
        "kick x..xx.x. x.xx..x.; snare ..X...X.; hat xxxxxxxx; crash X....... . . .;"
        "open ........ .......x"
    )
    fill = (
        "kick x.x.x.x.; snare ..X.XX..........; tom1 ......xxX.......; tom2 ..........xxX...;"
        "tom3 ..............XX"
    )
    parts = (
        arr.Part("Bright Piano", 1, arr.comp(piece, "x.xx.xx.", 52, 76, level=66), 78, 40),
        arr.Part("Rhythm Guitar", 27, rhythm, 92, 88, [step]),
        arr.Part("Lead Guitar", 29, lead, 88, 60, arr.scoops(lead, 0.9, 2)),
        arr.Part("Picked Bass", 34, arr.bass(piece, "11111111 1111113b", gate=0.8), 106),
        arr.Part("Drums", None, arr.drums(piece, groove, fill), 106),
    )
    return arr.Score("Iron Orchard", "Em", ((0, 144),), parts, seed=14)


def _glass_escalator() -> arr.Score:
    """Funk in E minor, its players a little behind the beat: clavinet, slap bass, brass stabs."""
    chords = "Em9 | A13 | Em9 | A13 | Cmaj9 | Bm7 | Am9 | B7#9 | Em9 A13 | Em9"
    piece = arr.chart(chords, ending="X.......")
    sax = arr.line(
        "B4:.75 D5 E5:.5 r:2 | r:1 G5:.5 F#5 E5 C#5 B4:1 | B4:.75 D5 E5:.5 G5:1 E5 |"
        "F#5:.75 E5 C#5:.5 B4:2 | r:1 E5:.5 G5 B5:1 G5 | A5:.75 F#5 D5:.5 B4:2 |"
        "r:.5 C5 E5 G5 B5:1 A5:.5 G5 | F#5:.75 D#5 B4:.5 D5:2 |"
        "E5:.75 G5 B5:.5 A5 F#5 E5 C#5 | B4",
        level=90,
    )
    clav = "x..x..o.x.ox..x. o.x..x..x..x.xo."
    scratch = "o.xoo.xoo.xoo.xx"
    slap = "1..1..8o..5.7.8. 1..1..8o.7.5.a.b"
    stabs = "......X-..X..... ............X.X."
    groove = (
        "kick x..x..x...x..... x.....x..xx.....; snare ....X..o.o..X..o; hat x.xxx.x.x.xxx.x.;"
        "open ..............x.; crash X............... . . ."
    )
    fill = (
        "kick x..x..x...x...x.; snare ....X..o.oXxX...; hat x.xxx.x.........;"
        "tom1 ........x.......; tom3 .............xX."
    )
    parts = (
        arr.Part("Clavinet", 7, arr.comp(piece, clav, 55, 76, gate=0.6), 88, 40),
        arr.Part("Muted Guitar", 28, arr.comp(piece, scratch, 57, 76, gate=0.5), 84, 90),
        arr.Part("Slap Bass", 36, arr.bass(piece, slap, level=92, gate=0.75), 108),
        arr.Part("Organ", 18, arr.comp(piece, FULL, 55, 74, level=54), 58, 30),
        arr.Part("Brass", 61, arr.comp(piece, stabs, 58, 79, level=84), 84, 76),
        arr.Part("Soprano Sax", 64, sax, 98, 58),
        arr.Part("Drums", None, arr.drums(piece, groove, fill), 104),
    )
    return arr.Score("Glass Escalator", "Em", ((0, 104),), parts, seed=16, jitter=0.025)


def _small_lights() -> arr.Score:
    """Ballad in E flat: electric piano with pedal, fretless bass, an oboe over strings and pad."""
    piece = arr.chart(
        "Ebadd9 | Bb/D | Cm7 | Abmaj7 | Eb/G | Ab | Fm7 | Bbsus4 Bb | Ab Bb | Ebadd9", ending=FULL
    )
    oboe = arr.line(
        "G4:1.5 Bb4:.5 Eb5:2 | D5:1 C5:.5 Bb4 F4:2 | G4:1.5 Bb4:.5 C5:1 Eb5 | C5:3 Bb4:1 |"
        "Bb4:1.5 Eb5:.5 G5:2 | F5:1 Eb5:.5 C5 Ab4:2 | C5:1 Eb5:.5 F5 Ab5:1 G5:.5 F5 |"
        "Eb5:2 D5:1 F5 | Eb5 C5 D5 Bb4 | Eb5:4",
        level=88,
    )
    groove = (
        "kick x.....x.x......o; stick ....x.......x...; hat x.x.x.x.x.x.x.xx;"
        "shaker oxoxoxoxoxoxoxox"
    )
    fill = (
        "kick x.....x.x.......; stick ....x...........; hat x.x.x.x.........;"
        "tom1 ........x.x.....; tom3 ............x.xx"
    )
    keys = arr.comp(piece, "0.1.2.3.x.2.1.2. 0.2.1.3.x.3.2.1.", 55, 77, style="piano", gate=1.0)
    pick = arr.comp(piece, "0.2.1.3.0.2.1.2.", 52, 76, style="drop2", level=64)
    parts = (
        arr.Part("Electric Piano", 4, keys, 96, 50, arr.pedal(piece)),
        arr.Part("Nylon Guitar", 24, pick, 90, 84),
        arr.Part("Fretless Bass", 35, arr.bass(piece, "1--1..581-.1..5b"), 104),
        arr.Part("Slow Strings", 49, arr.comp(piece, FULL, 55, 75), 72, 40, arr.swells(piece)),
        arr.Part("Warm Pad", 89, arr.comp(piece, FULL, 60, 79, level=56), 54, 76),
        arr.Part("Oboe", 68, oboe, 92, 64, arr.swells(piece, 84, 118)),
        arr.Part("Drums", None, arr.drums(piece, groove, fill), 84),
    )
    tempos = ((0, 90), (34, 84), (36, 78))
    return arr.Score("Sea of Small Lights", "Eb", tempos, parts, seed=17)


def _saffron_bus() -> arr.Score:
    """Bossa nova in A minor that turns into a faster samba for its last six bars."""
    piece = arr.chart(
        "Am9 | Am9 | Dm9 | G13 | Cmaj9 | Fmaj7 | Bm7b5 | E7b9 | Am9 | Dm9 | G13 | Cmaj9 |"
        "Bm7b5 E7b9 | Am6"
    )
    flute = arr.line(
        "E5:1.5 C5:.5 B4:1 A4 | E5:1.5 D5:.5 C5 B4 A4:1 | F5:1.5 E5:.5 D5:1 A4 | E5:2 D5:1 B4 |"
        "D5:1.5 B4:.5 G4:1 E5 | C5:2 A4:1 E5 | D5:1.5 C5:.5 B4:1 F5 | E5 D5:.5 B4 G#4:2 |"
        "r:.5 A4 C5 E5 G5:1 E5 | r:.5 D5 F5 A5 E5:1 F5 | r:.5 B4 D5 F5 E5:1 D5 |"
        "r:.5 G4 B4 D5 E5:1 G5 | F5:.5 D5 B4 A4 G#4:1 B4 | A4:4"
    )
    groove = "kick x..xx..x; stick x..x..x. ..x.x...; hat xxxxxxxx; shaker xoxoxoxoxoxoxoxo"
    fill = "kick x..xx..x; stick ..x.....; hat xxxx....; snare ........o.oxx.xX"
    pick = arr.comp(piece, "0.xx0.x. 0x.x0.xx", 48, 72, style="drop2", level=70, gate=0.8)
    parts = (
        arr.Part("Piano", 0, arr.comp(piece, "x..x--x. ..x.x--p", 57, 78, level=66), 84, 44),
        arr.Part("Nylon Guitar", 24, pick, 98, 84),
        arr.Part("Upright Bass", 32, arr.bass(piece, "1--55-51 1--51.5b"), 108),
        arr.Part("Vibraphone", 11, arr.comp(piece, FULL, 60, 81, level=58), 70, 30),
        arr.Part("Flute", 73, flute, 100, 70, arr.swells(piece, 84, 116)),
        arr.Part("Drums", None, arr.drums(piece, groove, fill), 88),
    )
    return arr.Score("Saffron Bus", "Am", ((0, 124), (32, 146)), parts, seed=18)


def _greensleeves() -> arr.Score:
    """Folk rock in 6/8 on the tune of "Greensleeves" (England, sixteenth century)."""
    piece = arr.chart(
        "Am | Am | G | Am | E | Am | G | Am E | Am | C | G | Am | E | C | G | Am E | Am",
        bar=3,
        ending="X-----",
    )
    verse = (
        "A4:.5 | C5:1 D5:.5 E5:.75 F#5:.25 E5:.5 | D5:1 B4:.5 G4:.75 A4:.25 B4:.5 |"
        "C5:1 A4:.5 A4:.75 G#4:.25 A4:.5 | B4:1 G#4:.5 E4:1 A4:.5 |"
        "C5:1 D5:.5 E5:.75 F#5:.25 E5:.5 | D5:1 B4:.5 G4:.75 A4:.25 B4:.5 |"
        "C5:.75 B4:.25 A4:.5 G#4:.75 F#4:.25 G#4:.5 | A4:3"
    )
    chorus = (
        "G5:1.5 G5:.75 F#5:.25 E5:.5 | D5:1 B4:.5 G4:.75 A4:.25 B4:.5 |"
        "C5:1 A4:.5 A4:.75 G#4:.25 A4:.5 | B4:1 G#4:.5 E4:1.5 |"
        "G5:1.5 G5:.75 F#5:.25 E5:.5 | D5:1 B4:.5 G4:.75 A4:.25 B4:.5 |"
        "C5:.75 B4:.25 A4:.5 G#4:.75 F#4:.25 G#4:.5 | A4:3"
    )
    clarinet, violin = arr.line(verse, start=2.5), arr.line(chorus, start=27)
    groove = "kick x..x.x; snare ...X.o; hat xxxxxx; tamb x..x..; crash X..... . . ."
    fill = "kick x..x..; snare ...X.xxxx...; hat xxx...; tom2 .........xx.; tom3 ...........X"
    parts = (
        arr.Part("Harpsichord", 6, arr.comp(piece, "0.x.x. 0.xx.x", 52, 76), 84, 44),
        arr.Part("Steel Guitar", 25, arr.comp(piece, "012321", 50, 74, level=70), 94, 84),
        arr.Part("Bass", 33, arr.bass(piece, "1--1.5 1--53b 1-51.5 1-53.b"), 106),
        arr.Part("Clarinet", 71, [*clarinet, *arr.harmony(violin, piece)], 92, 76),
        arr.Part("Violin", 40, violin, 96, 58, arr.swells(piece, 80, 112)),
        arr.Part("Strings", 48, arr.comp(piece, "x-----", 55, 74, level=62), 66, 36),
        arr.Part("Drums", None, arr.drums(piece, groove, fill), 92),
    )
    tempos = ((0, 128), (47, 116))
    return arr.Score("Greensleeves", "Am", tempos, parts, seed=19, meter=(6, 8))


def _neon_arcade() -> arr.Score:
    """Synth pop in F sharp minor, with a sound effect that no audio should be made of."""
    piece = arr.chart("F#m | D | A | E | F#m | D | A | E | Bm | D | E | F#m")
    lead = arr.line(
        "C#5:.75 A4 F#4:.5 A4:1 C#5 | D5:.75 A4 F#4:.5 A4:1 D5 | E5:.75 C#5 A4:.5 C#5:1 E5 |"
        "B4:1.5 G#4:.5 E4:1 G#4 | F#5:.75 C#5 A4:.5 C#5:1 F#5 | F#5:.75 D5 A4:.5 D5:1 F#5 |"
        "A5:1.5 G#5:.5 E5:1 C#5 | B4 E5 G#5:2 | F#5:1 D5 B4 D5 | F#5:.75 E5 D5:.5 A4:2 |"
        "G#4:1 B4 E5 G#5 | F#5:4"
    )
    groove = "kick x.x.x.x.; clap ..X...X.; open .x.x.x.x; hat x.x.x.x.; crash X....... . . ."
    fill = "kick x.x.x.x.; clap ..X.....; snare ........x.xxxxXX; open .x.x...."
    stab = arr.comp(piece, "x..x..x...x..x..", 57, 78, gate=0.7)
    mute = arr.comp(piece, "0213021302130213", 52, 74, level=66, gate=0.6)
    parts = (
        arr.Part("Electric Piano", 5, stab, 86, 44),
        arr.Part("Muted Guitar", 28, mute, 88, 90),
        arr.Part("Bass", 33, arr.bass(piece, "11811181 1181118b", low=30), 106),
        arr.Part("Saw Lead", 81, lead, 84, 64, arr.ramp(1, (0, 0), (32, 40), (44, 90))),
        arr.Part("Fantasia Pad", 88, arr.comp(piece, FULL, 57, 78, level=60), 66, 30),
        arr.Part("Sound Effect", 103, arr.comp(piece, FULL, 60, 84, level=50), 50, 100),
        arr.Part("Drums", None, arr.drums(piece, groove, fill), 104),
    )
    return arr.Score("Neon Arcade", "F#m", ((0, 128),), parts, seed=20)


BANDS: Final = (
    _morning_ferry,
    _back_porch_shuffle,
    _iron_orchard,
    _glass_escalator,
    _small_lights,
    _saffron_bus,
    _greensleeves,
    _neon_arcade,
)

VOICES: Final = (
    ("Soprano Violin", 40, 44),
    ("Alto Clarinet", 71, 56),
    ("Tenor Sax", 66, 72),
    ("Bass Bassoon", 70, 84),
)
# Title, key, beats per minute, meter, and the voices from the soprano down.
CHORALES: Final = (
    (
        "Old Hundredth",  # melody: Genevan Psalter, 1551
        "G",
        90,
        (4, 4),
        "G4:2 G4:1 F#4 | E4 D4 G4:2 | A4 B4 | B4 B4:1 B4 | A4 G4 C5:2 | B4 A4 |"
        "G4 A4:1 B4 | A4 G4 E4:2 | F#4 G4 | D5 B4:1 G4 | A4 C5 B4:2 | A4 G4",
        "D4:2 D4:1 D4 | B3 B3 B3:2 | D4 D4 | G4 G4:1 G4 | F#4 G4 G4:2 | G4 F#4 |"
        "D4 D4:1 D4 | D4 B3 C4:2 | A3 B3 | G4 G4:1 D4 | E4 D4 D4:2 | C4 B3",
        "B3:2 B3:1 A3 | G3 F#3 G3:2 | F#3 G3 | D4 D4:1 D4 | D4 B3 E4:2 | D4 D4 |"
        "B3 C4:1 B3 | F#3 G3 G3:2 | D3 D3 | B3 D4:1 D4 | A3 F#3 G3:2 | E3:1 F#3 G3:2",
        "G3:2 G3:1 D3 | E3 B2 E3:2 | D3 G2 | G3 G3:1 B2 | D3 E3 C3:2 | G2 D3 |"
        "G3 F#3:1 G3 | D3 G2 C3:2 | D3 G2 | G3 G3:1 B2 | C3 D3 G2:2 | C3:1 D3 G2:2",
    ),
    (
        "Hymn to Joy",  # melody: Ludwig van Beethoven, 1824
        "F",
        84,
        (4, 4),
        "A4 A4 Bb4 C5 | C5 Bb4 A4 G4 | F4 F4 G4 A4 | A4:1.5 G4:.5 G4:2 |"
        "A4:1 A4 Bb4 C5 | C5 Bb4 A4 G4 | F4 F4 G4 A4 | G4:1.5 F4:.5 F4:2",
        "F4 F4 F4 F4 | F4 E4 F4 C4 | C4 D4 D4 F4 | F4:1.5 E4:.5 E4:2 |"
        "F4:1 F4 G4 G4 | A4 F4 F4 C4 | C4 D4 D4 C4 | C4:2 A3",
        "C4 D4 D4 C4 | A3 G3 F3 G3 | A3 A3 Bb3 C4 | C4:2 C4 |"
        "C4:1 D4 D4 E4 | F4 D4 C4 G3 | A3 A3 Bb3 F3 | E3:2 F3",
        "F3 D3 Bb2 A2 | F3 C3 D3 E3 | F3 D3 Bb2 A2 | C3:2 C3 |"
        "F3:1 D3 G2 C3 | F3 Bb2 F3 E3 | F3:.5 E3 D3:1 G2 C3 | C3:2 F2",
    ),
    (
        "Evening Bell",
        "Am",
        76,
        (4, 4),
        "A4 B4 C5 B4 | A4 G#4 A4:2 | C5:1 D5 E5 D5 | C5 B4 C5:2 | E5:1 D5 C5 B4 | C5 A4 B4:2 |"
        "C5:1 E5 D5 B4 | C5 A4 B4 G#4 | A4:4",
        "E4 E4 E4 E4 | C4 E4 E4:2 | E4:1 G4 G4 G4 | E4 F4 E4:2 | E4:1 F4 E4 E4 | E4 C4 E4:2 |"
        "E4:1 E4 F4 D4 | E4 C4 E4 D4 | C#4:4",
        "C4 B3 A3 G#3 | A3 B3 C4:2 | A3:1 G3 C4 B3 | C4 D4 C4:2 | C4:1 A3 A3 G#3 | A3 A3 G#3:2 |"
        "A3:1 A3 A3 G3 | G3 A3 G#3 B3 | A3:4",
        "A2 G#2 A2 E3 | F3 E3 A2:2 | A2:1 B2 C3 G3 | A3 G3 C3:2 | A2:1 D3 A2 E3 | A2 F3 E3:2 |"
        "A2:1 C3 D3 G2 | C3 F3 E3:2 | A2:4",
    ),
    (
        "Lamplighters",
        "Bb",
        84,
        (3, 4),
        "Bb4:2 C5:1 | D5 Eb5 D5 | C5:3 | D5:2 Eb5:1 | F5 Eb5 D5 | C5:3 |"
        "C5:2 D5:1 | Eb5 D5 C5 | D5:3 | D5:1 Eb5 C5 | D5 C5:2 | Bb4:3",
        "F4:2 F4:1 | F4 G4 F4 | F4:3 | F4:2 G4:1 | F4 G4 G4 | E4 F4:2 |"
        "G4:2 G4:1 | G4 G4 G4 | F#4:3 | G4:1 G4 G4 | F4 Eb4:2 | D4:3",
        "D4:2 C4:1 | Bb3 Bb3 Bb3 | A3:3 | Bb3:2 G3:1 | Bb3 Bb3 Bb3 | Bb3 A3:1.5 C4:.5 |"
        "Eb4:2 D4:1 | C4 Bb3 C4 | A3:3 | Bb3:1 G3 G3 | Bb3 A3:2 | Bb3:3",
        "Bb2:2 A2:1 | Bb2 Eb3 Bb2 | F3:2 Eb3:1 | D3:2 C3:1 | D3 Eb3 G2 | C3 F2:2 |"
        "C3:2 B2:1 | C3 G2 Eb3 | D3:3 | G2:1 C3 Eb3 | F3 F2:2 | Bb2:3",
    ),
)


def _chorales() -> list[arr.Score]:
    """Return the four-part scores, each slowing down on its last bar."""
    scores = []
    for number, (title, key, bpm, meter, *voices) in enumerate(CHORALES):
        lines = [arr.line(text, level=80) for text in voices]
        last = lines[0][-1].start
        parts = tuple(
            arr.Part(name, program, notes, 100, pan)
            for (name, program, pan), notes in zip(VOICES, lines, strict=True)
        )
        tempos = ((0, bpm), (last - 2, 0.92 * bpm), (last, 0.8 * bpm))
        scores.append(arr.Score(title, key, tempos, parts, seed=30 + number, meter=meter))
    return scores


def main(dest: Path) -> None:
    """Write every score as a MIDI file.

    Parameters
    ----------
    dest : pathlib.Path
        The folder for the files; it is made where it is missing.
    """
    dest.mkdir(parents=True, exist_ok=True)
    for kind, scores in (("band", [make() for make in BANDS]), ("chorale", _chorales())):
        for number, score in enumerate(scores, 1):
            name = f"{kind}_{number:02}_{score.title.lower().replace(' ', '_')}.mid"
            arr.save(score, dest / name)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: compose.py DEST")
    main(Path(sys.argv[1]))
