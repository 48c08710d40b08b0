"""Second stage: a DeepFM that orders the shortlist."""
