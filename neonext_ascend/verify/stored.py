"""What a manifest keeps of a reference, and an artifact held against it where the checkpoint is not at hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neonext_ascend.runtimes.base import Runner
from neonext_ascend.spec import Tolerance
from neonext_ascend.verify.compare import Comparison, compare_maps, compare_outputs
from neonext_ascend.verify.feeds import Feed, infer_feed
from neonext_ascend.verify.points import sample


def stored_values(
    feed: Feed,
    reference: Runner,
    values: Mapping[str, NDArray[np.generic]],
    outputs: int = 1,
    point_names: Sequence[str] = (),
) -> dict[str, Any]:
    """What a manifest keeps so that an artifact can be checked without the checkpoint.

    Args:
        feed: seeded noise; pixels where the device normalises them.
        reference: the unfolded network.
        values: that it gave.
        outputs: how many of the network's own there are; logits are kept whole, of maps a sample.
        point_names: of the inner values that are sampled.
    """
    own = {spec.name: values[spec.name] for spec in reference.outputs[:outputs]}
    (first, *_) = own.values()
    logits = first.ndim == 2
    return {
        "seed": feed.seed,
        "input_shape": list(feed.array.shape),
        "pixels": feed.pixels is not None,
        "computed_by": reference.name,
        "logits": first.astype(np.float64).tolist() if logits else [],
        **({} if logits else {"maps": {name: sample(value) for name, value in own.items()}}),
        "points": {name: sample(values[name]) for name in point_names},
    }


def compare_stored(
    candidate: Runner, feed: Feed, stored: Mapping[str, Any], tolerance: Tolerance
) -> tuple[Comparison, ...]:
    """An artifact's outputs with :func:`stored_values`.

    Raises:
        ArtifactError, KeyError, TypeError, ValueError: they are not of this file, or none.
    """
    got, maps = infer_feed(candidate, feed), stored.get("maps")
    if not maps:
        name, want = candidate.outputs[0].name, np.asarray(stored["logits"], dtype=np.float64)
        return (compare_outputs(feed.what, name, got[name], want, tolerance),)
    found = []
    for spec, (name, kept) in zip(candidate.outputs, maps.items(), strict=True):
        ours, want = sample(got[spec.name]), np.asarray(kept["values"], dtype=np.float64)
        if ours["elements"] != int(kept["elements"]):
            raise ValueError(f"{name} has {kept['elements']} elements, the file's {ours['elements']}")
        values, largest = np.asarray(ours["values"]), float(kept["max_abs"])
        found.append(compare_maps(feed.what, name, values[None], want[None], tolerance, largest))
    return tuple(found)
