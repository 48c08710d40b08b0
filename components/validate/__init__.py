"""Validate: schema, drift and each new day, checked before anything learns from the tables."""
