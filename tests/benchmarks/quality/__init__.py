"""Peers measured side by side with Waymark in one run (``make bench-quality``, docs/peers.md)."""
