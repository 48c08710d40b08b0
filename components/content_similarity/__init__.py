"""Candidate source: similarity of page texts (TextRank keywords, word vectors, soft cosine)."""
