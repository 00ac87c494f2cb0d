"""Which products of a graph can be int8, with which scales, and what that costs."""
