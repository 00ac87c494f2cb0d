"""docs/benchmarks.md and its plots, from the JSON of results/."""
