"""Int8 on a chip: which products of a graph are or could be, what they and what surrounds them cost, what it gains."""
