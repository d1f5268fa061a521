"""Rows without answers to rows with a teacher's."""
