"""The academy: a seeded generator of a believable retail training platform."""
