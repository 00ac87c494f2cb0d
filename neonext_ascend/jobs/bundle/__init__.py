"""A bundle: an ONNX file, its OM request and this code in one archive, for a machine that has atc and the device."""
