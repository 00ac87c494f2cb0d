"""Batching: requests wait a little and leave together, in the size that pays most."""
