"""The data path at scale, side by side with plain programs (``make bench-data``)."""
