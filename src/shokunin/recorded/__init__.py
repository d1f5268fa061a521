"""Recorded calls of large models: the shapes in which gateways, tracers and fine-tuning files keep them, read as one."""
