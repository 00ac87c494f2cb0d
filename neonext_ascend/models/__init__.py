"""The NeoNeXt networks: a table of variants, their PyTorch definitions, checkpoints and counts."""
