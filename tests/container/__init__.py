"""Builds the images on a base made from Debian packages and runs them: ``python -m tests.container``; see there."""
