"""ATC's options: illegal combinations against the stand-in, the exact command, error codes, AIPP's configuration."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper

from neonext_ascend.errors import ToolchainError, UsageError
from neonext_ascend.exporters.om_file.aipp import aipp_config
from neonext_ascend.exporters.om_file.codes import CODE, CODES, meaning
from neonext_ascend.exporters.om_file.command import AtcCommand, atc_command
from neonext_ascend.exporters.om_file.illegal import ILLEGAL, Call, find_illegal
from neonext_ascend.exporters.om_file.options import (
    PRECISIONS,
    RESERVED,
    AtcOptions,
    asked_flags,
    check_options,
    parse_extra,
)
from neonext_ascend.images.preprocessing import Preprocessing
from neonext_ascend.machine.chips import SOCS, find_soc
from neonext_ascend.spec import TensorSpec
from tests.standins.atc_contract import RefusedError
from tests.standins.atc_graph import read_aipp
from tests.standins.toolkit import make_toolkit

SOC = find_soc("Ascend310P3")
EDGE = find_soc("Ascend310B4")
PICTURES = Preprocessing((4, 6))
HW = "image:1,3,-1,-1"
TWO = f"{HW};mask:1,3,-1,-1"
DIMS = ("--input_format=ND",)

# (what, code, N of the ONNX file, options, further flags by --atc-arg); all of ASCEND_FACTS section 2, and what
# hicann/ge adds to it.
Row = tuple[str, str | None, int | None, dict[str, Any], tuple[str, ...]]
ILLEGAL_CALLS: list[Row] = [
    ("one gear", "E10035", None, {"gears": (4,)}, ()),
    ("101 gears", "E10036", None, {"gears": tuple(range(1, 102))}, ()),
    ("a gear twice", "E10039", None, {"gears": (1, 2, 2)}, ()),
    ("a gear of 0", "E10038", None, {"gears": (0, 2)}, ()),
    ("a negative gear", "E10003", None, {"gears": (-2, 2)}, ()),
    ("gears with a static batch", "E10031", 1, {"gears": (1, 2)}, ()),
    ("a batch of 0", "E10011", 0, {}, ()),
    ("a negative batch", "E10011", -3, {}, ()),
    ("a size of 0", "E10011", 1, {}, ("--input_shape=image:1,3,0,224",)),
    ("gears and image sizes", "E10009", None, {"gears": (1, 2)}, ("--dynamic_image_size=224,224;256,256",)),
    ("gears and dims", "E10009", None, {"gears": (1, 2)}, ("--dynamic_dims=224,224;256,256", *DIMS)),
    ("gears and a shape range", "E10009", None, {"gears": (1, 2)}, ("--input_shape_range=image:[1~8,3,224,224]",)),
    ("image sizes and dims", "E10009", 1, {}, ("--dynamic_image_size=224,224;256,256", "--dynamic_dims=1,1;2,2")),
    ("a range in the shape, with gears", "E10040", None, {"gears": (1, 2)}, ("--input_shape=image:1~8,3,224,224",)),
    ("-1 for H, with gears", "E10018", None, {"gears": (1, 2)}, ("--input_shape=image:-1,3,-1,224",)),
    ("-1 for H alone, with gears", "E10031", None, {"gears": (1, 2)}, ("--input_shape=image:1,3,-1,224",)),
    ("image sizes, no -1", "E10019", 1, {}, ("--dynamic_image_size=224,224;256,256",)),
    ("image sizes, -1 for N", "E10019", 1, {},
     ("--dynamic_image_size=224,224;256,256", "--input_shape=image:-1,3,-1,-1")),
    ("one image size", "E10035", 1, {}, ("--dynamic_image_size=224,224", f"--input_shape={HW}")),
    ("the same dims twice", "E10039", 1, {}, ("--dynamic_dims=9,9;9,9", f"--input_shape={HW}", *DIMS)),
    ("dims, too many -1", "E10046", 1, {}, ("--dynamic_dims=9;8", f"--input_shape={HW}", *DIMS)),
    ("dims, too many -1 together", "E10045", 1, {}, ("--dynamic_dims=9,9,9;8,8,8", f"--input_shape={TWO}", *DIMS)),
    ("dims, no -1", "E10001", 1, {}, ("--dynamic_dims=9;8", *DIMS)),
    ("dims without ND", "E10001", 1, {}, ("--dynamic_dims=9,9;8,8", f"--input_shape={HW}")),
    ("dims with AIPP", "E10001", 1, {"aipp": True}, ("--dynamic_dims=9,9;8,8", f"--input_shape={HW}", *DIMS)),
    ("both precision flags", "E10056", 1, {}, ("--precision_mode=force_fp16",)),
    ("both precision flags, with dashes", "E10056", 1, {}, ("-precision-mode=force_fp16",)),
    ("auto_tune_mode", "E10001", 1, {}, ("--auto_tune_mode=RL,GA",)),
    ("a wrong input format", "E10001", 1, {}, ("--input_format=NHWC",)),
    ("a wrong log level", "E10010", 1, {}, ("--log=verbose",)),
    ("a wrong debug level", "E10001", 1, {}, ("--op_debug_level=7",)),
    ("deterministic of 2", "E10006", 1, {}, ("--deterministic=2",)),
    ("a quantised model with gears", None, None, {"gears": (1, 2)}, ()),
    ("a range on 310B", "EZ3002", 1, {"soc": EDGE}, ("--input_shape=image:1~8,3,224,224",)),
    ("a free batch on 310B", "EZ3002", None, {"soc": EDGE}, ()),
    ("a range by its older flag on 310B", "EZ3002", 1, {"soc": EDGE}, ("--input_shape_range=image:[1~8,3,224,224]",)),
]  # fmt: skip


@pytest.fixture(scope="module")
def atc(tmp_path_factory: pytest.TempPathFactory) -> str:
    environment = make_toolkit(tmp_path_factory.mktemp("cann"))
    return f"{environment['ASCEND_TOOLKIT_HOME']}/bin/atc"


def command(options: AtcOptions, batch: int | None = 1, **further: Any) -> AtcCommand:
    spec = TensorSpec("image", "float32", ("batch" if batch is None else batch, 3, 4, 6))
    given = {"work": Path("/scratch/folder"), "preprocessing": PICTURES, **further}
    return atc_command(Path("/m/n.onnx"), Path("/o/n"), spec, options, **given)


@pytest.mark.parametrize("row", ILLEGAL_CALLS, ids=lambda row: row[0])
def test_what_is_illegal_is_refused_by_us_and_by_the_stand_in_with_the_same_code(
    row: Row, atc: str, tmp_path: Path
) -> None:
    what, code, batch, given, extra = row
    quantised = "quantised" in what
    options = AtcOptions(**{"soc": SOC, **given}, extra=extra)
    with pytest.raises(UsageError) as refusal:
        check_options(options, batch, quantised=quantised)
    if code is None:
        assert CODE.search(str(refusal.value)) is None
    else:
        assert f"({code})" in str(refusal.value)

    # Forced past us, the same call is refused by the stand-in.
    model = tmp_path / "n.onnx"
    model.write_bytes(quantised_model())
    spec = TensorSpec("image", "float32", ("batch" if batch is None else batch, 3, 224, 224))
    forced = atc_command(
        model,
        tmp_path / "n",
        spec,
        options,
        work=tmp_path,
        preprocessing=Preprocessing((224, 224)),
        atc=atc,
        force=True,
    )
    for name, text in forced.files.items():
        (tmp_path / name).write_text(text)
    done = subprocess.run(forced.argv, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "ATC run failed, Please check the detail log" in done.stdout
    assert CODE.findall(done.stdout) == ([] if code is None else [code])
    assert not list(tmp_path.glob("*.om"))


def quantised_model() -> bytes:
    """A model with an operator of the vendor's quantisation; it is looked at after the flags."""
    value = helper.make_tensor_value_info("image", TensorProto.FLOAT, ["batch", 3, 224, 224])
    node = helper.make_node("AscendQuant", ["image"], ["logits"], "quant")
    result = helper.make_tensor_value_info("logits", TensorProto.INT8, ["batch", 3, 224, 224])
    model = helper.make_model(
        helper.make_graph([node], "q", [value], [result]), opset_imports=[helper.make_opsetid("", 17)]
    )
    return bytes(model.SerializeToString())


def test_every_rule_of_ours_has_a_row_that_it_decides() -> None:
    decided = set()
    for what, _, batch, given, extra in ILLEGAL_CALLS:
        options = AtcOptions(**{"soc": SOC, **given}, extra=extra)
        flags = {**asked_flags(options, (-1 if batch is None else batch, 3, 224, 224)), **parse_extra(extra)}
        decided.add(find_illegal(Call(flags, options.soc, "quantised" in what)))
    assert decided == set(ILLEGAL)


@pytest.mark.parametrize(
    ("options", "batch"),
    [
        *((AtcOptions(soc), 1) for soc in SOCS.values()),
        *((AtcOptions(SOC, precision), 8) for precision in PRECISIONS),
        (AtcOptions(SOC, gears=(1, 2, 4, 8), aipp=True), None),
        (AtcOptions(EDGE, gears=tuple(range(1, 101))), None),
        (AtcOptions(SOC, keep_fp32=("head.ln",), extra=("--log=info", "--deterministic=1", "-op-debug-level=0")), 1),
    ],
)
def test_what_is_legal_is_allowed(options: AtcOptions, batch: int | None) -> None:
    check_options(options, batch)


@pytest.mark.parametrize("name", RESERVED)
def test_what_this_program_decides_is_not_for_atc_arg(name: str) -> None:
    with pytest.raises(UsageError, match=f"--atc-arg {name}: {re.escape(RESERVED[name])}"):
        check_options(AtcOptions(SOC, extra=(f"--{name}=anything",)), 1)


@pytest.mark.parametrize(
    ("options", "batch", "words"),
    [
        (AtcOptions(SOC, extra=("--dynamic_image_size=224,224;256,256",)), 1, "A and B of NeoCell are constants"),
        (AtcOptions(SOC, extra=("--dynamic_im=224,224;256,256",)), 1, "--atc-arg dynamic_image_size"),
        (AtcOptions(SOC, extra=("log",)), 1, "expected --name=value, such as --log=info"),
        (AtcOptions(SOC, extra=("--log=",)), 1, "expected --name=value"),
        (AtcOptions(SOC, extra=("--log=info", "-log=error")), 1, "--atc-arg log stands twice"),
        (AtcOptions(SOC), None, "give batch gears, such as --batch-gears 1,2,4,8"),
        (AtcOptions(SOC, "origin", keep_fp32=("head",)), 1, "void with --precision origin"),
        (AtcOptions(SOC, "fp8"), 1, r"'fp8' \(E10001\): expected one of fp16"),  # type: ignore[arg-type]
    ],
)  # fmt: skip
def test_other_refusals_say_what_to_do(options: AtcOptions, batch: int | None, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        check_options(options, batch)


def test_the_command_names_all_that_matters(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _: range(48))
    made = command(AtcOptions(SOC))
    assert made.argv == (
        "atc",
        "--framework=5",
        "--model=/m/n.onnx",
        "--output=/o/n",
        "--soc_version=Ascend310P3",
        "--input_shape=image:1,3,4,6",
        "--input_format=NCHW",
        "--precision_mode_v2=fp16",
    )
    assert made.environ == {"ASCEND_SLOG_PRINT_TO_STDOUT": "1", "TE_PARALLEL_COMPILER": "32"}
    assert made.files == {}
    full = command(
        AtcOptions(SOC, gears=(1, 8), aipp=True, keep_fp32=("a.b", "c"), extra=("log=info",)), None, atc="/x/atc"
    )
    assert full.argv[0] == "/x/atc"
    assert set(full.argv[5:]) == {
        "--input_shape=image:-1,3,4,6",
        "--input_format=NCHW",
        "--dynamic_batch_size=1,8",
        "--precision_mode_v2=fp16",
        "--keep_dtype=/scratch/folder/keep_dtype.cfg",
        "--insert_op_conf=/scratch/folder/aipp.cfg",
        "--log=info",
    }
    assert full.files["keep_dtype.cfg"] == "a.b\nc\n"
    assert full.files["aipp.cfg"] == aipp_config(PICTURES)


@pytest.mark.parametrize(
    ("precision", "older"),
    [("fp16", "force_fp16"), ("origin", "must_keep_origin_dtype"), ("mixed_float16", "allow_mix_precision")],
)
def test_an_older_toolkit_gets_the_same_precision_by_its_older_name(precision: Any, older: str) -> None:
    argv = command(AtcOptions(SOC, precision), precision_flag="precision_mode").argv
    assert [word for word in argv if "precision" in word] == [f"--precision_mode={older}"]


def test_what_cannot_be_put_into_a_command_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ToolchainError, match="cube_fp16in_fp32out: this toolkit's atc lacks it"):
        command(AtcOptions(SOC, "cube_fp16in_fp32out"), precision_flag="precision_mode")
    with pytest.raises(UsageError, match="--aipp needs the preprocessing"):
        command(AtcOptions(SOC, aipp=True), preprocessing=None)
    with pytest.raises(UsageError, match=r"\(E10031\)"):
        command(AtcOptions(SOC, gears=(1, 2)), 1)


def test_off_the_device_the_toolkits_stubs_come_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LD_LIBRARY_PATH", raising=False)
    assert command(AtcOptions(SOC), toolkit=tmp_path).environ["LD_LIBRARY_PATH"] == f"{tmp_path}/devlib"
    monkeypatch.setenv("LD_LIBRARY_PATH", "/driver/lib64")
    assert command(AtcOptions(SOC), toolkit=tmp_path).environ["LD_LIBRARY_PATH"] == f"/driver/lib64:{tmp_path}/devlib"


def test_every_code_that_can_be_met_has_a_meaning() -> None:
    assert {row[1] for row in ILLEGAL_CALLS} - {None} <= set(CODES)
    named = "E10001 E10009 E10011 E10016 E10018 E10019 E10031 E10035 E10036 E10039 E10040 E10045 E10046 E10054 E10056"
    assert set(f"{named} E10410 E10501 E16002 E19999 EZ3002 EZ3003".split()) <= set(CODES)
    assert meaning("E19999").internal
    assert meaning("EZ9999").internal
    assert not meaning("E16002").internal
    assert "does not know" in meaning("E12345").says


@pytest.mark.parametrize(
    "pictures",
    [
        Preprocessing((4, 6)),
        Preprocessing((4, 6), None, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
        Preprocessing((4, 6), None, (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)),
        Preprocessing((4, 6), None, (0.0, 1.0, 0.1), (1.0, 0.003, 0.229)),
    ],
)
def test_aipp_normalises_as_the_host_does(pictures: Preprocessing) -> None:
    """The guide's formula on the written numbers, and once more with the fields rounded as the device holds them."""
    pixels = np.arange(256, dtype=np.uint8).repeat(3).reshape(1, 16, 16, 3)
    want = pictures.normalise(pixels)
    text = aipp_config(pictures)

    def field(name: str) -> Any:
        found = [re.findall(rf"^ *{name}_chn_{i}: (\S+)$", text, re.MULTILINE) for i in range(3)]
        return np.array([float(values) for (values,) in found], np.float32).reshape(1, 3, 1, 1)

    chw = np.moveaxis(pixels, -1, -3).astype(np.float32)
    got = (chw - field("mean") - field("min")) * field("var_reci")
    scale = max(1.0, float(np.abs(want).max()))
    assert np.abs(got - want).max() / scale <= 1e-5
    held = {
        name: np.array(values, np.float32).reshape(1, 3, 1, 1)
        for name, values in read_aipp(text).items()
        if name != "size"
    }
    rounded = (chw - held["mean"] - held["min"]) * held["var"]
    # fp16 has 11 bits; a mean that was not split would be off by up to 0.03 / 58 more.
    assert np.abs(rounded - want).max() / scale <= 2**-11 + 1e-5


def test_the_stand_in_reads_a_configuration_strictly() -> None:
    good = aipp_config(PICTURES)
    assert read_aipp(good)["size"] == [4.0, 6.0]
    assert read_aipp(good)["mean"] == [123.0, 116.0, 103.0]
    for old, new in (
        ("mean_chn_0: 123", "mean_chn_0: 123.675"),
        ("mean_chn_0: 123", "mean_chn_0: 256"),
        ("RGB888_U8", "YUV420SP_U8"),
        ("csc_switch", "csc_swich"),
        ("    min_chn_1", "    mean_chn_0"),
        ("}", "  padding: true\n}"),
        ("aipp_op", "aipp"),
    ):
        assert old in good
        with pytest.raises(RefusedError) as refusal:
            read_aipp(good.replace(old, new))
        assert refusal.value.code == "E10052"


@pytest.mark.parametrize(("mean", "std"), [(1.5, 0.2), (-0.1, 0.2), (0.5, 0.0), (0.5, float("nan"))])
def test_aipp_refuses_what_its_fields_do_not_hold(mean: float, std: float) -> None:
    with pytest.raises(UsageError, match="AIPP: mean"):
        aipp_config(Preprocessing((4, 6), None, (mean,) * 3, (std,) * 3))


def test_the_lower_half_of_the_exporter_needs_neither_torch_nor_onnx() -> None:

    code = (
        "import sys, neonext_ascend.exporters.om_file.compile, neonext_ascend.exporters.om_file.options; "
        "sys.exit(bool({'torch', 'onnx', 'onnxruntime'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
