"""Pipeline steps: one folder each, a thin KFP wrapper around plain functions."""
