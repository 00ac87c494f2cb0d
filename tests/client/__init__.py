"""The client: calls, addresses, and the connection of a load."""
