"""AdaRound: what it does to a layer's output, which integers it takes, what it leaves to nearest, how it is told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from numpy.typing import NDArray

from neonext_ascend.artifacts.reading import read_manifest
from neonext_ascend.cli import export_options
from neonext_ascend.cli.main import run
from neonext_ascend.errors import UsageError
from neonext_ascend.exporters.int8.decision import Decision
from neonext_ascend.exporters.int8.deploy import deploy_model
from neonext_ascend.exporters.int8.qdq import qdq_model
from neonext_ascend.precision.int8.adaround import adaround
from neonext_ascend.precision.int8.candidates import Candidate, Graph
from neonext_ascend.precision.int8.collecting import values_of
from neonext_ascend.precision.int8.deciding import ROUNDINGS, Settings
from neonext_ascend.precision.int8.moments import MOST_TERMS, moments, refusal
from neonext_ascend.precision.int8.quantising import Quantised
from tests.support import digits
from tests.support.int8_graphs import decide, drawn, every_kind, graph, inputs, named

ADAROUND, NEAREST = Settings(rounding="adaround"), Settings()


def weights(decision: Decision) -> dict[str, NDArray[np.int8]]:
    return {layer.name: layer.weight for layer in decision.layers}


@pytest.fixture(autouse=True)
def few_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the 400, for all but the layers of the next fixture."""
    monkeypatch.setattr("neonext_ascend.precision.int8.adaround.STEPS", 100)


@pytest.fixture(scope="module")
def made() -> dict[Settings, Quantised]:
    return {settings: decide(every_kind(), settings, 64) for settings in (NEAREST, ADAROUND)}


def test_every_kind_of_layer_is_nearer_by_integers_next_to_the_nearest(
    made: dict[Settings, Quantised],
) -> None:
    nearest, found = made[NEAREST], made[ADAROUND]
    assert found.rounded is not None
    assert nearest.rounded is None
    assert named(found.decision) == named(nearest.decision) == list(found.rounded.errors)
    assert all(0 < error < 1 for error in found.rounded.errors.values())
    held = {one.name: one for one in Graph(found.model).products() if isinstance(one, Candidate)}
    for layer, plain in zip(found.decision.layers, nearest.decision.layers, strict=True):
        assert (layer.weight != plain.weight).any()
        assert np.abs(layer.weight.astype(int) - plain.weight.astype(int)).max() == 1
        one = held[layer.name]
        spread = layer.scale_w.reshape(-1, 1, 1, 1) if one.per_channel else layer.scale_w
        assert np.abs(layer.weight - one.weight / spread).max() < 1 + 1e-4  # up or down, never further
        assert (layer.scale_d, layer.scale_w.tolist()) == (plain.scale_d, plain.scale_w.tolist())


@pytest.mark.parametrize("layer", ["c1", "c2", "p", "g1", "g2"])
def test_the_layers_output_is_nearer_in_the_file_itself(layer: str, made: dict[Settings, Quantised]) -> None:
    """By ONNX Runtime, with this layer alone in int8: as much nearer as was told of it."""
    value, errors = "a" if layer == "p" else layer, {}
    data = inputs(every_kind(), 64)
    for settings, one in made.items():
        written = qdq_model(one.model, one.decision.only({layer}))
        pairs = zip(*(values_of(model, [value], data) for model in (written, one.model)), strict=True)
        differences = np.concatenate([(got[value] - want[value]).ravel() for got, want in pairs])
        errors[settings] = float(np.sum(differences.astype(np.float64) ** 2))
    rounded = made[ADAROUND].rounded
    assert rounded is not None
    assert errors[ADAROUND] < errors[NEAREST]
    # The bias makes up for the mean of float32's inputs, in whole steps, and Convs with scales of their own weigh less.
    if layer in ("p", "g1", "g2"):
        assert errors[ADAROUND] / errors[NEAREST] == pytest.approx(rounded.errors[layer], abs=0.05)


def test_both_forms_have_these_integers(made: dict[Settings, Quantised]) -> None:
    found = made[ADAROUND]
    for form in (qdq_model, deploy_model):
        written = form(found.model, found.decision)
        held = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in written.graph.initializer}
        for layer in found.decision.layers:
            assert (held[layer.weight_name] == layer.weight).all()


def test_the_same_seed_gives_the_same_integers_and_another_looks_elsewhere() -> None:
    model = graph([("Conv", ["x", "w"], "y", {})], {"w": drawn(6, 4, 3, 3)}, (1, 4, 20, 20))
    plain = decide(model, NEAREST)
    first, second, third = (
        adaround(Graph(plain.model), plain.decision, inputs(model), seed).weights["y"] for seed in (0, 0, 1)
    )
    assert (first == second).all()
    assert (first != third).any()


def test_moments_by_hand() -> None:
    """Of a grouped Conv with pads and dilations: the products of what its outputs sum over."""
    weight = drawn(4, 2, 2, 2)
    told = {"group": 2, "pads": [1, 0, 0, 1], "dilations": [1, 2], "strides": [2, 1]}
    model = graph([("Conv", ["x", "w"], "y", told)], {"w": weight}, (1, 4, 5, 5))
    made = decide(model, NEAREST, 4)
    (one,) = (found for found in Graph(made.model).products() if isinstance(found, Candidate))
    (layer,) = made.decision.layers
    found = moments(made.model, [(one, layer)], inputs(model, 4), 0)["y"]
    expected, errors, count = np.zeros((2, 8, 8)), np.zeros((2, 2)), 0
    steps = weight.reshape(2, 2, 8) / layer.scale_w.reshape(2, 2, 1)
    for x in inputs(model, 4):
        whole = np.clip(np.rint(x[0] * layer.quantiser), -128, 127) * layer.scale_d
        padded, exact = (np.pad(value, ((0, 0), (1, 0), (0, 1))) for value in (whole, x[0]))
        for i in range(0, padded.shape[1] - 1, 2):
            for j in range(padded.shape[2] - 2):
                patch, whole_patch = (value[:, i : i + 2, j : j + 3 : 2].reshape(2, 8) for value in (padded, exact))
                errors += ((steps * (patch - whole_patch)[:, None]).sum(2)) ** 2
                expected += patch[:, :, None] * patch[:, None, :]
                count += 1
    assert found.count == count
    assert found.xx.numpy() == pytest.approx(expected, rel=1e-4, abs=1e-4)  # float32 sums of 60 products
    assert found.ee.numpy() == pytest.approx(errors, rel=1e-4)


REFUSED: dict[str, tuple[dict[str, Any], tuple[int, ...], str]] = {
    "pads of the runtime": ({"auto_pad": "SAME_UPPER"}, (3, 4, 3, 3), "left to the runtime (auto_pad SAME_UPPER)"),
    "too many terms": ({}, (1, MOST_TERMS // 4 + 1, 2, 2), "an output sums over 8196 numbers, more than 8192"),
}


@pytest.mark.parametrize("why", REFUSED)
def test_what_it_does_not_apply_to_is_rounded_to_nearest_and_said(why: str) -> None:
    told, shape, words = REFUSED[why]
    model = graph(
        [("Conv", ["x", "w"], "c", told), ("GlobalAveragePool", ["c"], "p", {}), ("Conv", ["p", "v"], "y", {})],
        {"w": drawn(*shape), "v": drawn(2, shape[0], 1, 1)}, (1, shape[1], 4, 4),
    )  # fmt: skip
    found, nearest = decide(model, ADAROUND), decide(model, NEAREST)
    assert found.rounded is not None
    assert words in found.rounded.nearest["c"]
    assert list(found.rounded.errors) == ["y"]
    assert (weights(found.decision)["c"] == weights(nearest.decision)["c"]).all()
    alone = graph([("Conv", ["x", "w"], "y", told)], {"w": drawn(*shape)}, (1, shape[1], 4, 4))
    with pytest.raises(UsageError, match="--rounding adaround: applies to no layer of this graph: "):
        decide(alone, ADAROUND)


def test_pads_that_are_none_are_no_reason() -> None:
    model = graph([("Conv", ["x", "w"], "y", {"auto_pad": "VALID"})], {"w": drawn(3, 4, 3, 3)}, (1, 4, 4, 4))
    (one,) = (found for found in Graph(model).products() if isinstance(found, Candidate))
    assert refusal(one, model.graph.node[0]) == ""
    made = decide(model, ADAROUND)
    assert made.rounded is not None
    assert list(made.rounded.errors) == ["y"]


def test_a_layer_that_is_exact_stays_as_it_is() -> None:
    """Weights that are integers in steps of their scale have nothing to gain."""
    weight = np.array([[127, -3, 5], [4, 127, -60]], np.float32).reshape(2, 3, 1, 1)
    model = graph([("Conv", ["x", "w"], "y", {})], {"w": weight}, (1, 3, 4, 4))
    found = decide(model, Settings("minmax", balance=False, rounding="adaround"))
    assert weights(found.decision)["y"].ravel().tolist() == [127, -3, 5, 4, 127, -60]


def test_nano_by_the_command(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    pixels, labels = digits.held_out()
    folder = digits.write((pixels[::11], labels[::11]), tmp_path / "digits")
    before = torch.get_num_threads()
    command = ["export", "neonext_nano", "--dtype", "int8", "--calibration", str(folder), "--no-verify"]
    assert run([*command, "--rounding", "adaround", "-o", str(tmp_path / "out")]) == 0
    shown = capfd.readouterr()
    assert "adaround: layer by layer, about" in shown.err
    assert "weights of 17 layers by AdaRound: squared errors" in " ".join(shown.out.split())
    assert torch.get_num_threads() == before
    told = read_manifest(tmp_path / "out" / "neonext_nano-96-b1-int8.json").int8
    assert told is not None
    assert told["rounding"]["method"] == "adaround"
    assert told["rounding"]["nearest"] == {}
    errors = told["rounding"]["errors"]
    assert set(errors) == set(told["layers"])
    assert max(errors.values()) < 1
    assert sorted(errors.values())[8] < 0.95


def test_an_option_of_int8_alone(capfd: pytest.CaptureFixture[str]) -> None:
    assert run(["export", "neonext_nano", "--rounding", "adaround"]) == 2
    assert "--rounding is of int8" in capfd.readouterr().err
    assert export_options.ROUNDINGS == ROUNDINGS
