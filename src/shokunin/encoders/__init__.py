"""Small text encoders: find the weights, write them as ONNX, turn texts into vectors; no torch."""
