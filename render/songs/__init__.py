"""Slakh-style corpora: one track folder a song.

``job`` what is decided for a song, ``render`` the work of a worker, ``mixdown`` its sound,
``track_folder`` and ``metadata`` its files; ``corpus`` plans and closes a run, ``validate`` checks.
"""
