"""Pages that the same associates open: EASE and item-kNN over decayed co-occurrence."""
