"""Production: what happens to stems and mixtures between an instrument and a listener.

Functions of (n_channels, n_samples) float32, and parameters as frozen dataclasses: drawn from a
generator, which its caller keys by identity, and written to records as JSON.
"""
