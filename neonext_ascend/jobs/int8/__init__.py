"""Int8 on the way to an artifact: the calibration pictures, whether they will do, and the files."""
