"""What plays: soundfonts, recorded notes, VST3 instruments, and their effects.

``fluid`` finds libfluidsynth and ``synth`` plays through it, ``sf2`` reads soundfonts, ``patches``
makes a bank of them, ``player`` plays a part with whatever its patch is.
"""
