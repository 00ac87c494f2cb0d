"""Serving: the protocol, batches, faults, and a server's life."""
