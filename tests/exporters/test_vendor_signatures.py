"""Every operator that we write, by opset, attributes and ranks: taken by the vendor's own parser, or listed as new.

``tests/data/vendor_signatures.json``: what was in 30 of our exports that the ONNX parser of hicann/ge (ffdcbc9), with
the plugins of hicann/ops-nn (e5c3fa9) and ops-math (c419332), accepted in November 2026.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import onnx
import pytest
from torch import nn

from neonext_ascend.artifacts.vendor_operators import infer_shapes
from neonext_ascend.checkpoints.loading import load
from neonext_ascend.exporters.atc_rules.operators import REGISTERED
from neonext_ascend.exporters.onnx_file.export import OPSETS, export_onnx
from neonext_ascend.passes.pipeline import prepare
from neonext_ascend.spec import GELUS, LAYOUTS, LOWERINGS, GeluForm, Layout, LoweringName
from tests import ROOT

Signature = tuple[str, int, tuple[str, ...], tuple[int, ...]]
TAKEN: frozenset[Signature] = frozenset(
    (one["op"], one["opset"], tuple(one["attributes"]), tuple(one["input_ranks"]))
    for one in json.loads((ROOT / "tests" / "data" / "vendor_signatures.json").read_text(encoding="utf-8"))
)
# What those 30 exports did not have, each with why it is written all the same.
NEW: Mapping[tuple[str, tuple[str, ...]], str] = {
    (
        "Conv",
        ("group", "kernel_shape", "pads", "strides"),
    ): "the padded lowering's strided convolutions; pads is ONNX's own",
    ("Pow", ()): "the tanh form of GELU, for GeluFusionPass, which looks for Pow",
    ("Tanh", ()): "the tanh form of GELU",
    ("Cast", ("to",)): "beside a node that is kept in fp32",
    ("AscendQuant", ("dst_type", "offset", "scale")): "taken by that parser in an AMCT-style graph of its own",
    ("AscendDequant", ("dtype",)): "likewise",
    ("npu::NPUGeluV2", ("approximate",)): "taken by that parser in a check of its own, as one GeluV2",
}


OWN: Mapping[GeluForm, tuple[str, ...]] = {"erf": (), "tanh": ("Pow", "Tanh"), "npu": ("npu::NPUGeluV2",)}


def signatures(path: Path) -> set[Signature]:
    model = onnx.load(str(path))
    inferred = infer_shapes(model)
    ranks = {tensor.name: len(tensor.dims) for tensor in model.graph.initializer}
    values = (*inferred.graph.value_info, *inferred.graph.input, *inferred.graph.output)
    ranks |= {value.name: len(value.type.tensor_type.shape.dim) for value in values}
    opsets = {entry.domain: entry.version for entry in model.opset_import}
    return {
        (
            f"{node.domain}::{node.op_type}" if node.domain else node.op_type,
            opsets[node.domain],
            tuple(sorted(attribute.name for attribute in node.attribute)),
            tuple(ranks[name] for name in node.input),
        )
        for node in model.graph.node
    }


def new(path: Path) -> set[tuple[str, tuple[str, ...]]]:
    """Operators and attributes that stand in :data:`NEW`; any other that was never taken fails."""
    found = set()
    for one in signatures(path) - TAKEN:
        operator, opset, attributes, ranks = one
        if (operator, attributes) in NEW:
            found.add((operator, attributes))
            continue
        # One entry of a plugin registers all its opsets, so that what was taken at one of them is at the others.
        assert opset in REGISTERED[operator], one
        assert any((operator, other, attributes, ranks) in TAKEN for other in OPSETS), one
    return found


@pytest.mark.parametrize("lowering", LOWERINGS)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_lowering_at_every_opset(tmp_path: Path, layout: Layout, lowering: LoweringName) -> None:
    deployed, _ = prepare(load("neonext_nano").network, layout=layout, lowering=lowering, defer=True)
    padded = {("Conv", ("group", "kernel_shape", "pads", "strides"))} if layout == "nchw" else set()
    for opset in OPSETS:
        export_onnx(deployed, tmp_path / "it.onnx", opset=opset)
        assert new(tmp_path / "it.onnx") == (padded if lowering == "padded" else set())


@pytest.mark.parametrize("gelu", GELUS)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_spelling_of_gelu_and_half_precision(tmp_path: Path, layout: Layout, gelu: GeluForm) -> None:
    wanted = {one for one in NEW if one[0] in OWN[gelu]}
    deployed, _ = prepare(load("neonext_nano").network, layout=layout, defer=True)
    for opset in OPSETS:
        export_onnx(deployed, tmp_path / "it.onnx", opset=opset, batch_size=None, gelu=gelu)
        assert new(tmp_path / "it.onnx") == wanted
    for kept in ((), ("logits",)):
        export_onnx(deployed, tmp_path / "it.onnx", dtype="fp16", gelu=gelu, keep_fp32=kept)
        assert new(tmp_path / "it.onnx") == wanted | ({("Cast", ("to",))} if kept else set())


def test_a_signature_that_nobody_has_taken_is_found(tmp_path: Path) -> None:
    prepared, _ = prepare(nn.Sequential(nn.Sigmoid()).eval(), input_shape=(1, 3, 4, 4))
    export_onnx(prepared, tmp_path / "it.onnx")
    with pytest.raises(AssertionError, match="Sigmoid"):
        new(tmp_path / "it.onnx")
