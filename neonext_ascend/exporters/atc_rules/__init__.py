"""ATC's rules: what ATC would refuse or quietly change, in anybody's ONNX file."""
