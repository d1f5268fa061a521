"""Predictor and sealed rows to report."""
