"""Training of separators on mixtures. Empty in this version."""
