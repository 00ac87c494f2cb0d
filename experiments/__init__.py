"""The paper's results, one file each, made again: ``python -m experiments [NAME...]``."""
