"""Candidate source: page embeddings from sessions read as sentences (skip-gram)."""
