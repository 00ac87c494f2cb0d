"""Every draw by its place: the seed of a picture, a batch or an order follows from the run's seed and where it stands.

So there is no random state to save. A run that goes on draws as if it had never stopped, with any number of workers;
and one process draws for both halves of a batch what two would draw for one half each.
"""

from __future__ import annotations

from hashlib import blake2b

import torch


def seed_of(seed: int, what: str, *place: int) -> int:
    """A seed from 0 to 2^63 - 1 for ``what`` at ``place``."""
    digest = blake2b(repr((seed, what, *place)).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1


def generator_of(seed: int, what: str, *place: int) -> torch.Generator:
    """A generator on the CPU with that seed."""
    return torch.Generator().manual_seed(seed_of(seed, what, *place))
