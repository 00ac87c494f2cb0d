"""Training: a recipe and labelled pictures -> a network, on one device or many, whole at every moment."""
