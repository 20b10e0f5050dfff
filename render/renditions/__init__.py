"""Corpora of renditions: scores varied by tempo, timbre, dynamics, shift, jitter and tuning."""
