"""The 50 test songs of MUSDB18 by name, as the submissions to SiSEC 2018 have them.

Names: sigsep/sigsep-mus-2018, ``submissions/*/test``, at commit 62fb479e. What is not among them is
no test song: MUSDB18's other 100 songs are for training, and published scores of those say how
well a system knows songs that it may have been trained on.
"""

from __future__ import annotations

from typing import Final

__all__ = ["TEST_SONGS"]

TEST_SONGS: Final = frozenset(
    (
        "AM Contra - Heart Peripheral",
        "Al James - Schoolboy Facination",
        "Angels In Amplifiers - I'm Alright",
        "Arise - Run Run Run",
        "BKS - Bulldozer",
        "BKS - Too Much",
        "Ben Carrigan - We'll Talk About It All Tonight",
        "Bobby Nobody - Stitch Up",
        "Buitraker - Revo X",
        "Carlos Gonzalez - A Place For Us",
        "Cristina Vane - So Easy",
        "Detsky Sad - Walkie Talkie",
        "Enda Reilly - Cur An Long Ag Seol",
        "Forkupines - Semantics",
        "Georgia Wonder - Siren",
        "Girls Under Glass - We Feel Alright",
        "Hollow Ground - Ill Fate",
        "James Elder & Mark M Thompson - The English Actor",
        "Juliet's Rescue - Heartbeats",
        "Little Chicago's Finest - My Own",
        "Louis Cressy Band - Good Time",
        "Lyndsey Ollard - Catching Up",
        "M.E.R.C. Music - Knockout",
        "Moosmusic - Big Dummy Shake",
        "Motor Tapes - Shore",
        "Mu - Too Bright",
        "Nerve 9 - Pray For The Rain",
        "PR - Happy Daze",
        "PR - Oh No",
        "Punkdisco - Oral Hygiene",
        "Raft Monk - Tiring",
        "Sambasevam Shanmugam - Kaathaadi",
        "Secretariat - Borderline",
        "Secretariat - Over The Top",
        "Side Effects Project - Sing With Me",
        "Signe Jakobsen - What Have You Done To Me",
        "Skelpolu - Resurrection",
        "Speak Softly - Broken Man",
        "Speak Softly - Like Horses",
        "The Doppler Shift - Atrophy",
        "The Easton Ellises (Baumi) - SDRNR",
        "The Easton Ellises - Falcon 69",
        "The Long Wait - Dark Horses",
        "The Mountaineering Club - Mallory",
        "The Sunshine Garcia Band - For I Am The Moon",
        "Timboz - Pony",
        "Tom McKenzie - Directions",
        "Triviul feat. The Fiend - Widow",
        "We Fell From The Sky - Not You",
        "Zeno - Signs",
    )
)
