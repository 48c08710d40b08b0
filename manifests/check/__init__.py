"""Checks every overlay as far as that goes without a cluster: schemas, references, policies."""
