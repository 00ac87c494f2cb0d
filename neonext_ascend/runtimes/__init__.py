"""Runtimes: an artifact opened as a runner, one file each."""
