"""Two graphs node by node: which nodes are the same, where they differ, and which one makes the difference."""
