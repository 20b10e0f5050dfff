"""The vocabulary of stemsmith and everything that touches the disk.

``records`` what flows between stages, ``shards`` Parquet shards and the manifest header,
``audio`` reading and writing samples, ``storage`` atomic files and folders, ``seeds``
order-independent randomness, ``programs`` General MIDI programs and Slakh's classes.
Imports no other package of stemsmith.
"""
