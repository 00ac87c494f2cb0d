"""Artifacts: files that appear whole, and the JSON manifest beside each."""
