"""Builders of small inputs that several tests share."""
