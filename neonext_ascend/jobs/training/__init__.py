"""Training jobs: a network from a recipe and pictures, and what is wrong with the pictures."""
