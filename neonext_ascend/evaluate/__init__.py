"""A labelled dataset -> how often artifacts are right, with what chance allows."""
