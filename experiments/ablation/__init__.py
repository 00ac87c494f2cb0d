"""Ablations: the same training with one thing changed, over several seeds; a plan in TOML says which."""
