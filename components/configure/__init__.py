"""Reads the run's settings once, at its start, and marks them with the run's date."""
