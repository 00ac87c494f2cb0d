"""Rescue: the smallest set in fp32, the mixed file, why a chip cannot have it, and powers of two in its place."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from neonext_ascend import create, jobs
from neonext_ascend.cli.main import run
from neonext_ascend.errors import ParityError, UsageError
from neonext_ascend.jobs.making.onnx_file import ParityFailedError
from neonext_ascend.precision.half import OVERFLOWS
from neonext_ascend.precision.modes import HalfMode
from neonext_ascend.precision.rescaling import rescaled, rescalings
from neonext_ascend.runtimes.steps import Steps
from neonext_ascend.verify.feeds import Feed
from neonext_ascend.verify.half import judge_steps
from neonext_ascend.verify.nodewise.nodes import values_of
from neonext_ascend.verify.rescue import rescue
from neonext_ascend.verify.rescued import kept_words, rescaling

BLOCKS = (1, 2, 3)
# In exact numbers the same network; fc1's result leaves fp16, fc2 brings it back behind GELU.
ACROSS_GELU = {"fc_1.weight": 5e4, "fc_1.bias": 5e4, "fc_2.weight": 2e-5}
# The same before GELU: BatchNorm's affine makes it large, fc1 small again.
BEFORE_FC1 = {"norm.weight": 5e4, "norm.bias": 5e4, "fc_1.weight": 2e-5}


def scaled(folder: Path, factors: dict[str, float], blocks: tuple[int, ...] = BLOCKS) -> Path:
    state = create("neonext_nano").state_dict()
    for block in blocks:
        for name, factor in factors.items():
            state[f"stage_{block}.0.ops.content.{name}"] *= factor
    torch.save(state, folder / "scaled.pt")
    return folder / "scaled.pt"


def needed(block: int) -> list[str]:
    """What computes with the large values: fc1, the parts of GELU that read or give them, and fc2, which reads them."""
    name = f"stage{block}.block0"
    return [f"{name}.{part}" for part in ("fc1", "act.scaled", "act.erf", "act.gated", "act", "fc2")]


def noise(steps: Steps, seed: int = 0) -> Feed:
    (tensor,) = steps.tensors()
    array = np.random.RandomState(seed).standard_normal(tensor[2]).astype(np.float32)
    return Feed("noise", array)


def test_three_blocks_that_overflow_give_their_nodes_and_no_more(tmp_path: Path) -> None:
    weights = scaled(tmp_path, ACROSS_GELU)
    path = jobs.export("neonext_nano", checkpoint=weights, output=tmp_path).onnx.path
    steps = Steps(path)
    feeds = [noise(steps)]
    found = rescue(steps, feeds, OVERFLOWS)
    assert list(found.keep) == [name for block in BLOCKS for name in needed(block)]
    assert list(found.products) == [f"stage{block}.block0.{fc}" for block in BLOCKS for fc in ("fc1", "fc2")]
    assert found.casts == 12  # NeoCell's result and the gate in, Erf and fc2 out, of each block
    for name in found.keep:  # not one can be spared
        fewer = HalfMode(keep=set(found.keep) - {name})
        assert not all(verdict.passed for verdict in judge_steps(steps, feeds, OVERFLOWS, fewer)), name


@pytest.mark.parametrize(("opset", "layout"), [(11, "nchw"), (17, "nchw"), (18, "chnw")])
def test_the_rescued_file_is_mixed_and_right(
    opset: int, layout: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    weights, folder = str(scaled(tmp_path, ACROSS_GELU, (2, 3))), tmp_path / "out"
    command = ["export", "neonext_nano", "--checkpoint", weights, "--dtype", "fp16", "--opset", str(opset)]
    command += ["--layout", layout, "-o", str(folder), "--json"]
    assert run(command) == 1
    assert not list(folder.glob("*.onnx"))
    capfd.readouterr()
    assert run([*command, "--rescue"]) == 0
    out, err = capfd.readouterr()
    (made,) = json.loads(out)["artifacts"]
    if layout == "nchw":
        assert set(made["keep_fp32"]) == {name for block in (2, 3) for name in needed(block)}
    assert {name[:13] for name in made["keep_fp32"]} == {"stage2.block0", "stage3.block0"}
    assert f"--keep-fp32 {','.join(made['keep_fp32'])}" in err
    model = onnx.load(made["path"])
    onnx.checker.check_model(model, full_check=True)
    assert sum(node.op_type == "Cast" for node in model.graph.node) == 8  # as many as before and behind two blocks
    kinds = {t.name: t.data_type for t in model.graph.initializer}
    assert kinds["stage3.block0.fc1.weight.fp32"] == TensorProto.FLOAT
    assert "stage3.block0.fc1.weight" not in kinds  # nothing is kept that no node reads
    assert run(["verify", made["path"], "--checkpoint", weights]) == 0
    # The file's manifest tells what it keeps to whoever judges it.
    assert run(["verify", "--ladder", made["path"], "--checkpoint", weights]) == 0
    assert jobs.rescue_nodes(made["path"]).found.keep == ()


def test_what_needs_no_rescue_is_left_alone(tmp_path: Path) -> None:
    plain = jobs.export("neonext_nano", dtype="fp16", output=tmp_path / "plain").onnx
    asked = jobs.export("neonext_nano", dtype="fp16", rescue=True, output=tmp_path / "asked").onnx
    assert asked.manifest.artifact.keep_fp32 == ()
    assert asked.path.read_bytes() == plain.path.read_bytes()


@pytest.mark.parametrize("arguments", [{}, {"dtype": "fp16", "verify": False}])
def test_a_rescue_of_nothing_is_refused(arguments: dict[str, object], tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--rescue mends half"):
        jobs.export("neonext_nano", rescue=True, output=tmp_path, **arguments)  # type: ignore[arg-type] # on purpose


def test_a_910b_keeps_the_nodes_by_its_keep_dtype_file(tmp_path: Path) -> None:
    om = jobs.OmRequest("Ascend910B3", bundle=tmp_path / "b.tar.gz")
    weights = scaled(tmp_path, ACROSS_GELU)
    with pytest.raises(ParityFailedError, match=r"stage1\.block0\.fc1 overflows in fp16"):
        jobs.export("neonext_nano", checkpoint=weights, om=om, output=tmp_path)
    made = jobs.export("neonext_nano", checkpoint=weights, om=om, rescue=True, output=tmp_path)
    assert len(made.artifacts) == 2
    with tarfile.open(tmp_path / "b.tar.gz") as archive:
        member = next(name for name in archive.getnames() if name.endswith("keep_dtype.cfg"))
        held = archive.extractfile(member)
        assert held is not None
        assert held.read().decode().split() == [name for block in BLOCKS for name in needed(block)]


@pytest.mark.parametrize(
    ("factors", "words"),
    [
        (ACROSS_GELU, r"stage1\.block0\.fc1: no power of two helps: .* no factor passes through GELU"),
        (
            BEFORE_FC1,
            r"in its place .*multiply stage1\.block0\.neocell\.left by 2\^-\d+, stage1\.block0\.fc1\.weight by",
        ),
    ],
)
def test_a_310p_is_told_why_fp32_does_not_help_and_what_does(
    factors: dict[str, float], words: str, tmp_path: Path
) -> None:
    om = jobs.OmRequest("Ascend310P3", bundle=tmp_path / "b.tar.gz")
    with pytest.raises(ParityFailedError, match="its cube unit multiplies fp16 and int8 alone") as caught:
        jobs.export("neonext_nano", checkpoint=scaled(tmp_path, factors), om=om, rescue=True, output=tmp_path)
    assert "--keep-fp32 does not help on Ascend310P3: stage1.block0" in str(caught.value)
    with pytest.raises(ParityError, match=words):
        raise caught.value
    assert not (tmp_path / "b.tar.gz").exists()


def test_powers_of_two_leave_every_bit_and_bring_the_values_into_range(tmp_path: Path) -> None:
    path = jobs.export("neonext_nano", checkpoint=scaled(tmp_path, BEFORE_FC1), output=tmp_path).onnx.path
    steps = Steps(path)
    feed = noise(steps)
    largest = {name: float(np.abs(value).max()) for name, value in values_of(steps, {"image": feed.array})}
    proposals = rescalings(steps, largest)
    assert [proposal.node for proposal in proposals] == [f"stage{n}.block0.neocell.left_product" for n in BLOCKS]
    mended = rescaled(steps, proposals)
    assert not all(verdict.passed for verdict in judge_steps(steps, [feed], OVERFLOWS))
    assert all(verdict.passed for verdict in judge_steps(mended, [feed], OVERFLOWS))
    (want,) = (value for name, value in values_of(steps, {"image": feed.array}) if name == "logits")
    (got,) = (value for name, value in values_of(mended, {"image": feed.array}) if name == "logits")
    np.testing.assert_array_equal(got, want)


def graph(*nodes: onnx.NodeProto, **constants: npt.ArrayLike) -> onnx.ModelProto:
    value = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 64])
    result = helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 64])
    held = [numpy_helper.from_array(np.asarray(number, np.float32), name) for name, number in constants.items()]
    model = helper.make_model(helper.make_graph(list(nodes), "g", [value], [result], held), opset_imports=[OPSET])
    onnx.checker.check_model(model)
    return model


OPSET = helper.make_opsetid("", 17)


def test_debug_says_what_to_keep_and_writes_the_file_for_atc(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    weights = scaled(tmp_path, ACROSS_GELU, (3,))
    path = str(jobs.export("neonext_nano", checkpoint=weights, output=tmp_path).onnx.path)
    assert run(["debug", path, "--rescue", "-o", str(tmp_path / "out"), "--json"]) == 0
    found = json.loads(capfd.readouterr().out)
    assert found["keep_fp32"] == needed(3)
    assert (tmp_path / "out" / "keep_dtype.cfg").read_text().split() == needed(3)
    assert run(["debug", path, "--rescue", "--soc-version", "Ascend310P3", "-o", str(tmp_path / "none")]) == 1
    assert "its cube unit multiplies fp16 and int8" in " ".join(capfd.readouterr().out.split())
    assert not (tmp_path / "none").exists()
    assert run(["debug", path, "--rescue", "--against", path]) == 2
    assert run(["debug", path, "--soc-version", "Ascend310P3"]) == 2


def test_where_nothing_overflows_the_nodes_that_lose_the_bits_are_found() -> None:
    # fp16's numbers around 4096 lie 4 apart: what is added to it is gone. Tanh and Mul lose nothing.
    steps = Steps(
        graph(
            helper.make_node("Tanh", ["x"], ["a"], "tanh"),
            helper.make_node("Add", ["a", "large"], ["b"], "far"),
            helper.make_node("Sub", ["b", "large"], ["c"], "back"),
            helper.make_node("Mul", ["c", "half"], ["y"], "last"),
            large=4096.0,
            half=0.5,
        )
    )
    found = rescue(steps, [noise(steps)], OVERFLOWS)
    assert found.keep == ("far", "back")
    assert found.beyond == ()


def test_a_graph_that_no_fp32_rescues_says_so() -> None:
    # Infinite in fp32 as well.
    steps = Steps(
        graph(
            helper.make_node("Add", ["x", "huge"], ["a"], "add"),
            helper.make_node("Mul", ["a", "huge"], ["y"], "mul"),
            huge=3e38,
        )
    )
    with pytest.raises(ParityError, match="even with all 2 nodes in fp32"):
        rescue(steps, [noise(steps)], OVERFLOWS)


@pytest.mark.parametrize("shape", [[64], [1, 4, 16], [1, 4, 4, 4], [8, 8]])
def test_an_output_of_any_rank_is_judged(shape: list[int]) -> None:
    up, down = (
        helper.make_node("Mul", ["x", "large"], ["m"], "up"),
        helper.make_node("Mul", ["m", "small"], ["y"], "down"),
    )
    model = graph(up, down, large=1e6, small=1e-6)
    model.graph.node[1].output[0] = "d"
    model.graph.node.append(helper.make_node("Reshape", ["d", "shape"], ["y"], "form"))
    model.graph.initializer.append(numpy_helper.from_array(np.array(shape), "shape"))
    model.graph.output[0].CopyFrom(helper.make_tensor_value_info("y", TensorProto.FLOAT, shape))
    onnx.checker.check_model(model)
    steps = Steps(model)
    assert rescue(steps, [noise(steps)], OVERFLOWS).keep == ("up", "down")


def between_products(first: npt.NDArray[np.float32], second: npt.NDArray[np.float32]) -> Steps:
    one = helper.make_node("MatMul", ["x", "first"], ["a"], "one")
    two = helper.make_node("MatMul", ["a", "second"], ["y"], "two")
    return Steps(graph(one, two, first=first, second=second))


def test_a_power_of_two_is_searched_between_what_the_range_needs_and_what_the_constants_bear() -> None:
    drawn = np.random.default_rng(0).standard_normal((2, 64, 64)).astype(np.float32)
    # Two powers of room would push an entry of the second beyond fp16; one does not.
    first, second = drawn[0] * 1e6, drawn[1] * 1e-7
    first[:, 0], second[0] = 1e-3, 40
    tight = between_products(first, second)
    # So small that it is worth nothing to fp16, before and after a short move up: a long one mends that too.
    faint = between_products(drawn[0] * 1e4, drawn[1] * 1e-9)
    for steps, bits in ((tight, 10), (faint, 29)):
        feeds = [noise(steps)]
        found = rescue(steps, feeds, OVERFLOWS)
        (proposal,), enough = rescaling(steps, found, feeds, None)
        assert enough
        assert proposal.exponents == {"first": -bits, "second": bits}
    # What is needed and what is borne do not meet: the best is told.
    first[:, 0], second[0] = 1e-3, 4000
    steps = between_products(first, second)
    found = rescue(steps, [noise(steps)], OVERFLOWS)
    (refused,), enough = rescaling(steps, found, [noise(steps)], None)
    assert not enough
    assert "second times 2^9 is beyond fp16 itself; the most that it bears, 2^4, leaves" in str(refused)


def saved(model: onnx.ModelProto, folder: Path, change: Callable[[onnx.ModelProto], None] = lambda _: None) -> str:
    change(model)
    onnx.save(model, str(folder / "theirs.onnx"))
    return str(folder / "theirs.onnx")


def up_and_down() -> onnx.ModelProto:
    return graph(
        helper.make_node("Mul", ["x", "large"], ["u"], "up"),
        helper.make_node("Mul", ["u", "small"], ["y"], "down"),
        large=1e4,
        small=1e-4,
    )


def test_a_stranger_is_told_what_takes_the_nodes(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = saved(up_and_down(), tmp_path, lambda model: model.graph.initializer[0].CopyFrom(huge("large")))
    assert run(["debug", path, "--rescue"]) == 0
    told = " ".join(capfd.readouterr().out.split())
    assert "judged in fp16: every node" in told
    assert "next atc --keep_dtype=keep_dtype.cfg, which holds one name a line (-o DIR writes it)" in told
    assert run(["debug", path, "--rescue", "-o", str(tmp_path / "out")]) == 0
    assert (tmp_path / "out" / "keep_dtype.cfg").read_text().split() == ["up", "down"]


def huge(name: str) -> onnx.TensorProto:
    return numpy_helper.from_array(np.array(1e6, np.float32), name)


def test_nodes_without_a_name_of_their_own_cannot_be_told_to_atc(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    def nameless(model: onnx.ModelProto) -> None:
        model.graph.initializer[0].CopyFrom(huge("large"))
        for node in model.graph.node:
            node.name = ""

    path = saved(up_and_down(), tmp_path, nameless)
    assert run(["debug", path, "--rescue", "-o", str(tmp_path / "out")]) == 2
    told = " ".join(capfd.readouterr().err.split())
    assert "keep_dtype.cfg cannot say it: the Mul that gives u and 1 more has no name of its own in the file" in told
    assert not (tmp_path / "out").exists()
    assert run(["debug", path, "--rescue"]) == 0
    assert "next compute them in fp32 in what writes the file, with a Cast" in " ".join(capfd.readouterr().out.split())


def test_a_file_of_both_dtypes_is_judged_by_its_own(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    def in_half(model: onnx.ModelProto) -> None:
        """The large part in fp32, the rest in fp16."""
        model.graph.initializer[0].CopyFrom(huge("large"))
        model.graph.node[1].output[0] = "v"
        cast = helper.make_node("Cast", ["v"], ["h"], "narrow", to=TensorProto.FLOAT16)
        back = helper.make_node("Cast", ["d"], ["y"], "wide", to=TensorProto.FLOAT)
        model.graph.node.extend([cast, helper.make_node("Mul", ["h", "more"], ["d"], "more"), back])
        model.graph.initializer.append(numpy_helper.from_array(np.array(60000, np.float16), "more"))

    def held(model: onnx.ModelProto) -> None:
        in_half(model)
        model.graph.initializer[-1].CopyFrom(numpy_helper.from_array(np.array(2, np.float16), "more"))

    assert run(["debug", saved(up_and_down(), tmp_path, held), "--rescue"]) == 0
    told = " ".join(capfd.readouterr().out.split())
    assert "judged in fp16: all but 2 nodes, by the file's own types fp16 holds every node" in told
    path = saved(up_and_down(), tmp_path, in_half)
    assert run(["debug", path, "--rescue", "--json"]) == 0
    found = json.loads(capfd.readouterr().out)
    assert (found["keep_fp32"], found["fp16"]) == (["more"], "all but 2 nodes, by the file's own types")
    assert "they are fp16 in this file" in found["remedy"]
    assert run(["debug", path, "--rescue", "-o", str(tmp_path / "out")]) == 2
    assert not (tmp_path / "out").exists()


def test_what_a_rescue_says_is_what_an_export_takes(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    weights = str(scaled(tmp_path, ACROSS_GELU, (3,)))
    path = str(jobs.export("neonext_nano", checkpoint=weights, output=tmp_path).onnx.path)
    assert run(["debug", path, "--rescue", "--json"]) == 0
    words = json.loads(capfd.readouterr().out)["remedy"].partition(", or ")[0].split()
    assert words[:3] == ["export", "--dtype", "fp16"]
    given = ["neonext_nano", "--checkpoint", weights, "-o", str(tmp_path / "out"), "--json"]
    assert run([words[0], *given, *words[1:]]) == 0
    (made,) = json.loads(capfd.readouterr().out)["artifacts"]
    assert made["keep_fp32"] == needed(3)
    # And the mixed file is told from itself.
    assert run(["debug", made["path"], "--rescue", "--json"]) == 0
    assert json.loads(capfd.readouterr().out)["keep_fp32"] == []
    assert run(["export", *given, "--keep-fp32", "head.ln"]) == 2
    assert "--keep-fp32 keeps nodes of half precision; give --dtype fp16" in capfd.readouterr().err


def test_a_search_that_stops_early_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    model = up_and_down()
    model.graph.initializer[0].CopyFrom(huge("large"))
    steps = Steps(model)
    assert rescue(steps, [noise(steps)], OVERFLOWS).settled
    monkeypatch.setattr("neonext_ascend.verify.rescue._MOST_TRIES", 2)
    found = rescue(steps, [noise(steps)], OVERFLOWS)
    assert not found.settled
    assert f"; fewer may do: the search stopped after {found.tries} tries)" in kept_words(found)
