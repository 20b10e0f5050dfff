"""Rendering again what a manifest describes: packs of corpora, and what proves a rendering."""
