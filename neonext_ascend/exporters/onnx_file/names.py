"""Readable names for nodes and tensors, from module paths: ``stage_3.5.ops.content.fc_1`` is ``stage3.block5.fc1``."""

from __future__ import annotations

import re

_RULES = (
    (re.compile(r"(?:^|(?<=\.))stage_(\d+)\.(\d+)(?=\.|$)"), r"stage\1.block\2"),
    (re.compile(r"(?:^|(?<=\.))downsample_(\d+)(?=\.|$)"), r"downsample\1"),
    (re.compile(r"\.ops(?:\.content)?(?=\.|$)"), ""),
    (re.compile(r"(?:^|(?<=\.))(fc|norm|act)_(\d+)(?=\.|$)"), r"\1\2"),
)


def readable(path: str) -> str:
    """The name of what a module at ``path`` computes."""
    for pattern, replacement in _RULES:
        path = pattern.sub(replacement, path)
    return path
