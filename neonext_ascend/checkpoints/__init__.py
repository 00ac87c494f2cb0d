"""Checkpoints: whose weights a file holds, loaded safely."""
