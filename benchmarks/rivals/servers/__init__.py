"""Other servers of the same file: each as its makers' examples write a model of one's own, with onnxruntime."""
