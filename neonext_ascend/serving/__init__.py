"""Serving: artifacts behind the Open Inference Protocol, in batches, one process for each device."""
