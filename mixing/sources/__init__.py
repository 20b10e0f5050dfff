"""Where stems come from.

``layouts`` the shapes of data sets, ``find`` reads them, ``measure`` takes the envelopes of
audio that is not ours, ``taxonomy`` names targets, ``catalogue`` answers
which clips are present and how loud.
"""
