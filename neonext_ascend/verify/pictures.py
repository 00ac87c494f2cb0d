"""Whether pictures reach a network as it was trained: mean and std, the order of colours, the scale of pixels."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields

import numpy as np
from numpy.typing import NDArray

from neonext_ascend.images.preprocessing import Preprocessing
from neonext_ascend.runtimes.base import Runner
from neonext_ascend.spec import Tolerance
from neonext_ascend.verify.compare import compare_outputs
from neonext_ascend.verify.feeds import Feed
from neonext_ascend.verify.ladder import Answers

_OWN = "take the model's own: mean {mean}, std {std}, in RGB order, for values from 0 to 1"


def preparation_cause(found: Preprocessing, own: Preprocessing) -> tuple[str, str, bool] | None:
    """How a manifest's preparation differs from the model's own: cause, remedy, and whether it is a known mistake."""
    remedy, mean, std = _own(own), found.mean, found.std
    if _same(mean, own.std) and _same(std, own.mean) and not _same(mean, own.mean):
        return "mean and std are swapped", remedy, True
    if _same(mean, own.mean[::-1]) and _same(std, own.std[::-1]) and not _same(mean, own.mean):
        return "mean and std are in BGR order in place of RGB", remedy, True
    if _same(mean, 255 * np.asarray(own.mean)):
        return "mean and std are for pixels from 0 to 255; values run from 0 to 1 here", remedy, True
    names = [one.name for one in fields(Preprocessing) if one.name != "normalised_on"]
    changed = [name for name in names if getattr(found, name) != getattr(own, name)]
    if not changed:
        return None
    told = ", ".join(f"{name} {getattr(found, name)} in place of {getattr(own, name)}" for name in changed)
    return told, "take the model's own preparation, or retrain with this one", False


def input_cause(
    reference: Runner, feeds: Sequence[Feed], answers: Answers, own: Preprocessing, tolerance: Tolerance
) -> tuple[str, str] | None:
    """What was done to the input of something that takes it inside (AIPP, say): cause and remedy.

    Args:
        reference: the network.
        feeds: right inputs.
        answers: what came out.
        own: the model's preparation.
        tolerance: within which the reference on a wrong input must give them.
    """
    (spec,), outputs = reference.inputs, [one.name for one in reference.outputs]
    for what, change in _mistakes(own).items():
        for feed, got in zip(feeds, answers, strict=True):
            want = reference.infer({spec.name: change(feed.array)})
            if not all(
                np.isfinite(want[name]).all() and compare_outputs(what, name, got[name], want[name], tolerance).passed
                for name in outputs
            ):
                break
        else:
            return what, f"look at the AIPP configuration, or at what feeds the input; {_own(own)}"
    return None


def _mistakes(own: Preprocessing) -> Mapping[str, Callable[[NDArray[np.float32]], NDArray[np.float32]]]:
    """What may be done to an input ``(N, 3, H, W)``: in words, and the input that it gives."""
    mean, std = (np.asarray(one, np.float32).reshape(1, 3, 1, 1) for one in (own.mean, own.std))
    turned = slice(None), slice(None, None, -1)

    def normalised(
        pixels: NDArray[np.float32], mean: NDArray[np.float32], std: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        value: NDArray[np.float32] = ((pixels - mean) / np.where(std == 0, 1, std)).astype(np.float32)
        return value

    return {
        "it takes BGR in place of RGB": lambda x: normalised((x * std + mean)[turned], mean, std),
        "its mean and std are swapped": lambda x: normalised(x * std + mean, std, mean),
        "its mean and std are in BGR order in place of RGB": lambda x: normalised(
            x * std + mean, mean[turned], std[turned]
        ),
        "its pixels are not divided by 255": lambda x: normalised(255 * (x * std + mean), mean, std),
        "its input is not normalised": lambda x: x * std + mean,
        "its input is normalised twice": lambda x: normalised(x, mean, std),
    }


def _own(own: Preprocessing) -> str:
    return _OWN.format(mean=_row(own.mean), std=_row(own.std))


def _row(values: Sequence[float]) -> str:
    return ", ".join(f"{value:g}" for value in values)


def _same(first: object, second: object) -> bool:
    return bool(np.allclose(np.asarray(first), np.asarray(second), rtol=1e-3, atol=0))
