"""Gathers the parts of a run into a release and makes it current."""
