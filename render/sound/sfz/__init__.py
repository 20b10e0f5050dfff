"""SFZ instruments: ``instrument`` reads and checks them, ``playing`` plays parts with sfizz.

``text`` reads the files, ``regions`` finds what sounds for which notes, ``samples`` checks the
recordings; ``messages`` says what sfizz is told, and ``sampler`` is the program that tells it so.
"""
