"""Cost: what a graph costs on a chip, and which form is the cheapest."""
