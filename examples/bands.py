"""The band scores: one function for each, in many styles.

All of them are original, but for the melody of "Greensleeves".
"""

from __future__ import annotations

from typing import Final

from stemsmith.examples.arranger import (
    bass,
    between,
    comp,
    harmony,
    line,
    pedal,
    program,
    ramp,
    scoops,
    swells,
)
from stemsmith.examples.rhythm import drums
from stemsmith.examples.score import Part, Score
from stemsmith.examples.theory import chart

__all__ = ["bands"]

FULL: Final = "X---------------"  # one chord for the whole bar


def bands() -> list[Score]:
    """Return the band scores in the order of their numbers."""
    return [
        _morning_ferry(),
        _back_porch_shuffle(),
        _iron_orchard(),
        _glass_escalator(),
        _small_lights(),
        _saffron_bus(),
        _greensleeves(),
        _neon_arcade(),
    ]


def _morning_ferry() -> Score:
    """Pop in G: pushed piano with pedal, strummed steel strings, a flute above string pads."""
    piece = chart("G | D/F# | Em7 | C | G/B | C | Am7 | Dsus4 D | Em7 | C | G/D D | G")
    flute = line(
        "D5:1.5 B4:.5 D5:1 G5 | F#5:1.5 E5:.5 D5:1 A4 | B4 D5 E5 G5 | E5:3 D5:1 |"
        "D5:1.5 B4:.5 D5:1 G5 | G5:1.5 E5:.5 C5:1 E5 | E5 D5:.5 C5 E5:1 C5 | D5:2 F#5:1 A5 |"
        "G5:1.5 F#5:.5 E5:1 B4 | C5 E5 G5 E5 | D5:2 C5:1 A4 | G4:4"
    )
    piano = comp(piece, "x--x--x- x--x---p", 55, 79, style="piano")
    strum = comp(piece, "X.xx.xx. X.xx.xxx", 40, 76, style="barre", level=66, strum=0.02)
    groove = (
        "kick x..xx... x..xx..x; snare ..X...X.; hat xxxxxxxx; tamb ..x...x.;crash X....... . . ."
    )
    fill = "kick x..xx...; snare ....X.......xxXX; hat xxxxxx..; tom1 ........xx......"
    parts = (
        Part("Piano", 0, piano, 96, 54, pedal(piece)),
        Part("Steel Guitar", 25, strum, 88, 84),
        Part("Bass", 33, bass(piece, "1.111.51 1.11.55b"), 104),
        Part("Strings", 48, comp(piece, FULL, 55, 76), 70, 44, swells(piece)),
        Part("Flute", 73, flute, 100, 70),
        Part("Drums", None, drums(piece, groove, fill), 100),
    )
    return Score("Morning Ferry", "G", ((0, 116),), parts, seed=11)


def _back_porch_shuffle() -> Score:
    """Swing a twelve-bar blues in A: boogie bass, honky-tonk piano, a tenor sax that scoops."""
    piece = chart(
        "A7 | D7 | A7 | A7 | D7 | D7 | A7 | F#7 | Bm7 | E7 | A7 D7 | A7 E7 | A7", ending="X---...."
    )
    sax = line(
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
    chops = "..x...xx .x.x..x."
    parts = (
        Part("Honky-tonk", 3, comp(piece, chops, 55, 76, gate=0.7), 92, 44),
        Part(
            "Archtop Guitar",
            27,
            comp(piece, "x.X.x.X.", 50, 74, style="drop2", level=64, gate=0.6),
            84,
            84,
        ),
        Part("Upright Bass", 32, bass(piece, walk), 108),
        Part("Organ", 16, comp(piece, FULL, 57, 76, level=58), 64, 30, swells(piece)),
        Part("Tenor Sax", 66, sax, 104, 70, scoops(sax, shortest=0.9)),
        Part("Drums", None, drums(piece, groove, fill), 98),
    )
    return Score("Back Porch Shuffle", "A", ((0, 126),), parts, seed=12, swing=True)


def _iron_orchard() -> Score:
    """Rock in E minor: after four clean bars the rhythm guitar steps on its pedal."""
    piece = chart("Em | C | G | D | Em | G A | Em | C D | Em | G A | C | D | B7 | Em")
    clean = comp(piece, "01232123", 47, 72, style="drop2", level=70, gate=0.85)
    riff = "X.xx.xX.xx.xX.x. X.xx.xX.X.xx.xX."
    heavy = comp(piece, riff, 40, 64, style="power", level=88)
    rhythm = [*between(clean, 0, 16), *between(heavy, 16, 99)]
    lead = line(
        "B4:1 D5:.5 E5:1.5 G5:.5 E5 | D5:1 B4 C#5:.5 E5:1.5 | G5 E5:.5 D5:1 B4 | C5 E5 F#5 A5 |"
        "B5:2 G5:.5 E5 D5:1 | D5:.5 G5 B5:1 A5:.5 E5 C#5:1 | E5:.5 G5 C6:1 B5:.5 G5 E5:1 |"
        "F#5:.5 A5 D6:1 C6:.5 A5 F#5:1 | D#5:.5 F#5 A5:1 F#5:.5 D#5 B4:1 | E5:4",
        start=16,
        level=92,
    )
    step = (15.95, program(30))
    groove = (
        "kick x..xx.x. x.xx..x.; snare ..X...X.; hat xxxxxxxx; crash X....... . . .;"
        "open ........ .......x"
    )
    fill = (
        "kick x.x.x.x.; snare ..X.XX..........; tom1 ......xxX.......; tom2 ..........xxX...;"
        "tom3 ..............XX"
    )
    parts = (
        Part("Bright Piano", 1, comp(piece, "x.xx.xx.", 52, 76, level=66), 78, 40),
        Part("Rhythm Guitar", 27, rhythm, 92, 88, [step]),
        Part("Lead Guitar", 29, lead, 88, 60, scoops(lead, 0.9, 2)),
        Part("Picked Bass", 34, bass(piece, "11111111 1111113b", gate=0.8), 106),
        Part("Drums", None, drums(piece, groove, fill), 106),
    )
    return Score("Iron Orchard", "Em", ((0, 144),), parts, seed=14)


def _glass_escalator() -> Score:
    """Funk in E minor, its players a little behind the beat: clavinet, slap bass, brass stabs."""
    chords = "Em9 | A13 | Em9 | A13 | Cmaj9 | Bm7 | Am9 | B7#9 | Em9 A13 | Em9"
    piece = chart(chords, ending="X.......")
    sax = line(
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
        Part("Clavinet", 7, comp(piece, clav, 55, 76, gate=0.6), 88, 40),
        Part("Muted Guitar", 28, comp(piece, scratch, 57, 76, gate=0.5), 84, 90),
        Part("Slap Bass", 36, bass(piece, slap, level=92, gate=0.75), 108),
        Part("Organ", 18, comp(piece, FULL, 55, 74, level=54), 58, 30),
        Part("Brass", 61, comp(piece, stabs, 58, 79, level=84), 84, 76),
        Part("Soprano Sax", 64, sax, 98, 58),
        Part("Drums", None, drums(piece, groove, fill), 104),
    )
    return Score("Glass Escalator", "Em", ((0, 104),), parts, seed=16, jitter=0.025)


def _small_lights() -> Score:
    """Ballad in E flat: electric piano with pedal, fretless bass, an oboe over strings and pad."""
    piece = chart(
        "Ebadd9 | Bb/D | Cm7 | Abmaj7 | Eb/G | Ab | Fm7 | Bbsus4 Bb | Ab Bb | Ebadd9", ending=FULL
    )
    oboe = line(
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
    keys = comp(piece, "0.1.2.3.x.2.1.2. 0.2.1.3.x.3.2.1.", 55, 77, style="piano", gate=1.0)
    pick = comp(piece, "0.2.1.3.0.2.1.2.", 52, 76, style="drop2", level=64)
    parts = (
        Part("Electric Piano", 4, keys, 96, 50, pedal(piece)),
        Part("Nylon Guitar", 24, pick, 90, 84),
        Part("Fretless Bass", 35, bass(piece, "1--1..581-.1..5b"), 104),
        Part("Slow Strings", 49, comp(piece, FULL, 55, 75), 72, 40, swells(piece)),
        Part("Warm Pad", 89, comp(piece, FULL, 60, 79, level=56), 54, 76),
        Part("Oboe", 68, oboe, 92, 64, swells(piece, 84, 118)),
        Part("Drums", None, drums(piece, groove, fill), 84),
    )
    tempos = ((0, 90), (34, 84), (36, 78))
    return Score("Sea of Small Lights", "Eb", tempos, parts, seed=17)


def _saffron_bus() -> Score:
    """Bossa nova in A minor that turns into a faster samba for its last six bars."""
    piece = chart(
        "Am9 | Am9 | Dm9 | G13 | Cmaj9 | Fmaj7 | Bm7b5 | E7b9 | Am9 | Dm9 | G13 | Cmaj9 |"
        "Bm7b5 E7b9 | Am6"
    )
    flute = line(
        "E5:1.5 C5:.5 B4:1 A4 | E5:1.5 D5:.5 C5 B4 A4:1 | F5:1.5 E5:.5 D5:1 A4 | E5:2 D5:1 B4 |"
        "D5:1.5 B4:.5 G4:1 E5 | C5:2 A4:1 E5 | D5:1.5 C5:.5 B4:1 F5 | E5 D5:.5 B4 G#4:2 |"
        "r:.5 A4 C5 E5 G5:1 E5 | r:.5 D5 F5 A5 E5:1 F5 | r:.5 B4 D5 F5 E5:1 D5 |"
        "r:.5 G4 B4 D5 E5:1 G5 | F5:.5 D5 B4 A4 G#4:1 B4 | A4:4"
    )
    groove = "kick x..xx..x; stick x..x..x. ..x.x...; hat xxxxxxxx; shaker xoxoxoxoxoxoxoxo"
    fill = "kick x..xx..x; stick ..x.....; hat xxxx....; snare ........o.oxx.xX"
    pick = comp(piece, "0.xx0.x. 0x.x0.xx", 48, 72, style="drop2", level=70, gate=0.8)
    parts = (
        Part("Piano", 0, comp(piece, "x..x--x. ..x.x--p", 57, 78, level=66), 84, 44),
        Part("Nylon Guitar", 24, pick, 98, 84),
        Part("Upright Bass", 32, bass(piece, "1--55-51 1--51.5b"), 108),
        Part("Vibraphone", 11, comp(piece, FULL, 60, 81, level=58), 70, 30),
        Part("Flute", 73, flute, 100, 70, swells(piece, 84, 116)),
        Part("Drums", None, drums(piece, groove, fill), 88),
    )
    return Score("Saffron Bus", "Am", ((0, 124), (32, 146)), parts, seed=18)


def _greensleeves() -> Score:
    """Folk rock in 6/8 on the tune of "Greensleeves" (England, sixteenth century)."""
    piece = chart(
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
    clarinet, violin = line(verse, start=2.5), line(chorus, start=27)
    groove = "kick x..x.x; snare ...X.o; hat xxxxxx; tamb x..x..; crash X..... . . ."
    fill = "kick x..x..; snare ...X.xxxx...; hat xxx...; tom2 .........xx.; tom3 ...........X"
    parts = (
        Part("Harpsichord", 6, comp(piece, "0.x.x. 0.xx.x", 52, 76), 84, 44),
        Part("Steel Guitar", 25, comp(piece, "012321", 50, 74, level=70), 94, 84),
        Part("Bass", 33, bass(piece, "1--1.5 1--53b 1-51.5 1-53.b"), 106),
        Part("Clarinet", 71, [*clarinet, *harmony(violin, piece)], 92, 76),
        Part("Violin", 40, violin, 96, 58, swells(piece, 80, 112)),
        Part("Strings", 48, comp(piece, "x-----", 55, 74, level=62), 66, 36),
        Part("Drums", None, drums(piece, groove, fill), 92),
    )
    tempos = ((0, 128), (47, 116))
    return Score("Greensleeves", "Am", tempos, parts, seed=19, meter=(6, 8))


def _neon_arcade() -> Score:
    """Synth pop in F sharp minor, with a sound effect that no audio should be made of."""
    piece = chart("F#m | D | A | E | F#m | D | A | E | Bm | D | E | F#m")
    lead = line(
        "C#5:.75 A4 F#4:.5 A4:1 C#5 | D5:.75 A4 F#4:.5 A4:1 D5 | E5:.75 C#5 A4:.5 C#5:1 E5 |"
        "B4:1.5 G#4:.5 E4:1 G#4 | F#5:.75 C#5 A4:.5 C#5:1 F#5 | F#5:.75 D5 A4:.5 D5:1 F#5 |"
        "A5:1.5 G#5:.5 E5:1 C#5 | B4 E5 G#5:2 | F#5:1 D5 B4 D5 | F#5:.75 E5 D5:.5 A4:2 |"
        "G#4:1 B4 E5 G#5 | F#5:4"
    )
    groove = "kick x.x.x.x.; clap ..X...X.; open .x.x.x.x; hat x.x.x.x.; crash X....... . . ."
    fill = "kick x.x.x.x.; clap ..X.....; snare ........x.xxxxXX; open .x.x...."
    stab = comp(piece, "x..x..x...x..x..", 57, 78, gate=0.7)
    mute = comp(piece, "0213021302130213", 52, 74, level=66, gate=0.6)
    parts = (
        Part("Electric Piano", 5, stab, 86, 44),
        Part("Muted Guitar", 28, mute, 88, 90),
        Part("Bass", 33, bass(piece, "11811181 1181118b", low=30), 106),
        Part("Saw Lead", 81, lead, 84, 64, ramp(1, (0, 0), (32, 40), (44, 90))),
        Part("Fantasia Pad", 88, comp(piece, FULL, 57, 78, level=60), 66, 30),
        Part("Sound Effect", 103, comp(piece, FULL, 60, 84, level=50), 50, 100),
        Part("Drums", None, drums(piece, groove, fill), 104),
    )
    return Score("Neon Arcade", "F#m", ((0, 128),), parts, seed=20)
