"""From MIDI files to corpora of stems.

``smf`` reads files and rescues what is musically intact, ``midi`` makes a score of them and
splits it into parts, ``inventory`` scans a folder, ``selection`` decides which songs and splits,
``patches`` builds the patch bank, ``synth`` plays parts through FluidSynth, ``effects`` adds a
patch's effect chain, ``song`` renders one song, ``corpus`` plans and closes a whole run,
``slakh`` is the folder layout, ``validate`` checks a finished corpus.
"""
