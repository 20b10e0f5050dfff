"""Self-contained pages of corpora, mixtures, runs, results and separated songs."""
