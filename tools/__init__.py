"""Scripts that make what is committed: the trained network, pictures, pages."""
