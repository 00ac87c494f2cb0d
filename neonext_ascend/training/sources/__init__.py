"""Labelled pictures as people keep them, as one kind of entry in an order that a seed decides."""
