"""ATC's pre-check: each rule on a model that breaks it and on a sibling that does not, and all on a crowd of files."""

from __future__ import annotations

import os
import random
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, numpy_helper
from onnx.helper import make_graph, make_node

from neonext_ascend.artifacts.skim import KEPT_BYTES, skim_model
from neonext_ascend.artifacts.tensors import fault_of
from neonext_ascend.cli.main import run
from neonext_ascend.errors import ArtifactError, FileAccessError, NeoNextError
from neonext_ascend.exporters import export_onnx
from neonext_ascend.exporters.atc_rules import operators as known
from neonext_ascend.exporters.atc_rules.inspecting import Inspection, inspect_onnx
from neonext_ascend.exporters.atc_rules.rules import RULES
from neonext_ascend.exporters.om_file.options import Precision
from neonext_ascend.machine.chips import SOCS, find_soc
from neonext_ascend.machine.environment import disable_telemetry
from neonext_ascend.models.neonext import build
from neonext_ascend.models.variants import VARIANTS
from neonext_ascend.passes import prepare
from tests.support.atc_cases import CASES, HALF, INT8, WEIGHT, model, op, step, tensor, with_external, with_function

disable_telemetry()
from onnxruntime.quantization import CalibrationDataReader, quantize_static  # noqa: E402 -- as in test_export.py


def inspect(made: onnx.ModelProto, path: Path, soc: str = "Ascend310P3", precision: Precision = "fp16") -> Inspection:
    path.write_bytes(made.SerializeToString())
    return inspect_onnx(path, find_soc(soc), precision)


def test_every_rule_has_a_case_and_an_id_of_its_own() -> None:
    assert [rule.id for rule in RULES] == list(CASES)
    assert all(rule.looks_at and rule.source for rule in RULES)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.id)
def test_the_rule_strikes_its_model_and_spares_the_sibling(rule: Any, tmp_path: Path) -> None:
    case = CASES[rule.id]
    bad = inspect(case.bad(), tmp_path / "bad.onnx", case.soc, case.precision)
    (found, *more) = [finding for finding in bad.findings if finding.rule == rule.id]
    assert not more
    assert (found.severity, found.atc_code, found.node) == (rule.severity, rule.atc_code, case.node)
    assert found.message
    assert found.remedy
    assert "{" not in found.message + found.remedy
    if rule.severity == "error":
        assert not bad.accepted
    good = inspect(case.good(), tmp_path / "good.onnx", case.soc, case.precision)
    assert rule.id not in {finding.rule for finding in good.findings}
    assert good.accepted


def rules(inspection: Inspection) -> list[str]:
    return [finding.rule for finding in inspection.findings]


SYMBOLIC, SINGLE = CASES["dynamic-axes"].bad(), CASES["cube-dtype"].bad()


@pytest.mark.parametrize(
    ("made", "soc", "precision", "struck"),
    [
        (SYMBOLIC, "Ascend310P3", "fp16", ["dynamic-axes"]),
        (SYMBOLIC, "Ascend310B1", "fp16", ["dynamic-axes-310b"]),
        (SINGLE, "Ascend310P3", "fp16", ["cube-dtype"]),
        (SINGLE, "Ascend310P3", "mixed_float16", ["cube-dtype"]),
        (SINGLE, "Ascend310P3", "origin", ["cube-dtype-origin"]),
        (SINGLE, "Ascend310B1", "fp16", ["silent-half"]),
        (SINGLE, "Ascend910B3", "origin", []),
        (CASES["int8-variables"].bad(), "Ascend910_9362", "fp16", []),
        (model(op("NPUMish", domain="npu"), domains=[("npu", 2)]), "Ascend310P3", "fp16", ["custom-domain"]),
        (model(step("Tanh", "x", "t"), op("Add", "t", "x"), shape=("n", 4)), "Ascend310P3", "fp16", ["dynamic-batch"]),
    ],
)
def test_chip_and_precision_decide(
    tmp_path: Path, made: onnx.ModelProto, soc: str, precision: Precision, struck: list[str]
) -> None:
    assert rules(inspect(made, tmp_path / "it.onnx", soc, precision)) == struck


@pytest.fixture(scope="module")
def deployed() -> Any:
    return prepare(build(VARIANTS["neonext_nano"].config), defer=True)[0]


@pytest.mark.parametrize("opset", [11, 17, 18])
@pytest.mark.parametrize("batch", [1, 4, None])
def test_our_own_exports_are_clean_for_every_chip(deployed: Any, tmp_path: Path, opset: int, batch: int | None) -> None:
    path = export_onnx(deployed, tmp_path / "nano.onnx", opset=opset, batch_size=batch).files[0].path
    for soc in SOCS.values():
        inspection = inspect_onnx(path, soc)
        assert inspection.accepted, inspection.findings
        expected = {"gelu-erf", "cube-dtype" if soc.family == "310P" else "silent-half"}
        assert set(rules(inspection)) == expected | ({"dynamic-batch"} if batch is None else set())
        origin = inspect_onnx(path, soc, "origin")
        assert origin.accepted == (soc.family != "310P")
        assert ("cube-dtype-origin" in rules(origin)) == (soc.family == "310P")


def test_a_half_precision_export_has_nothing_to_lose(deployed: Any, tmp_path: Path) -> None:
    path = export_onnx(deployed, tmp_path / "nano.onnx", dtype="fp16").files[0].path
    assert {*rules(inspect_onnx(path, SOCS["Ascend310P3"], "origin"))} == {"gelu-erf"}


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")  # torch's exporter warns of itself
def test_each_refusal_of_a_patchwise_export_at_opset_20_is_named(tmp_path: Path) -> None:
    net = build(VARIANTS["neonext_nano"].config).eval()
    program = torch.onnx.export(net, (torch.zeros(1, 3, 96, 96),), dynamo=True, opset_version=20, verbose=False)
    assert program is not None
    program.save(str(tmp_path / "patchwise.onnx"))
    graph = onnx.load(str(tmp_path / "patchwise.onnx")).graph
    gelus = [node.name for node in graph.node if node.op_type == "Gelu"]
    assert len(gelus) == 6
    inspection = inspect_onnx(tmp_path / "patchwise.onnx", SOCS["Ascend310P3"])
    errors = [(f.rule, f.node, f.atc_code) for f in inspection.findings if f.severity == "error"]
    assert errors == [("opset", None, "E16002"), *(("gelu", name, "E16002") for name in gelus)]


class Pictures(CalibrationDataReader):  # type: ignore[misc] # onnxruntime has no types
    """One picture of noise."""

    def __init__(self) -> None:
        self.feeds = [{"image": np.random.default_rng(0).standard_normal((1, 3, 96, 96), np.float32)}]

    def get_next(self) -> dict[str, Any] | None:
        return self.feeds.pop() if self.feeds else None


def test_a_qdq_model_is_refused_with_every_node_named(deployed: Any, tmp_path: Path) -> None:
    path = export_onnx(deployed, tmp_path / "nano.onnx").files[0].path
    quantize_static(str(path), str(tmp_path / "qdq.onnx"), Pictures(), op_types_to_quantize=["Conv", "MatMul"])
    kinds = {n.name: n.op_type for n in onnx.load(str(tmp_path / "qdq.onnx")).graph.node}
    pairs = {name: kind for name, kind in kinds.items() if kind in ("QuantizeLinear", "DequantizeLinear")}
    assert set(pairs.values()) == {"QuantizeLinear", "DequantizeLinear"}
    findings = inspect_onnx(tmp_path / "qdq.onnx", SOCS["Ascend310P3"]).findings
    errors = {f.node: f for f in findings if f.severity == "error"}
    assert set(errors) == set(pairs)
    assert all(f" {kind};" in errors[name].message for name, kind in pairs.items())
    assert {f.atc_code for f in errors.values()} == {"E16002"}
    # A stands on the left, and B on the right has three axes: neither is what the vendor's int8 product takes.
    cells = [n.name for n in onnx.load(str(path)).graph.node if n.op_type == "MatMul" and ".neocell" in n.name]
    assert [f.node for f in findings if f.rule == "int8-right-operand"] == cells
    assert len(cells) == 12


def shipped() -> list[Path]:
    return sorted(Path(onnx.__file__).parent.rglob("*.onnx"))


def test_the_files_that_ship_inside_onnx() -> None:
    verdicts: Counter[str] = Counter()
    struck: Counter[str] = Counter()
    by_name: dict[str, set[str]] = {}
    for path in shipped():
        try:
            inspection = inspect_onnx(path, SOCS["Ascend310P3"])
        except NeoNextError:
            verdicts["unreadable"] += 1
            continue
        assert isinstance(inspection, Inspection)
        verdicts["accepted" if inspection.accepted else "refused"] += 1
        found = set(rules(inspection))
        struck.update(found)
        by_name[path.parent.name if path.name == "model.onnx" else path.stem] = found
    print(f"\nof {len(shipped())} files: {dict(verdicts)}; rules: {dict(struck.most_common())}")
    assert len(shipped()) > 100
    assert verdicts.total() == len(shipped())
    assert verdicts["unreadable"] == 0
    assert min(verdicts["accepted"], verdicts["refused"]) > 20
    assert by_name["light_resnet50"] == {"cube-dtype"}
    assert by_name["test_single_relu_model"] == {"silent-half"}
    assert by_name["test_Conv2d"] == {"opset", "cube-dtype"}
    assert by_name["test_gradient_of_add"] == {"custom-domain", "silent-half"}
    assert "operator-unknown" in by_name["test_strnorm_model_monday_empty_output"]
    assert "dynamic-batch" in struck


def test_broken_files_are_refused_in_words(tmp_path: Path) -> None:
    """Cut, and with changed bytes: a verdict or an error of ours, nothing else."""
    dice, path, outcomes = random.Random(0), tmp_path / "broken.onnx", Counter[str]()
    whole = [path.read_bytes() for path in shipped() if path.stat().st_size < 50_000]
    for turn in range(1500):
        content = bytearray(dice.choice(whole))
        if turn % 4 == 0:
            del content[dice.randrange(len(content)) :]
        for _ in range(turn % 4):
            content[dice.randrange(len(content))] = dice.randrange(256)
        path.write_bytes(content)
        try:
            outcomes[type(inspect_onnx(path, SOCS["Ascend310B1"])).__name__] += 1
        except NeoNextError as error:
            outcomes[type(error).__name__] += str(path) in str(error)
    assert set(outcomes) == {"Inspection", "ArtifactError", "FileAccessError"}
    assert min(outcomes.values()) > 50


@pytest.mark.parametrize(
    ("content", "error", "words"),
    [
        (b"", FileAccessError, "the file is empty"),
        (b"# A text\n", ArtifactError, "not an ONNX model"),
        (model(op("Relu")).SerializeToString()[:-1], FileAccessError, "truncated"),
        (model(op("Relu", name="Zwang")).SerializeToString().replace(b"Zwang", b"\xff\xfeang"), ArtifactError, "UTF-8"),
    ],
    ids=["empty", "text", "cut", "no text"],
)
def test_what_is_no_model(tmp_path: Path, content: bytes, error: type[NeoNextError], words: str) -> None:
    (tmp_path / "it.onnx").write_bytes(content)
    with pytest.raises(error, match=words):
        inspect_onnx(tmp_path / "it.onnx", SOCS["Ascend310P3"])


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.onnx")
    with pytest.raises(FileAccessError, match="not a regular file"):
        inspect_onnx(tmp_path / "pipe.onnx", SOCS["Ascend310P3"])


def test_weights_are_skipped_and_shapes_kept(tmp_path: Path) -> None:
    path, rows = tmp_path / "large.onnx", 4 * KEPT_BYTES
    inner = make_graph(
        [step("Constant", "", "w", value=tensor("t", rows, 2))], "inner", [], [onnx.ValueInfoProto(name="w")]
    )
    made = model(
        op("If", "c", then_branch=inner, else_branch=inner),
        constants=[tensor("c", dtype=np.bool_), tensor("kept", 4, 2), tensor("skipped", rows, 2)],
    )
    path.write_bytes(made.SerializeToString())
    skimmed = skim_model(path)
    assert path.stat().st_size > 3 * 4 * rows
    assert skimmed.ByteSize() < 1000
    kept = {constant.name: constant for constant in skimmed.graph.initializer}
    assert kept["kept"] == made.graph.initializer[1]
    assert list(kept["skipped"].dims) == [rows, 2]
    assert not kept["skipped"].raw_data
    inside = skimmed.graph.node[0].attribute[0].g.node[0].attribute[0].t
    assert list(inside.dims) == [rows, 2]
    assert not inside.raw_data


def test_a_model_of_more_than_two_gigabytes(tmp_path: Path) -> None:
    """A sparse file: the tensor's field says 3 GB, protobuf itself ends at 2."""

    def field(number: int, length: int) -> bytes:
        return varint(number << 3 | 2) + varint(length)

    def varint(value: int) -> bytes:
        return bytes([value & 127 | 128]) + varint(value >> 7) if value > 127 else bytes([value])

    size = 3_000_000_000
    weight = TensorProto(name="w", data_type=HALF, dims=[4, size // 8]).SerializeToString()
    weight += field(9, size)  # raw_data, the hole in the file
    made = model(step("MatMul", "x w", "m"), op("Gelu", "m"))
    rest, graph = made.SerializeToString(), made.graph.SerializeToString()
    head = rest.replace(field(7, len(graph)) + graph, b"")
    assert len(head) < len(rest)
    tensor_field = field(5, len(weight) + size) + weight
    with (tmp_path / "big.onnx").open("wb") as file:
        file.write(head + field(7, len(graph) + len(tensor_field) + size) + graph + tensor_field)
        file.truncate(file.tell() + size)
    inspection = inspect_onnx(tmp_path / "big.onnx", SOCS["Ascend310P3"])
    assert [(f.rule, f.node) for f in inspection.findings] == [("gelu", "the_Gelu")]


def test_nodes_without_names_in_branches_and_functions_are_found(tmp_path: Path) -> None:
    made = with_function()
    made.functions[0].node.append(make_node("Gelu", ["b"], ["c"]))
    inner = make_graph([make_node("Gelu", ["x"], ["z"])], "inner", [], [onnx.ValueInfoProto(name="z")])
    made.graph.node.append(make_node("If", ["x"], ["v"], then_branch=inner, else_branch=inner))
    places = [f.node for f in inspect(made, tmp_path / "it.onnx").findings if f.rule == "gelu"]
    assert places == [
        "If #1 -> v/else_branch/Gelu #0 -> z",
        "If #1 -> v/then_branch/Gelu #0 -> z",
        "function Twice/Gelu #1 -> c",
    ]


def test_a_branch_sees_the_values_of_the_graph_around_it(tmp_path: Path) -> None:
    inner = make_graph([make_node("MatMul", ["x", "w"], ["z"])], "inner", [], [onnx.ValueInfoProto(name="z")])
    made = model(op("If", "c", then_branch=inner, else_branch=inner), shape=(4,), constants=[WEIGHT, tensor("c")])
    assert rules(inspect(made, tmp_path / "it.onnx")) == ["matmul-rank"] * 2


@pytest.mark.parametrize("domain", ["", "ai.onnx"])
def test_both_spellings_of_the_default_domain(tmp_path: Path, domain: str) -> None:
    made = model(op("Gelu", domain=domain))
    made.opset_import[0].domain = domain
    assert rules(inspect(made, tmp_path / "it.onnx")) == ["gelu"]


def test_a_circle_of_nodes_ends(tmp_path: Path) -> None:
    circle = model(step("Cast", "a", "b", to=INT8), step("Cast", "b", "a", to=INT8), op("MatMulInteger", "a", "b"))
    assert "int8-variables" in rules(inspect(circle, tmp_path / "it.onnx"))


EXTERNAL: dict[str, tuple[dict[str, str], str]] = {
    "too short": ({"length": "16", "offset": "1"}, "'w.bin' is too short"),
    "of another length": ({"length": "15"}, "'w.bin' holds 15 bytes where 4x2 takes 16"),
    "before the file": ({"offset": "-1"}, "'w.bin' holds 16 bytes where 4x2 takes 16"),
    "absent": ({"location": "gone.bin"}, "'gone.bin' is missing"),
    "a folder": ({"location": "../.."}, "'../..' lies outside its folder"),
    "above": ({"location": "../outside.bin"}, "'../outside.bin' lies outside its folder"),
    "a path from the root": ({"location": "/etc/passwd"}, "'/etc/passwd' lies outside its folder"),
    "through a link": ({"location": "link.bin"}, "'link.bin' lies outside its folder"),
    "a circle of links": ({"location": "circle.bin"}, "'circle.bin' "),
    "nameless": ({"location": ""}, "'' is missing"),
    "no number": ({"offset": "many"}, "'w.bin' cannot be found or read"),
}


@pytest.mark.parametrize("what", EXTERNAL)
def test_external_data_that_are_not_there_or_not_to_be_read(
    what: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said, words = EXTERNAL[what]
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "w.bin").write_bytes(bytes(16))
    (tmp_path / "outside.bin").write_bytes(bytes(16))
    (folder / "link.bin").symlink_to("../outside.bin")
    (folder / "circle.bin").symlink_to("circle.bin")
    made = with_external("w.bin")
    for entry in made.graph.initializer[0].external_data:
        entry.value = said.get(entry.key, entry.value)
    (found,) = (f for f in inspect(made, folder / "it.onnx").findings)
    assert (found.rule, found.node) == ("external-data", "w")
    assert found.message.startswith(f"its external data {words}")
    assert run(["debug", str(folder / "it.onnx"), "--against", str(folder / "it.onnx")]) in (2, 5)
    assert capsys.readouterr().err.startswith(f"error: {folder / 'it.onnx'}: its external data {words}")


@pytest.mark.parametrize("dtype", [n for n in TensorProto.DataType.values() if 0 < n < 27])  # FLOAT6 came later
@pytest.mark.parametrize("raw", [True, False])
def test_whole_constants_of_every_dtype_are_let_pass(dtype: int, raw: bool, tmp_path: Path) -> None:
    """As ONNX itself writes them, small ones and those that are skipped; with one number less they are not."""
    for size in (0, 3, 3 * KEPT_BYTES):
        kind = onnx.helper.tensor_dtype_to_np_dtype(dtype)
        values = np.full(size, "a" if dtype == TensorProto.STRING else 1).astype(kind)
        made = (
            numpy_helper.from_array(values, "w") if raw
            else onnx.helper.make_tensor("w", dtype, (size,), values.tolist())
        )  # fmt: skip
        (tmp_path / "it.onnx").write_bytes(model(constants=[made]).SerializeToString())
        (held,) = skim_model(tmp_path / "it.onnx").graph.initializer
        assert fault_of(held) == fault_of(made) == ""
        made.dims[0] += 4
        (tmp_path / "it.onnx").write_bytes(model(constants=[made]).SerializeToString())
        (held,) = skim_model(tmp_path / "it.onnx").graph.initializer
        assert fault_of(held) == fault_of(made) != ""


def test_the_table_of_operators_is_onnxs_own_where_it_names_them() -> None:
    """A misspelt name would make a false warning of it; the vendor's own names are few and begin as its names do."""
    schemas = {schema.name for schema in onnx.defs.get_all_schemas_with_history() if schema.domain == ""}
    assert len(schemas & set(known.REGISTERED)) > 140
    assert not known.NOT_REGISTERED & set(known.REGISTERED)
    assert schemas >= known.NOT_REGISTERED
    assert all(opsets <= set(known.OPSETS) for opsets in known.REGISTERED.values())
    assert known.opsets_in_words(known.REGISTERED["LSTMP"]) == "8-16, 18"
