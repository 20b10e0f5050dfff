"""MIDI files: ``smf`` reads them and rescues what is intact, ``parts`` splits them.

``score`` times the parts, ``scan`` takes the inventory of a folder, ``smf_writer`` writes;
``notes`` puts notes into sounding time, ``tuning`` bends single notes.
"""
