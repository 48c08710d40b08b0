"""Validate: TFDV statistics of the tables, checked against a reviewed schema and the current release's."""
