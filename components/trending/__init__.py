"""What is opened now: decayed counts, global and by role, shift and time of day."""
