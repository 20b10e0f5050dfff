"""From MIDI files to corpora of stems.

Reading: ``smf`` reads files and rescues what is musically intact, ``parts`` splits them, ``midi``
makes a score of them, ``inventory`` scans a folder.
Deciding: ``config`` holds the options, ``soundfonts`` and ``patches`` make the patch bank,
``selection`` chooses songs and splits, ``job`` is what is decided for one song.
Sounding: ``fluid`` finds libfluidsynth, ``synth`` plays parts through it, ``effects`` adds a
patch's effect chain, ``mixdown`` takes a song through both passes, ``workspace`` lends it memory.
Writing: ``track_folder`` writes a song in the format of ``slakh``, ``song`` is the job of a worker,
``layout`` says where things lie, ``corpus`` plans and closes a run, ``validate`` checks a corpus.
"""
