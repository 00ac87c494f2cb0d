"""Precision: what numbers with fewer bits do to a graph."""
