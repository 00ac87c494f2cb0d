"""A model repository for Triton with the vendor's backend, which compiles our ONNX file when it loads it."""
