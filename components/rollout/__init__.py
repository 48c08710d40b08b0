"""Puts a release before a share of the traffic, watches it, and promotes it or takes it back."""
