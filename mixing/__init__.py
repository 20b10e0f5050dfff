"""Loudness and mixing.

``loudness`` the ITU-R BS.1770 meter and the 10 Hz loudness envelope, ``automix`` the gains of a
Slakh-style automatic mixture. Imports ``manifests`` only.
"""
