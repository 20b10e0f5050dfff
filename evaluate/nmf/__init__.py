"""The baseline of Miron et al. 2017: non-negative matrix factorisation that knows the score."""
