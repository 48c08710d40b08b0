"""Candidate source: a two-tower retrieval model (associates and their history against pages)."""
