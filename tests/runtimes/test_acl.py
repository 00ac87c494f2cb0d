"""The pyACL runner against the strict stand-in: numbers, gears, AIPP, order, and a fault at every single call.

The stand-in follows the documented contract and computes with ONNX Runtime; nothing here says what a card does.
"""

from __future__ import annotations

import subprocess
import sys
import threading
import types
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from neonext_ascend.artifacts.manifest import (
    Artifact,
    ArtifactFile,
    Compilation,
    Manifest,
    OnnxSource,
    Weights,
    manifest_path,
)
from neonext_ascend.errors import ArtifactError, FileAccessError, NeoNextError, ToolchainError, UsageError
from neonext_ascend.exporters import export_onnx
from neonext_ascend.images.preprocessing import preprocessing_for
from neonext_ascend.machine.cann import Cann, Device
from neonext_ascend.models.neonext import build, redraw_at_order_one
from neonext_ascend.models.variants import VARIANTS
from neonext_ascend.passes import prepare
from neonext_ascend.runtimes.acl.runner import AclRunner
from neonext_ascend.runtimes.ort import OrtRunner
from neonext_ascend.spec import TensorSpec
from tests import ROOT
from tests.standins import acl
from tests.standins.om_file import StandinOm

SOC, VERSION = "Ascend310P3", "8.5.0"
CANN = Cann(toolkit=Path("/cann"), version=VERSION, devices=(Device(0, "310P3"),))
# The same ONNX file with and without graph optimisations: the summation order differs.
SAME = 5e-6
Array = NDArray[Any]


@dataclass(frozen=True)
class Case:
    """An OM beside its manifest, feeds, and what ONNX Runtime makes of them."""

    om: Path
    feeds: tuple[Array, ...]
    wanted: tuple[Array, ...]


@pytest.fixture(scope="module")
def cases(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Case]:
    folder = tmp_path_factory.mktemp("oms")
    net = build(VARIANTS["neonext_nano"].config)
    redraw_at_order_one(net)
    prepared, _ = prepare(net, defer=True)
    random = np.random.RandomState(3)
    made = {}
    for name, gears, batches in (("static", (), (1, 1)), ("gears", (1, 2, 4), (2, 4, 1)), ("aipp", (), (1, 1))):
        path = folder / f"{name}.onnx"
        artifact = export_onnx(prepared, path, batch_size=None if gears else 1)
        inputs, preprocessing = artifact.inputs, preprocessing_for("neonext_nano", (96, 96))
        if name == "aipp":
            inputs = (TensorSpec("image", "uint8", (1, 96, 96, 3)),)
            preprocessing = replace(preprocessing, normalised_on="device")
        manifest = Manifest(
            artifact=Artifact(
                format="om",
                dtype="fp16",
                opset=17,
                layout="nchw",
                files=(ArtifactFile(f"{name}.om", "ab" * 32, 1),),
            ),
            inputs=inputs,
            outputs=artifact.outputs,
            network=net.config.to_json(),
            weights=Weights("seed", seed=0),
            preprocessing=preprocessing,
            labels=tuple(map(str, range(10))),
            points={},
            checksums={},
            passes={},
            parity=None,
            reference=None,
            tool="neonext-ascend 0",
            environment={},
            compilation=Compilation(
                SOC, VERSION, "fp16", (), gears, name == "aipp", (), None, OnnxSource(path.name, "cd" * 32, 1)
            ),
        )
        feeds: list[Array]
        if name == "aipp":
            feeds = [random.randint(0, 256, (b, 96, 96, 3)).astype(np.uint8) for b in batches]
            floats = [preprocessing.normalise(pixels) for pixels in feeds]
        else:
            feeds = floats = [random.standard_normal((b, 3, 96, 96)).astype(np.float32) for b in batches]
        with OrtRunner(path) as ort:
            wanted = tuple(ort.infer({"image": feed})["logits"] for feed in floats)
        om = folder / f"{name}.om"
        data = _normalising(path.read_bytes()) if name == "aipp" else path.read_bytes()
        StandinOm(SOC, VERSION, gears, data).write(om)
        manifest.write(manifest_path(om))
        made[name] = Case(om, tuple(feeds), wanted)
    return made


def _normalising(model: bytes) -> bytes:
    """What AIPP adds in front: uint8 ``(N, H, W, 3)``, mean and std of 127.5."""
    proto = onnx.load_from_string(model)
    for node in proto.graph.node:
        node.input[:] = ["normalised" if name == "image" else name for name in node.input]
    for name, value in (("aipp.mean", 127.5), ("aipp.scale", 1 / 127.5)):
        proto.graph.initializer.append(numpy_helper.from_array(np.array([value], np.float32), name))
    front = [
        helper.make_node("Cast", ["image"], ["aipp.cast"], to=TensorProto.FLOAT),
        helper.make_node("Transpose", ["aipp.cast"], ["aipp.nchw"], perm=[0, 3, 1, 2]),
        helper.make_node("Sub", ["aipp.nchw", "aipp.mean"], ["aipp.centred"]),
        helper.make_node("Mul", ["aipp.centred", "aipp.scale"], ["normalised"]),
    ]
    nodes = [*front, *proto.graph.node]
    del proto.graph.node[:], proto.graph.input[:]
    proto.graph.node.extend(nodes)
    proto.graph.input.append(helper.make_tensor_value_info("image", TensorProto.UINT8, [1, 96, 96, 3]))
    serialized: bytes = proto.SerializeToString()
    return serialized


@pytest.fixture(autouse=True)
def card(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A process with the stand-in; nothing against the contract may have happened in it."""
    acl.reset()
    monkeypatch.setitem(sys.modules, "acl", acl)
    yield
    acl.reset()


def run(runner: AclRunner, case: Case) -> None:
    """All feeds, compared."""
    for feed, want in zip(case.feeds, case.wanted, strict=True):
        got = runner.infer({"image": feed})["logits"]
        assert got.shape == want.shape
        assert np.abs(got - want).max() <= SAME * np.abs(want).max()


def use(case: Case) -> None:
    """Load, run, release."""
    with AclRunner(case.om, cann=CANN) as runner:
        run(runner, case)


KINDS = ("static", "gears", "aipp")


@pytest.mark.parametrize("pointers", ["bytes", "numpy"])
@pytest.mark.parametrize("kind", KINDS)
def test_an_om_gives_the_numbers_of_its_onnx_file(kind: str, pointers: str, cases: dict[str, Case]) -> None:
    acl.configure(pointers=pointers)
    use(cases[kind])
    assert acl.leaks() == []
    asked = {"bytes": "acl.util.bytes_to_ptr", "numpy": "acl.util.numpy_to_ptr"}[pointers]
    assert acl.calls.count(asked) == len(cases[kind].feeds)


def test_the_calls_are_the_documented_ones_and_the_release_is_their_reverse(cases: dict[str, Case]) -> None:
    with AclRunner(cases["gears"].om, cann=CANN) as runner:
        assert runner.where == "pyACL, Ascend310P3, device 0"
        assert runner.gears == (1, 2, 4)
        assert runner.inputs[0] == TensorSpec("image", "float32", ("batch", 3, 96, 96))
        assert runner.outputs[0] == TensorSpec("logits", "float32", ("batch", 10))
        loaded = len(acl.calls)
        runner.infer({"image": cases["gears"].feeds[0]})
        ran = len(acl.calls)
    one_buffer = ["acl.rt.malloc", "acl.create_data_buffer", "acl.mdl.add_dataset_buffer"]
    asking = ("acl.mdl.get_num_", "acl.mdl.get_input_", "acl.mdl.get_output_", "acl.get_soc_name")
    assert [name for name in acl.calls[:loaded] if not name.startswith(asking)] == [
        "acl.init", "acl.rt.set_device", "acl.rt.create_context", "acl.mdl.load_from_file", "acl.mdl.create_desc",
        "acl.mdl.get_desc", "acl.mdl.create_dataset", *one_buffer, *one_buffer, "acl.mdl.create_dataset", *one_buffer,
        "acl.rt.malloc_host",
    ]  # fmt: skip
    assert acl.calls[loaded:ran] == [
        "acl.rt.set_context", "acl.util.bytes_to_ptr", "acl.rt.memcpy", "acl.mdl.set_dynamic_batch_size",
        "acl.mdl.execute", "acl.mdl.get_cur_output_dims", "acl.rt.memcpy", "acl.util.ptr_to_bytes",
    ]  # fmt: skip
    one_back = ["acl.destroy_data_buffer", "acl.rt.free"]
    assert acl.calls[ran:] == [
        "acl.rt.set_context", "acl.rt.free_host", *one_back, "acl.mdl.destroy_dataset", *one_back, *one_back,
        "acl.mdl.destroy_dataset", "acl.mdl.unload", "acl.mdl.destroy_desc", "acl.rt.destroy_context",
        "acl.rt.reset_device", "acl.finalize",
    ]  # fmt: skip


# What a failing release leaves, and nothing else; the others leave nothing at all.
RELEASES = {
    "acl.destroy_data_buffer": "data buffer",
    "acl.rt.free": "device memory",
    "acl.rt.free_host": "host memory",
    "acl.mdl.destroy_dataset": "dataset",
    "acl.mdl.unload": "model",
    "acl.mdl.destroy_desc": "desc",
    "acl.rt.destroy_context": "context",
    "acl.rt.reset_device": "device",
    "acl.finalize": "initialised",
}


@pytest.mark.parametrize("how", ["code", "raise", "none"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_fault_at_every_single_call_is_a_clear_error_and_leaves_nothing(
    kind: str, how: Any, cases: dict[str, Case]
) -> None:
    use(cases[kind])
    calls = list(acl.calls)
    assert len(calls) > 40
    for number, name in enumerate(calls):
        acl.reset()
        acl.fail_at(number, how)
        if name == "acl.get_soc_name":  # asked for words alone
            with AclRunner(cases[kind].om, cann=CANN) as runner:
                assert runner.where == "pyACL, device 0"
                run(runner, cases[kind])
        else:
            with pytest.raises(NeoNextError) as caught:
                use(cases[kind])
            message = str(caught.value)
            assert f"{name} " in message, message
            assert message.startswith(str(cases[kind].om))
            assert "\n" not in message
            if how == "raise":
                assert "RuntimeError: injected" in message
            assert isinstance(caught.value, ToolchainError | ArtifactError)
        left = acl.leaks()
        kind_left = RELEASES.get(name)
        if kind_left is None:
            assert left == [], (number, name)
        else:
            assert [words.split(" 0x")[0].removesuffix(" 0") for words in left] == [kind_left], (number, name)
        # The process goes on; ACL and the device, if they were left, are given back now.
        use(cases[kind])
        stays = [] if kind_left in ("device", "initialised") else left
        assert acl.leaks() == stays, (number, name)


def test_an_interrupt_while_loading_gives_everything_back(
    cases: dict[str, Case], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> int:
        raise KeyboardInterrupt

    for where in ("set_device", "malloc_host"):
        with monkeypatch.context() as patch:
            patch.setattr(acl.rt, where, interrupted)
            with pytest.raises(KeyboardInterrupt):
                AclRunner(cases["static"].om, cann=CANN)
        assert acl.leaks() == []


def test_of_two_failing_releases_the_first_is_told_and_the_rest_is_done(cases: dict[str, Case]) -> None:
    runner = AclRunner(cases["static"].om, cann=CANN)
    acl.fail_on("acl.rt.free")
    acl.fail_on("acl.mdl.unload", "raise")
    with pytest.raises(ToolchainError, match=r"acl\.rt\.free failed with code 500000 \(injected"):
        runner.close()
    assert sorted(words.split(" 0x")[0] for words in acl.leaks()) == ["device memory", "model"]
    runner.close()
    with pytest.raises(UsageError, match="closed"):
        runner.infer({"image": cases["static"].feeds[0]})


def test_an_error_of_one_run_leaves_the_runner_usable(cases: dict[str, Case]) -> None:
    with AclRunner(cases["gears"].om, cann=CANN) as runner:
        acl.fail_on("acl.mdl.execute")
        with pytest.raises(ToolchainError, match=r"acl\.mdl\.execute"):
            run(runner, cases["gears"])
        run(runner, cases["gears"])
        with pytest.raises(UsageError, match="batch 3; this artifact takes the batch gears 1, 2, 4"):
            runner.infer({"image": np.zeros((3, 3, 96, 96), np.float32)})
        run(runner, cases["gears"])
    assert acl.leaks() == []


def test_several_runners_share_one_acl_and_any_thread_may_run(cases: dict[str, Case]) -> None:
    first, second, third = (
        AclRunner(cases[kind].om, device, CANN) for kind, device in (("static", 0), ("gears", 0), ("aipp", 1))
    )
    assert third.where == "pyACL, Ascend310P3, device 1"
    run(first, cases["static"])
    run(third, cases["aipp"])
    errors: list[BaseException] = []

    def work() -> None:
        try:
            run(second, cases["gears"])
            second.close()
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert errors == []
    third.close()
    run(first, cases["static"])
    first.close()
    assert acl.leaks() == []
    assert [acl.calls.count(name) for name in ("acl.init", "acl.finalize")] == [1, 1]
    assert [acl.calls.count(name) for name in ("acl.rt.set_device", "acl.rt.reset_device")] == [2, 2]


def test_a_load_that_fails_beside_an_open_runner_leaves_that_one_running(cases: dict[str, Case]) -> None:
    with AclRunner(cases["static"].om, cann=CANN) as runner:
        for name in ("acl.rt.malloc", "acl.mdl.load_from_file"):
            acl.fail_on(name)
            with pytest.raises(NeoNextError, match=name):
                AclRunner(cases["gears"].om, cann=CANN)
        with pytest.raises(
            ToolchainError, match=r"acl\.rt\.set_device failed with code 107001 \(there is no device 7\)"
        ):
            AclRunner(cases["gears"].om, 7, CANN)
        run(runner, cases["static"])
    assert acl.leaks() == []


def test_what_somebody_else_initialised_is_not_ended(cases: dict[str, Case]) -> None:
    assert acl.init() == 0
    use(cases["static"])
    assert acl.leaks() == ["device 0", "initialised"]
    assert not {"acl.finalize", "acl.rt.reset_device"} & set(acl.calls)


@pytest.mark.parametrize(
    ("change", "cann", "words"),
    [
        ({"soc_version": "Ascend910B3"}, CANN, "compiled for Ascend910B3, this is a Ascend310P3; export again with"),
        ({"cann_version": "8.5.1"}, CANN, "compiled by CANN 8.5.1, this is the older 8.5.0; update CANN here"),
        ({}, replace(CANN, version="8.3.RC1"), "compiled by CANN 8.5.0, this is the older 8.3.RC1"),
        ({"platform": "linux_sparc"}, CANN, "ATC bound it to linux_sparc, this is linux_"),
    ],
)
def test_an_om_of_another_machine_is_refused_before_the_driver_is_touched(
    change: dict[str, Any],
    cann: Cann,
    words: str,
    cases: dict[str, Case],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    om = _copy(cases["static"], tmp_path, **change)
    with pytest.raises(ArtifactError, match=words):
        AclRunner(om, cann=cann)
    assert acl.calls == []
    monkeypatch.setitem(sys.modules, "acl", None)  # it is not even imported
    with pytest.raises(ArtifactError, match=words):
        AclRunner(om, cann=cann)


@pytest.mark.parametrize(
    ("change", "cann"),
    [
        ({"cann_version": "8.3.RC1"}, CANN),
        ({"cann_version": None}, CANN),
        ({}, Cann()),
        ({}, replace(CANN, version="main")),
    ],
)
def test_an_older_or_unknown_version_is_not_refused(
    change: dict[str, Any], cann: Cann, cases: dict[str, Case], tmp_path: Path
) -> None:
    with AclRunner(_copy(cases["static"], tmp_path, **change), cann=cann) as runner:
        run(runner, cases["static"])


def test_where_npu_smi_is_missing_acl_tells_the_chip_before_the_model_is_loaded(cases: dict[str, Case]) -> None:
    acl.configure(soc="Ascend910B3")
    with pytest.raises(ArtifactError, match="compiled for Ascend310P3, this is a Ascend910B3"):
        AclRunner(cases["static"].om, cann=Cann())
    assert "acl.mdl.load_from_file" not in acl.calls
    assert acl.leaks() == []


def _copy(case: Case, folder: Path, **compilation: Any) -> Path:
    """The OM in another folder, its manifest's compilation changed."""
    from neonext_ascend.artifacts.reading import read_manifest

    manifest = read_manifest(manifest_path(case.om))
    assert manifest.compilation is not None
    om = folder / case.om.name
    om.write_bytes(case.om.read_bytes())
    replace(manifest, compilation=replace(manifest.compilation, **compilation)).write(manifest_path(om))
    return om


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "empty.om").touch()
    (tmp_path / "folder.om").mkdir()
    for name, words in (
        ("none.om", "No such file"),
        ("empty.om", "is empty"),
        ("folder.om", "is not a regular file; expected an OM"),
    ):
        with pytest.raises(FileAccessError, match=words):
            AclRunner(tmp_path / name, cann=CANN)
    assert acl.calls == []


def test_what_is_no_om_is_refused_by_the_call_that_loads_it(cases: dict[str, Case], tmp_path: Path) -> None:
    om = _copy(cases["static"], tmp_path)
    om.write_bytes(b"IMOD garbage")
    with pytest.raises(ArtifactError, match=r"load_from_file failed with code 500002 \(cannot load.*export it again"):
        AclRunner(om, cann=CANN)
    assert acl.leaks() == []


def test_a_static_om_does_without_a_manifest_and_gears_do_not(cases: dict[str, Case], tmp_path: Path) -> None:
    for kind in ("static", "gears"):
        (tmp_path / f"{kind}.om").write_bytes(cases[kind].om.read_bytes())
    with AclRunner(tmp_path / "static.om", cann=CANN) as runner:
        assert runner.inputs == (TensorSpec("image", "float32", (1, 3, 96, 96)),)
        assert runner.outputs == (TensorSpec("logits", "float32", (1, 10)),)
        run(runner, cases["static"])
    with pytest.raises(ArtifactError, match=r"takes batch gears .* no manifest beside it says which"):
        AclRunner(tmp_path / "gears.om", cann=CANN)
    assert acl.leaks() == []


@pytest.mark.parametrize(
    ("kind", "beside", "words"),
    [
        ("static", "gears", "manifest names the batch gears 1, 2, 4, and it has no input ascend_mbatch_shape_data"),
        ("gears", "static", "takes batch gears"),
        ("static", "aipp", r"input image takes 110592 bytes, image uint8\[1, 96, 96, 3\] has 27648"),
    ],
)
def test_a_manifest_of_another_om_is_refused(
    kind: str, beside: str, words: str, cases: dict[str, Case], tmp_path: Path
) -> None:
    om = _copy(cases[beside], tmp_path)
    om.write_bytes(cases[kind].om.read_bytes())
    with pytest.raises(ArtifactError, match=words):
        AclRunner(om, cann=CANN)
    assert acl.leaks() == []


@pytest.mark.parametrize(
    ("where", "name", "answer", "words"),
    [
        ("mdl", "load_from_file", 7, r"acl\.mdl\.load_from_file returned 7; expected a pair"),
        ("mdl", "get_num_inputs", 2, "it has 2 inputs, its manifest names 1"),
        ("mdl", "get_num_outputs", 2, "it has 2 outputs, its manifest names 1"),
        ("mdl", "get_output_data_type", 27, r"acl\.mdl\.get_output_data_type says 27 of output 0"),
        ("mdl", "get_cur_output_dims", ({"dims": "1,10"}, 0), "describes a shape as .*expected dims"),
        ("mdl", "get_cur_output_dims", ({"dims": [2, 10]}, 0), r"shape \(2, 10\), its buffer 40 bytes"),
        ("mdl", "get_cur_output_dims", ({"dims": [-1, -10]}, 0), r"shape \(-1, -10\), its buffer 40 bytes"),
        ("util", "ptr_to_bytes", b"1234", "gave 4 bytes of output 0; expected 40"),
    ],
)
def test_answers_that_cannot_be_are_told(
    where: str, name: str, answer: Any, words: str, cases: dict[str, Case], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(getattr(acl, where), name, lambda *_: answer)
    monkeypatch.setattr(acl.mdl, "get_input_name_by_index", lambda *_: "image")
    with pytest.raises((ArtifactError, ToolchainError), match=words):
        use(cases["static"])
    assert acl.leaks() == []


def test_a_dynamic_shape_without_gears_and_gears_of_a_static_one_are_refused(
    cases: dict[str, Case], tmp_path: Path
) -> None:
    om = _copy(cases["gears"], tmp_path, gears=())
    om.write_bytes(cases["static"].om.read_bytes())
    with pytest.raises(
        ArtifactError, match=r"image float32\[batch, 3, 96, 96\] has a dynamic shape and no batch gears"
    ):
        AclRunner(om, cann=CANN)
    om = _copy(cases["static"], tmp_path, gears=(1, 2))
    om.write_bytes(cases["gears"].om.read_bytes())
    with pytest.raises(ArtifactError, match=r"has batch gears and the static input image"):
        AclRunner(om, cann=CANN)
    assert acl.leaks() == []


def test_without_a_manifest_a_dynamic_shape_is_refused(
    cases: dict[str, Case], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.om").write_bytes(cases["static"].om.read_bytes())
    monkeypatch.setattr(acl.mdl, "get_input_dims", lambda *_: ({"name": "image", "dims": [-1, 3, 96, 96]}, 0))
    with pytest.raises(ArtifactError, match=r"input image has the shape \[-1, 3, 96, 96\]; expected a static one"):
        AclRunner(tmp_path / "a.om", cann=CANN)


def test_an_error_needs_no_further_words_from_acl(cases: dict[str, Case], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(acl, "get_recent_err_msg")
    acl.fail_on("acl.rt.malloc")
    with pytest.raises(
        ToolchainError, match=r"acl\.rt\.malloc failed with code 500000; the device's memory may be full"
    ):
        AclRunner(cases["static"].om, cann=CANN)


def test_without_pyacl_it_says_what_is_missing(cases: dict[str, Case], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "acl", None)
    with pytest.raises(ToolchainError, match=r"needs the Python module acl: .*CANN toolkit: source its set_env\.sh"):
        AclRunner(cases["static"].om, cann=CANN)
    monkeypatch.setitem(sys.modules, "acl", types.ModuleType("acl"))
    with pytest.raises(ToolchainError, match="is not pyACL"):
        AclRunner(cases["static"].om, cann=CANN)
    monkeypatch.setitem(sys.modules, "acl", acl)
    monkeypatch.delattr(acl.mdl, "get_cur_output_dims")
    with pytest.raises(ToolchainError, match=r"this pyACL has no acl\.mdl\.get_cur_output_dims"):
        use(cases["static"])
    assert acl.leaks() == []


def test_in_a_process_of_its_own_the_stand_in_is_found_on_the_path(cases: dict[str, Case]) -> None:
    code = (
        "import sys, numpy as np; from pathlib import Path; from neonext_ascend.runtimes.acl.runner import AclRunner;"
        "r = AclRunner(Path(sys.argv[1]));"
        "print(r.infer({'image': np.ones((1, 3, 96, 96))})['logits'].shape, r.where); r.close();"
        "import acl; print(acl.leaks(), 'torch' in sys.modules)"
    )
    site = ROOT / "tests" / "standins" / "site"
    for environment in ({"PYTHONPATH": f"{site}:{ROOT}"}, {"PYTHONPATH": str(site), "STANDINS_ROOT": str(ROOT)}):
        done = subprocess.run(
            [sys.executable, "-W", "error", "-c", code, str(cases["static"].om)],
            env={"PATH": "", **environment},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.stdout.splitlines() == ["(1, 10) pyACL, Ascend310P3, device 0", "[] False"], done.stderr
