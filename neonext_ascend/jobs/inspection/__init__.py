"""The two answers of inspect: about a file, and about a model."""
