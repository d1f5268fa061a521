"""Predictor to a private, OpenAI-compatible server."""
