"""The ONNX file that we write, from a prepared network."""
