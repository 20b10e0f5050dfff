"""What corpora of songs and of renditions share: options, choice of songs, places of files."""
