"""Is it better, for whom, and may it be released: metrics, protocols, gate."""
