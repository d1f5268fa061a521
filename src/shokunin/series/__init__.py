"""Sensor series: readings, windows, labels, statistics."""
