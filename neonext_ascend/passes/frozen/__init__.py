"""Layers of constants: what a network is made of between tracing and export."""
