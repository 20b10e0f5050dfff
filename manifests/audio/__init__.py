"""Samples on disk: ``read`` and ``write`` audio files, in the ``formats`` that there are.

``flac`` encodes with libFLAC, which ``native`` finds; ``stem_mp4`` decodes MUSDB18's files.
"""
