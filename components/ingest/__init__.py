"""Ingest: read the contract tables from files, keep good rows typed, put bad ones into quarantine."""
