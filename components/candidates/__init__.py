"""The blend: shortlists of all sources, with features and labels, for the ranker."""
