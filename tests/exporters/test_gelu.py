"""GELU's three spellings: counts, numbers, who is refused, and what reads a file with the vendor's operator."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from neonext_ascend import jobs
from neonext_ascend.artifacts.reading import read_manifest
from neonext_ascend.artifacts.vendor_operators import infer_shapes
from neonext_ascend.checkpoints.loading import load
from neonext_ascend.cost.choice import GraphForm
from neonext_ascend.data import labels_for, sample_pictures
from neonext_ascend.errors import UsageError
from neonext_ascend.exporters.atc_rules.inspecting import inspect_onnx
from neonext_ascend.exporters.onnx_file.export import export_onnx
from neonext_ascend.jobs.making.onnx_file import OnnxExport, ParityFailedError, export_verified
from neonext_ascend.jobs.making.request import FileRequest
from neonext_ascend.machine.chips import SOCS
from neonext_ascend.passes.pipeline import prepare
from neonext_ascend.runtimes.ort import OrtRunner
from neonext_ascend.runtimes.sessions import make_session
from neonext_ascend.spec import GELUS, LAYOUTS, Dtype, GeluForm, Layout, judged_as

# Two float32 programs, each about 1e-6 from the exact sums.
PARITY = 5e-6
# The largest distance of the tanh form from the exact one, over all numbers.
APART = 4.74e-4


def made(folder: Path, gelu: GeluForm, layout: Layout = "nchw", **request: Any) -> OnnxExport:
    asked = FileRequest(GraphForm(layout), gelu=gelu, **request)
    return export_verified(load("neonext_nano"), folder, labels_for("neonext_nano", 10), asked)


def nodes_of(path: Path) -> Counter[str]:
    return Counter(node.op_type for node in onnx.load(str(path)).graph.node)


@pytest.fixture(scope="module")
def npu(tmp_path_factory: pytest.TempPathFactory) -> OnnxExport:
    return made(tmp_path_factory.mktemp("npu"), "npu")


@pytest.mark.parametrize("dtype", ["fp32", "fp16"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_counts_and_parity_of_each_spelling(tmp_path: Path, layout: Layout, dtype: Dtype) -> None:
    exact = {"nchw": 67, "chnw": 136}[layout]
    for gelu, more in (("erf", 0), ("tanh", 6 * 3), ("npu", -6 * 4)):
        export = made(tmp_path / gelu, gelu, layout, dtype=dtype)  # type: ignore[arg-type]  # of a tuple of literals
        found = nodes_of(export.path)
        assert found.total() == exact + more, gelu
        assert (found["Erf"], found["Tanh"], found["NPUGeluV2"]) == tuple(6 * (gelu == g) for g in GELUS)
        assert export.verdict is not None
        errors = [comparison.max_rel for comparison in export.verdict.artifact.comparisons]
        if dtype == "fp32":
            # Another function is seen as such, and is no further off than one.
            assert (PARITY < max(errors) < APART) if gelu == "tanh" else max(errors) <= PARITY
        assert read_manifest(export.manifest_path).artifact.gelu == gelu
        assert export.to_json()["gelu"] == gelu
        # Written once more from the manifest it is the same, and nothing in it makes an error.
        assert not any(node.made for node in jobs.debug(export.path).nodes)
        assert jobs.verify(export.path).verdict.passed


def test_the_tanh_form_is_judged_as_half_precision_is(tmp_path: Path) -> None:
    assert [judged_as("fp32", gelu) for gelu in GELUS] == ["fp32", "fp16", "fp32"]
    # By the bounds of fp32 it would be refused: nobody gets it without having asked.
    export = made(tmp_path, "tanh")
    manifest = read_manifest(export.manifest_path)
    text = export.manifest_path.read_text(encoding="utf-8")
    export.manifest_path.write_text(text.replace('"gelu": "tanh"', '"gelu": "erf"'), encoding="utf-8")
    assert manifest.artifact.gelu == "tanh"
    assert not jobs.verify(export.path).verdict.passed


def test_a_wrong_constant_still_fails_in_the_tanh_form(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    network = load("neonext_nano")
    emit = FileRequest.emit

    def wrong(self: FileRequest, subject: Any, path: Path, metadata: Any = None) -> Any:
        written = emit(self, subject, path, metadata)
        model = onnx.load(str(path))
        (cubic,) = (tensor for tensor in model.graph.initializer if tensor.name == "gelu.cubic")
        cubic.CopyFrom(onnx.numpy_helper.from_array(np.array(0.44715, np.float32), "gelu.cubic"))
        onnx.save(model, str(path))
        return written

    monkeypatch.setattr(FileRequest, "emit", wrong)
    with pytest.raises(ParityFailedError):
        export_verified(network, tmp_path, labels_for("neonext_nano", 10), FileRequest(gelu="tanh"))
    assert list(tmp_path.iterdir()) == []


class Tanh(nn.Module):
    """A network whose own GELU has the tanh form."""

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = F.gelu(x, approximate="tanh")
        return y


@pytest.mark.parametrize("opset", [11, 17, 18])
@pytest.mark.parametrize("gelu", GELUS)
def test_a_networks_own_tanh_form_stays_so(tmp_path: Path, gelu: GeluForm, opset: int) -> None:
    x = np.linspace(-6, 6, 60, dtype=np.float32).reshape(1, 3, 4, 5)
    for network in (Tanh(), nn.GELU(approximate="tanh")):
        prepared, _ = prepare(nn.Sequential(network).eval(), input_shape=x.shape)
        export_onnx(prepared, tmp_path / "it.onnx", gelu=gelu, opset=opset)
        onnx.checker.check_model(str(tmp_path / "it.onnx"), full_check=True)
        with OrtRunner(tmp_path / "it.onnx") as runner:
            got = runner.infer({"image": x})["logits"]
        assert np.abs(got - F.gelu(torch.from_numpy(x), approximate="tanh").numpy()).max() <= 1e-6


def test_another_spelling_is_refused(tmp_path: Path) -> None:
    prepared, _ = prepare(nn.Sequential(nn.GELU()).eval(), input_shape=(1, 3, 4, 4))
    with pytest.raises(UsageError, match="gelu 'exact': expected erf or tanh or npu"):
        export_onnx(prepared, tmp_path / "it.onnx", gelu="exact")  # type: ignore[arg-type]  # what is tested


@pytest.mark.parametrize("soc", [None, *SOCS])
def test_the_vendors_operator_is_for_910b_alone(tmp_path: Path, soc: str | None) -> None:
    def ask() -> Any:
        om = None if soc is None else jobs.OmRequest(soc, dry_run=True)
        return jobs.export("neonext_nano", gelu="npu", om=om, output=tmp_path / "out")

    if soc is not None and SOCS[soc].family == "910B":
        assert ask().commands
        return
    with pytest.raises(UsageError, match="--soc-version" if soc is None else f"that {soc} has GeluV2"):
        ask()
    assert not (tmp_path / "out").exists()


def test_the_files_form(npu: OnnxExport) -> None:
    model = onnx.load(str(npu.path))
    assert {entry.domain: entry.version for entry in model.opset_import} == {"": 17, "npu": 1}
    node = next(node for node in model.graph.node if node.op_type == "NPUGeluV2")
    assert (node.domain, [(a.name, a.s) for a in node.attribute]) == ("npu", [("approximate", b"none")])
    inferred = infer_shapes(model)
    assert [n.op_type for n in inferred.graph.node] == [n.op_type for n in model.graph.node]
    assert {name for n in model.graph.node for name in n.output} <= {
        value.name for value in (*inferred.graph.value_info, *inferred.graph.output)
    }


@pytest.mark.parametrize(("soc", "found"), [("Ascend910B3", False), ("Ascend310P3", True), ("Ascend910_9392", True)])
def test_inspect_takes_it_and_says_for_which_chip_nobody_knows(npu: OnnxExport, soc: str, found: bool) -> None:
    inspection = inspect_onnx(npu.path, SOCS[soc])
    assert inspection.accepted
    assert ("gelu-npu" in {finding.rule for finding in inspection.findings}) == found


def test_everything_that_runs_a_file_on_the_cpu_runs_this_one(npu: OnnxExport) -> None:
    with OrtRunner(npu.path) as runner:
        assert runner.where.endswith("on the CPU, NPUGeluV2 as its Gelu")
    pictures = sample_pictures()
    answers = [one.top[0].label for one in jobs.predict(npu.path, list(pictures))]
    assert answers == [path.stem.removeprefix("digit_") for path in pictures]
    assert jobs.ladder(npu.path).verdict is None


def test_a_node_that_was_made_another_is_named_and_its_graph_runs_anywhere(npu: OnnxExport, tmp_path: Path) -> None:
    path = tmp_path / npu.path.name
    model = onnx.load(str(npu.path))
    node = next(node for node in model.graph.node if node.name == "stage2.block0.act")
    node.attribute[0].s = b"tanh"
    onnx.save(model, str(path))
    (tmp_path / npu.manifest_path.name).write_bytes(npu.manifest_path.read_bytes())
    assert not jobs.verify(path).verdict.passed
    found = jobs.debug(path, output=tmp_path / "out")
    assert [node.name for node in found.nodes if node.made] == ["stage2.block0.act"]
    assert found.cause is not None
    assert "approximate" in found.cause.what
    session, as_twin = make_session((tmp_path / "out" / "subgraph.onnx").read_bytes(), None)
    assert not as_twin
    assert session.run(None, dict(np.load(tmp_path / "out" / "inputs.npz")))


@pytest.mark.parametrize("gelu", GELUS)
def test_a_half_precision_file_keeps_a_gelu_in_fp32(tmp_path: Path, gelu: GeluForm) -> None:
    kept = "stage2.block0.act"
    export = made(tmp_path, gelu, dtype="fp16", keep_fp32=(kept,))
    assert nodes_of(export.path)["Cast"] >= 2
    assert jobs.verify(export.path).verdict.passed


def test_external_data_runs_too(tmp_path: Path) -> None:
    network = load("neonext_nano").network
    prepared, _ = prepare(network, defer=True)
    export_onnx(prepared, tmp_path / "it.onnx", gelu="npu", external_data_above=1000)
    x = np.random.RandomState(0).standard_normal((1, 3, 96, 96)).astype(np.float32)
    with OrtRunner(tmp_path / "it.onnx") as runner, torch.no_grad():
        got, want = runner.infer({"image": x})["logits"], network(torch.from_numpy(x)).numpy()
    assert np.abs(got - want).max() <= PARITY * np.abs(want).max()


def test_another_provider_than_the_cpu_has_no_twin(npu: OnnxExport) -> None:
    with pytest.raises(Exception, match="NPUGeluV2"):
        make_session(str(npu.path), None, ("CPUExecutionProvider", "AzureExecutionProvider"))
