"""Measured times of operators: the vendor's table read and joined with the estimate, and what is no such table."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from neonext_ascend import jobs
from neonext_ascend.cli.main import run
from neonext_ascend.cost.measured import Measured, read_summary
from neonext_ascend.errors import ArtifactError, FileAccessError, NeoNextError
from tests.standins.msprof import write_summary

CHIP = "Ascend310P3"
HEADER = "Op Name,OP Type,Task Start Time(us),Task Duration(us)\n"


@pytest.fixture(scope="module")
def nano(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return jobs.export("neonext_nano", verify=False, output=tmp_path_factory.mktemp("nano")).onnx.path


def cost_of(path: Path, measured: Path | None = None) -> jobs.InspectedFile:
    found = jobs.inspect(path, soc_version=CHIP, measured=measured)
    assert isinstance(found, jobs.InspectedFile)
    return found


def table(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def test_the_median_of_the_runs_counts_in_the_order_in_which_they_ran(tmp_path: Path) -> None:
    rows = "b,Relu,20.5\t,4\na,Conv2D,10.5\t,1\nb,Relu,50.5\t,8.0\na,Conv2D,40.5\t,3\nb,Relu,90.5\t,5\nc,N/A,95,N/A\n"
    assert read_summary(table(tmp_path / "op.csv", "\ufeff" + HEADER + rows)) == [
        Measured("a", "Conv2D", 2.0, 2),
        Measured("b", "Relu", 5.0, 3),
    ]


def test_older_pages_name_the_columns_without_their_unit(tmp_path: Path) -> None:
    path = table(tmp_path / "op.csv", "Model Name,Op Name,Task Duration\n\nm,a,1.5\n")
    assert read_summary(path) == [Measured("a", "", 1.5, 1)]


def test_each_operator_is_joined_by_the_names_of_its_nodes(nano: Path, tmp_path: Path) -> None:
    cost = cost_of(nano).cost
    gelu = next(one for one in cost.timed if one.operator.work.kind == "gelu")
    conv, other, *_ = [one for one in cost.timed if one.operator.what == "Conv"]
    fused = next(one for one in cost.timed if len(one.operator.nodes) == 2)
    assert fused not in (conv, other)
    rows = [
        ("trans_TransData_0", "TransData", 7.0),
        (conv.operator.name, "Conv2D", 10.0),
        (f"PartitionedCall_{other.operator.name}_Conv2D_32", "Conv2D", 11.0),
        ("".join(fused.operator.nodes), "Conv2D", 12.0),
        *((name, "Mul", 1.0) for name in gelu.operator.nodes),
    ]
    comparison = cost_of(nano, write_summary(tmp_path / "op.csv", rows)).measured
    assert comparison is not None
    found = {pair.dearest.operator.name: pair for pair in comparison.pairs}
    assert {name: pair.measurement for name, pair in found.items()} == {
        conv.operator.name: 10.0,
        other.operator.name: 11.0,
        fused.operator.name: 12.0,
        gelu.operator.name: 5.0,  # five operators there, one here
    }
    assert [one.name for one in comparison.only_measured] == ["trans_TransData_0"]
    assert len(comparison.only_estimated) == len(cost.timed) - 4
    assert found[conv.operator.name].error == pytest.approx(max(10 / conv.microseconds, conv.microseconds / 10))


def test_one_operator_there_may_be_several_here(nano: Path, tmp_path: Path) -> None:
    first, second, *_ = [one for one in cost_of(nano).cost.timed if one.operator.nodes]
    name = first.operator.nodes[-1] + second.operator.nodes[0]
    comparison = cost_of(nano, write_summary(tmp_path / "op.csv", [(name, "Conv2D", 9.0)])).measured
    assert comparison is not None
    (pair,) = comparison.pairs
    assert pair.estimate == pytest.approx(first.microseconds + second.microseconds)


def test_what_hangs_together_is_one_pair(nano: Path, tmp_path: Path) -> None:
    # The card runs the end of the first with the second, and the rest of the second with the third.
    first, second, third = [one for one in cost_of(nano).cost.timed if one.operator.nodes][:3]
    names = [one.operator.nodes[0] for one in (first, second, third)]
    rows = [(names[0] + names[1], "Conv2D", 3.0), (names[2], "Conv2D", 4.0), (names[1] + names[2], "Conv2D", 5.0)]
    comparison = cost_of(nano, write_summary(tmp_path / "op.csv", rows)).measured
    assert comparison is not None
    (pair,) = comparison.pairs
    assert pair.estimated == (first, second, third)
    assert pair.measurement == 12.0


def test_without_names_type_and_place_join_where_there_are_as_many(nano: Path, tmp_path: Path) -> None:
    cost = cost_of(nano).cost
    products = [one for one in cost.timed if one.operator.what == "MatMul"]
    rows = [(f"op{number}", "BatchMatMulV2", 1.0 + number) for number in range(len(products))]
    rows += [(f"conv{number}", "Conv2D", 1.0) for number in range(3)]  # not as many as here
    comparison = cost_of(nano, write_summary(tmp_path / "op.csv", rows)).measured
    assert comparison is not None
    joined = [(pair.dearest.operator.name, pair.measurement) for pair in comparison.pairs]
    assert joined == [(one.operator.name, 1.0 + number) for number, one in enumerate(products)]
    assert {one.type for one in comparison.only_measured} == {"Conv2D"}


def test_times_as_estimated_are_met_and_told(nano: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    cost = cost_of(nano).cost
    slow = {"gelu": 3.0}
    rows = [
        (one.operator.nodes[0], one.operator.what, one.microseconds * slow.get(one.operator.work.kind, 1.0))
        for one in cost.timed
        if one.operator.nodes
    ]
    path = write_summary(tmp_path / "op.csv", rows)
    assert run(["inspect", str(nano), "--soc-version", CHIP, "--measured", str(path), "--json"]) == 0
    told = json.loads(capfd.readouterr().out)["cost"]["measured"]
    errors = {kind["kind"]: round(kind["median_error"], 6) for kind in told["kinds"]}
    assert errors.pop("gelu") == 3.0
    assert set(errors.values()) == {1.0}
    assert told["only_estimated"] == ["image"]
    assert run(["inspect", str(nano), "--soc-version", CHIP, "--measured", str(path)]) == 0
    out = capfd.readouterr().out
    assert f"measured {len(rows)} of {len(rows)} operators joined with {len(rows)} of {len(rows) + 1} estimated" in out
    assert "3.00  gelu (6 operators)" in out
    assert max(map(len, out.replace(str(nano), "").splitlines())) <= 80


WRONG: dict[str, tuple[bytes | None, type[NeoNextError], str]] = {
    "none": (None, FileAccessError, "no such file"),
    "empty": (b"", FileAccessError, "the file is empty"),
    "blank lines": (b"\n\n,,\n", FileAccessError, "the file is empty"),
    "another table": (b"OP Type,Core Type,Count,Total Time(us)\nConv2D,AI_CORE,1,2\n", ArtifactError, "'Op Name'"),
    "no times": (b"Op Name,OP Type\na,Conv2D\n", ArtifactError, "has no column 'Task Duration(us)'"),
    "a header alone": (HEADER.encode(), ArtifactError, "holds no operator with a time"),
    "no number": (HEADER.encode() + b"a,Conv2D,1,N/A\nb,Relu,2,nan\nc,Relu,2,inf\n", ArtifactError, "with a time"),
    "cut off": (HEADER.encode() + b"a,Conv2D,1,2\nb,Re", ArtifactError, "line 3 has 2 of 4 columns"),
    "an open quote": (HEADER.encode() + b'a,"Conv2D,1,2\n', ArtifactError, "damaged table"),
    "a picture": (b"\x89PNG\r\n\x1a\n\xff\xfe", ArtifactError, "is a picture; give op_summary"),
    "bytes": (b"\x00\xc3\x28 nothing known", ArtifactError, "is not UTF-8 text"),
    "zeros": (b"\0" * 64, ArtifactError, "column 'Op Name'"),
    "of another model": (HEADER.encode() + b"nobody,Nothing,1,2\n", ArtifactError, "none of its 1 operator is a node"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_no_such_table_is_one_line(
    name: str, nano: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    content, kind, words = WRONG[name]
    path = tmp_path / "op.csv"
    if content is not None:
        path.write_bytes(content)
    assert run(["inspect", str(nano), "--soc-version", CHIP, "--measured", str(path)]) == kind.exit_code
    out, err = capfd.readouterr()
    assert out == ""
    assert words in err
    assert str(path) in err
    assert err.count("\n") == 1


def test_without_an_estimate_there_is_nothing_to_hold_against(nano: Path, tmp_path: Path) -> None:
    path = write_summary(tmp_path / "op.csv", [("logits", "MatMulV2", 1.0)])
    with pytest.raises(NeoNextError, match=r"--measured: there is no estimate of .*: no time is told"):
        jobs.inspect(nano, soc_version="Ascend310B4", measured=path)
    with pytest.raises(FileAccessError, match="is not a regular file"):
        jobs.inspect(nano, soc_version=CHIP, measured=tmp_path)
