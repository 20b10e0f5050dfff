"""Where stems come from.

``layouts`` has the shapes of data sets, ``files`` finds the stems of one, ``find`` those of all
sources, ``measure`` takes the envelopes of audio that is not ours, ``taxonomy`` names targets, and
``catalogue`` answers which clips are present and how loud.
"""
