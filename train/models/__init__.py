"""Separation models: ``base`` their contract, ``registry`` their names, one module a model.

``stft`` makes spectra, ``losses`` and ``recurrent`` are what models share.
"""
