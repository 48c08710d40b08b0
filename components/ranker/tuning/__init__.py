"""Search for the settings of ranker and shortlist that rank best on held-out training requests."""
