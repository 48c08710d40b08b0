"""Spans of time in seconds, the unit of all times but those of raw tables."""

DAY = 86_400.0
