"""Scores of estimates beside references, and what many of them say together.

``registry`` lists the metrics. ``per_song`` has those of one number a song, a module each;
``bsseval`` computes BSS Eval, ``museval_engine`` has the museval package do so, and
``museval_json`` reads and writes its files. ``summary`` averages, with intervals, and ``options``
says what is scored.
"""
