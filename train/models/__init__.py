"""Separation models: ``base`` is their contract, ``architectures`` has one file a model.

``registry`` finds models by name, and ``loss`` what they minimise, of which ``losses`` has one file
each. ``stft`` makes spectra; ``recurrent`` is what models with LSTM layers share.
"""
