"""Pictures shared out over a Ray cluster: a shard to a worker, its answers back in their order."""
