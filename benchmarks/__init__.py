"""Measured against peers: one file per public task, one script per peer, results kept with commit and hardware."""
