"""All that can be found out about an artifact, for its report: the parts, and the one object that holds them."""
