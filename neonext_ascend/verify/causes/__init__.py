"""Causes: why a node gives what it gives, each hypothesis tried by computing it."""
