"""Precomputed lists: the best pages of the two-tower model for every associate, by matrix products."""
