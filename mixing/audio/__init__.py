"""Samples of recipes: ``realise`` makes them, ``transforms`` changes them.

``silence`` finds and removes what is silent, ``labels`` tells the notes that a mixture has.
"""
