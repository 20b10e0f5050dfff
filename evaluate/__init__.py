"""Evaluation of separators. Empty in this version."""
