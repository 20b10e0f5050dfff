"""Metrics of one number a song: each module is one, which it describes as ``METRIC``."""
