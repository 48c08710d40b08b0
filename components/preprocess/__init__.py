"""Preprocess: sessions, first engagements, stages and daily feedback of a log, by Beam on record batches."""
