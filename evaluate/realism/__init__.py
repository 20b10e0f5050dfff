"""How far synthetic songs are from real ones: spectra, dynamics, width, and levels of groups."""
