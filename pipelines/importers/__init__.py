"""Importers: foreign logs into the data contract."""
