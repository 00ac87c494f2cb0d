"""Compiling with the stand-in ATC: the OM's numbers, and the right verdict on every fault."""

from __future__ import annotations

import os
import signal
import time
import tracemalloc
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import helper

from neonext_ascend.errors import ArtifactError, FileAccessError, NeoNextError, ToolchainError, UsageError
from neonext_ascend.exporters import CompiledOm, compile_om, export_onnx
from neonext_ascend.exporters.om_file import process
from neonext_ascend.exporters.om_file.options import PRECISIONS, AtcOptions, Precision
from neonext_ascend.images.preprocessing import Preprocessing
from neonext_ascend.machine.cann import Cann, find_cann
from neonext_ascend.machine.chips import find_soc
from neonext_ascend.machine.environment import disable_telemetry
from neonext_ascend.models.neonext import build, redraw_at_order_one
from neonext_ascend.models.variants import VARIANTS
from neonext_ascend.passes import prepare
from neonext_ascend.spec import TensorSpec
from tests.standins.atc import BIG_LOG_BYTES
from tests.standins.om_file import StandinOm
from tests.standins.toolkit import make_toolkit

disable_telemetry()
import onnxruntime as ort  # noqa: E402 -- telemetry must be off before this import

SOC = find_soc("Ascend310P3")
FP16 = AtcOptions(SOC)
PICTURES = Preprocessing((96, 96))
PIXELS = np.random.RandomState(1).randint(0, 256, (2, 96, 96, 3)).astype(np.uint8)
IMAGE = np.random.RandomState(0).standard_normal((2, 3, 96, 96)).astype(np.float32)
# ONNX files of the same network: name -> (batch size, dtype).
FILES: dict[str, tuple[int | None, Any]] = {"static": (1, "fp32"), "dynamic": (None, "fp32"), "half": (1, "fp16")}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, TensorSpec]]:
    folder = tmp_path_factory.mktemp("onnx")
    net = build(VARIANTS["neonext_nano"].config)
    redraw_at_order_one(net)
    prepared, made = prepare(net, defer=True)[0], {}
    for name, (batch, dtype) in FILES.items():
        artifact = export_onnx(prepared, folder / f"{name}.onnx", batch_size=batch, dtype=dtype)
        made[name] = (artifact.files[0].path, artifact.inputs[0])
    return made


@pytest.fixture
def cann(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Cann:
    for name, value in make_toolkit(tmp_path_factory.mktemp("cann")).items():
        monkeypatch.setenv(name, value)
    return find_cann()


@pytest.fixture
def pids(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path_factory.mktemp("pids") / "pids"
    monkeypatch.setenv("STANDIN_ATC_PIDS", str(path))
    return path


class Bench:
    """One compilation in folders of its own."""

    def __init__(self, folder: Path, cann: Cann, models: dict[str, tuple[Path, TensorSpec]]) -> None:
        self.folder, self.logs, self.cann, self.models = folder / "out", folder / "logs", cann, models
        self.folder.mkdir()

    def compile(self, model: str = "static", options: AtcOptions = FP16, **further: Any) -> CompiledOm:
        path, spec = self.models[model]
        return compile_om(
            path, self.folder, "net", spec, options, further.pop("cann", self.cann), log_folder=self.logs, **further
        )

    def left(self) -> list[str]:
        return sorted(path.name for path in self.folder.iterdir())

    @property
    def log(self) -> Path:
        return self.logs / "net.atc.log"


@pytest.fixture
def bench(tmp_path: Path, cann: Cann, models: dict[str, tuple[Path, TensorSpec]]) -> Bench:
    return Bench(tmp_path, cann, models)


def compute(model: bytes | str, array: NDArray[Any]) -> NDArray[Any]:
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    (name,) = (value.name for value in session.get_inputs())
    result: NDArray[Any] = session.run(["logits"], {name: array})[0]
    return result.astype(np.float32)


def relative(got: NDArray[Any], want: NDArray[Any]) -> float:
    return float(np.abs(got - want).max() / np.abs(want).max())


def alive(pids: Path, within_s: float = 60.0) -> list[int]:
    """Those of the stand-in's processes that still run; the dead that nobody has collected do not."""
    started = [int(line) for line in pids.read_text().split()]
    deadline = time.monotonic() + within_s
    while True:
        running = [pid for pid in started if _runs(pid)]
        if not running or time.monotonic() > deadline:
            return running
        time.sleep(0.02)


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


@pytest.mark.parametrize("precision", PRECISIONS)
def test_the_om_computes_in_the_precision_that_was_asked_for(
    bench: Bench, precision: Precision, models: dict[str, tuple[Path, TensorSpec]]
) -> None:
    lines: list[str] = []
    made = bench.compile(options=AtcOptions(SOC, precision), on_line=lines.append)
    assert lines == [
        "ATC start working now, please wait for a moment.",
        "ATC run success, welcome to the next use.",
    ]
    assert made.log_tail == tuple(lines)
    assert made.path == bench.folder / "net.om"
    assert made.platform is None
    assert f"--precision_mode_v2={precision}" in made.argv
    assert bench.left() == ["net.om"]
    assert not bench.logs.exists()
    om = StandinOm.read(made.path)
    assert (om.soc_version, om.cann_version, om.gears) == ("Ascend310P3", "8.5.0", ())
    difference = relative(compute(om.onnx, IMAGE[:1]), compute(str(models["static"][0]), IMAGE[:1]))
    assert difference <= (1e-6 if precision == "origin" else 1e-2)
    assert (difference > 1e-5) == (precision != "origin")


def test_the_precisions_round_different_things(bench: Bench) -> None:
    kinds = {}
    for precision in PRECISIONS:
        graph = onnx.load_from_string(StandinOm.read(bench.compile(options=AtcOptions(SOC, precision)).path).onnx).graph
        kinds[precision] = sum(node.op_type == "Cast" for node in graph.node)
    assert kinds["origin"] == 0 < kinds["cube_fp16in_fp32out"] < kinds["mixed_float16"] < kinds["fp16"]


def test_gears_leave_the_batch_open(bench: Bench, models: dict[str, tuple[Path, TensorSpec]]) -> None:
    om = StandinOm.read(bench.compile("dynamic", AtcOptions(SOC, gears=(1, 2))).path)
    assert om.gears == (1, 2)
    for batch in (1, 2):
        want = compute(str(models["dynamic"][0]), IMAGE[:batch])
        assert relative(compute(om.onnx, IMAGE[:batch]), want) <= 1e-2


@pytest.mark.parametrize(("model", "gears"), [("static", ()), ("dynamic", (1, 2)), ("half", ())])
def test_aipp_takes_pixels(
    bench: Bench, model: str, gears: tuple[int, ...], models: dict[str, tuple[Path, TensorSpec]]
) -> None:
    options = AtcOptions(SOC, gears=gears, aipp=True)
    om = StandinOm.read(bench.compile(model, options, preprocessing=PICTURES).path)
    rows = PIXELS if gears else PIXELS[:1]
    image = PICTURES.normalise(rows).astype(models[model][1].dtype)
    assert relative(compute(om.onnx, rows), compute(str(models[model][0]), image)) <= 1e-2


def test_a_file_in_half_precision_is_taken_as_it_is(bench: Bench, models: dict[str, tuple[Path, TensorSpec]]) -> None:
    image = IMAGE[:1].astype(np.float16)
    for precision in PRECISIONS:
        om = StandinOm.read(bench.compile("half", AtcOptions(SOC, precision)).path)
        np.testing.assert_array_equal(compute(om.onnx, image), compute(str(models["half"][0]), image))


def test_kept_nodes_are_not_rounded(bench: Bench, models: dict[str, tuple[Path, TensorSpec]]) -> None:
    path = models["static"][0]
    names = tuple(node.name for node in onnx.load(str(path)).graph.node)
    want = compute(str(path), IMAGE[:1])
    differences = []
    for keep in ((), names[:-5], names):
        om = StandinOm.read(bench.compile(options=AtcOptions(SOC, keep_fp32=keep)).path)
        differences.append(relative(compute(om.onnx, IMAGE[:1]), want))
    assert differences[0] > differences[1] > 1e-6 >= differences[2]
    with pytest.raises(ArtifactError, match=r"\(E10016\).*a node name is not in the model"):
        bench.compile(options=AtcOptions(SOC, keep_fp32=("nowhere",)))


@pytest.mark.parametrize(("opset", "kind"), [(20, "Gelu"), (20, "Identity"), (17, "QuantizeLinear"), (7, "Add")])
def test_what_atc_cannot_parse_is_an_honest_refusal(bench: Bench, tmp_path: Path, opset: int, kind: str) -> None:
    spec = TensorSpec("image", "float32", (1, 3, 4, 4))
    value, result = (helper.make_tensor_value_info(name, 1, spec.shape) for name in ("image", "logits"))
    graph = helper.make_graph([helper.make_node(kind, ["image"], ["logits"], "act")], "g", [value], [result])
    path = tmp_path / "foreign.onnx"
    path.write_bytes(helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)]).SerializeToString())
    bench.models = {**bench.models, "foreign": (path, spec)}
    with pytest.raises(ArtifactError) as refusal:
        bench.compile("foreign")
    words = str(refusal.value)
    assert "foreign.onnx: ATC refuses it (E16002): there is no ONNX parser for an operator at this opset" in words
    assert f"ai.onnx::{opset}::{kind}" in words
    assert str(bench.log) in words
    assert "\n" not in words
    assert "E16002" in bench.log.read_text()
    assert bench.left() == []


# (fault, error, words)
FAULTS: list[tuple[str, type[NeoNextError], str]] = [
    ("kill9", ToolchainError, "atc was killed by SIGKILL"),
    ("diskfull", FileAccessError, "No space left on device"),
    ("lie", ToolchainError, "claims success but ended with exit 1"),
    ("silent", ToolchainError, "says neither success nor failure but ended with exit 1"),
    ("nofile", ToolchainError, r"reports success \(exit 0\) but wrote no OM"),
    ("empty", ToolchainError, r"reports success \(exit 0\) but wrote an empty OM"),
    ("empty,platform", ToolchainError, "wrote an empty OM"),
    ("fail:E10001", ArtifactError, r"ATC refuses it \(E10001\).*the fault that was asked for"),
    ("fail:EZ3003", ArtifactError, r"\(EZ3003\): no engine of the chip supports an operator"),
    ("fail:EZ9999", ToolchainError, r"ATC failed internally \(EZ9999\)"),
    ("fail:E19999", ToolchainError, r"ATC failed internally \(E19999\)"),
]


@pytest.mark.parametrize(("fault", "error", "words"), FAULTS, ids=[fault for fault, _, _ in FAULTS])
def test_every_fault_gets_its_verdict_and_leaves_the_log_alone(
    bench: Bench, pids: Path, monkeypatch: pytest.MonkeyPatch, fault: str, error: type[NeoNextError], words: str
) -> None:
    monkeypatch.setenv("STANDIN_ATC_FAULT", fault)
    with pytest.raises(error, match=words) as failure:
        bench.compile()
    assert type(failure.value) is error
    assert f"the whole log is {bench.log}" in str(failure.value)
    assert bench.log.read_text().startswith("ATC start working now")
    assert bench.left() == []
    assert [path.name for path in bench.logs.iterdir()] == [bench.log.name]
    assert alive(pids) == []


def test_a_hanging_atc_is_ended_with_all_that_it_started(
    bench: Bench, pids: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STANDIN_ATC_FAULT", "hang")

    def late() -> float:
        """The limit passes when both have begun, however long that takes here."""
        return time.monotonic() + (3600.0 if pids.exists() and len(pids.read_text().split()) == 2 else 0.0)

    monkeypatch.setattr(process, "time", SimpleNamespace(monotonic=late, sleep=time.sleep))
    with pytest.raises(ToolchainError, match=r"did not end within 36\d\d s .* --time-limit"):
        bench.compile(time_limit_s=3000)
    assert len(pids.read_text().split()) == 2  # atc, and a worker that does not heed SIGTERM
    assert alive(pids) == []
    assert bench.left() == []
    assert bench.log.exists()


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_whatever_ends_the_wait_ends_the_whole_group(
    bench: Bench, pids: Path, monkeypatch: pytest.MonkeyPatch, error: type[BaseException]
) -> None:
    monkeypatch.setenv("STANDIN_ATC_FAULT", "hang")

    def interrupt(_: str) -> None:
        deadline = time.monotonic() + 60
        while len(pids.read_text().split()) < 2 and time.monotonic() < deadline:
            time.sleep(0.01)
        raise error("stop")

    with pytest.raises(error, match="stop"):
        bench.compile(on_line=interrupt)
    assert len(pids.read_text().split()) == 2
    assert alive(pids) == []
    assert bench.left() == []


def test_control_c_itself_ends_the_whole_group(bench: Bench, pids: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STANDIN_ATC_FAULT", "hang")
    # A test run started in the background hands down an ignored SIGINT, which would never arrive.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            bench.compile(on_line=lambda _: os.kill(os.getpid(), signal.SIGINT))
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, before)
    assert alive(pids) == []
    assert bench.left() == []


def test_an_om_bound_to_a_platform_is_found_and_says_so(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STANDIN_ATC_FAULT", "platform")
    made = bench.compile()
    assert made.platform in ("linux_x86_64", "linux_aarch64")
    assert made.path == bench.folder / f"net_{made.platform}.om"
    assert bench.left() == [made.path.name]
    assert StandinOm.read(made.path).soc_version == "Ascend310P3"


def test_a_log_of_50_mb_is_kept_whole_after_a_failure_and_not_at_all_after_a_success(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STANDIN_ATC_FAULT", "biglog,fail:E19999")
    seen = 0

    def count(line: str) -> None:
        nonlocal seen
        seen += len(line) + 1

    with pytest.raises(ToolchainError, match=r"\(E19999\)"):
        bench.compile(on_line=count)
    assert bench.log.stat().st_size == seen > BIG_LOG_BYTES
    bench.log.unlink()
    monkeypatch.setenv("STANDIN_ATC_FAULT", "biglog")
    tracemalloc.start()
    made = bench.compile()
    assert tracemalloc.get_traced_memory()[1] < BIG_LOG_BYTES / 10
    tracemalloc.stop()
    assert len(made.log_tail) == 20
    assert made.log_tail[-1] == "ATC run success, welcome to the next use."
    assert list(bench.logs.iterdir()) == []


@pytest.mark.parametrize(("precision", "older"), [("fp16", "force_fp16"), ("origin", "must_keep_origin_dtype")])
def test_an_older_toolkit_is_asked_again_in_its_own_words(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, precision: Precision, older: str
) -> None:
    monkeypatch.setenv("STANDIN_ATC_FAULT", "oldtoolkit")
    made = bench.compile(options=AtcOptions(SOC, precision))
    assert [word for word in made.argv if "precision" in word] == [f"--precision_mode={older}"]
    assert bench.left() == ["net.om"]
    assert not bench.logs.exists()


def test_a_precision_that_an_older_toolkit_lacks_is_its_fault(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STANDIN_ATC_FAULT", "oldtoolkit")
    with pytest.raises(ToolchainError, match="cube_fp16in_fp32out: this toolkit's atc lacks it"):
        bench.compile(options=AtcOptions(SOC, "cube_fp16in_fp32out"))
    assert bench.left() == []


def test_a_flag_that_this_toolkit_lacks_is_named(bench: Bench) -> None:
    with pytest.raises(UsageError, match="has no flag 'from_the_future'; leave it out of --atc-arg"):
        bench.compile(options=AtcOptions(SOC, extra=("--from_the_future=1",)))


def test_what_is_illegal_never_starts_atc(bench: Bench, pids: Path) -> None:
    with pytest.raises(UsageError, match=r"\(E10035\)"):
        bench.compile("dynamic", AtcOptions(SOC, gears=(1,)))
    assert not pids.exists()
    assert bench.left() == []


def test_what_is_missing_is_named(bench: Bench, tmp_path: Path) -> None:
    with pytest.raises(ToolchainError, match="atc is missing"):
        bench.compile(cann=Cann())
    broken = tmp_path / "atc"
    broken.write_text("#!/bin/sh\n")
    with pytest.raises(ToolchainError, match="cannot be started: Permission denied"):
        bench.compile(cann=replace(bench.cann, atc=broken))
    bench.models = {"gone": (tmp_path / "gone.onnx", bench.models["static"][1])}
    with pytest.raises(ArtifactError, match=r"\(E10410\): a file is absent"):
        bench.compile("gone")
    assert bench.left() == []
    with pytest.raises(FileAccessError, match="cannot write into this folder"):
        compile_om(
            tmp_path / "gone.onnx",
            tmp_path / "nowhere",
            "net",
            bench.models["gone"][1],
            FP16,
            bench.cann,
            log_folder=tmp_path,
        )


def test_the_child_gets_the_environment_and_runs_in_a_folder_of_its_own(bench: Bench, tmp_path: Path) -> None:
    atc = tmp_path / "atc"
    atc.write_text(
        '#!/bin/sh\npwd\necho "$ASCEND_SLOG_PRINT_TO_STDOUT $TE_PARALLEL_COMPILER $LD_LIBRARY_PATH"\nexit 3\n'
    )
    atc.chmod(0o755)
    with pytest.raises(ToolchainError, match="ended with exit 3"):
        bench.compile(cann=replace(bench.cann, atc=atc))
    where, environment = bench.log.read_text().splitlines()
    assert Path(where).parent == bench.folder.resolve()
    assert not Path(where).exists()
    printed, workers, libraries = environment.split(" ")
    assert (printed, int(workers) in range(1, 33)) == ("1", True)
    assert libraries.endswith("/latest/devlib")


def test_a_log_that_cannot_be_kept_is_quoted(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STANDIN_ATC_FAULT", "fail:E10001")
    bench.logs.write_text("a file where the folder should be")
    with pytest.raises(ArtifactError, match=r"the log could not be kept; it ends: ATC start .* ATC run failed"):
        bench.compile()
