"""Separation of audio by trained models, oracles, metrics, and benchmarks of whole data sets."""
