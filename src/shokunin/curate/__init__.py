"""Rows to examples worth learning from."""
