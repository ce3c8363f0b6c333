"""What each primitive is in ONNX."""
