"""The portal: what associates see, and what operators do; its pages and the interface they need."""

from serving.portal.api import install

__all__ = ["install"]
