"""Formats: the folders that other programs read, a module a format, which offers a `FORMAT`."""
