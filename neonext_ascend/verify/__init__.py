"""Verify: two runners, the same feeds, a verdict."""
