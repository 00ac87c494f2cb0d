"""``inspect MODEL``: its tables, its JSON, where a roofline is drawn, and what is refused."""

from __future__ import annotations

import re
from collections import Counter
from itertools import product
from pathlib import Path

import pytest

from neonext_ascend.cost.count import count_network
from neonext_ascend.jobs.making.form import choose_form
from neonext_ascend.jobs.making.graphs import cell_costs, network_cost
from neonext_ascend.kernels.lowerings import legal
from neonext_ascend.machine.chips import SOCS
from neonext_ascend.models.variants import VARIANTS
from neonext_ascend.reporting.words import WIDTH
from neonext_ascend.spec import LAYOUTS
from tests.project.test_imports import loaded_by
from tests.support.outcome import Call, caller
from tests.support.pictures import texts_of

P3 = ["--soc-version", "Ascend310P3"]
T, CHIP = VARIANTS["neonext_t"].config, SOCS["Ascend310P3"]
CONFIG = """name = "mine"
definition = "paper"
depths = [1, 1, 2, 1]
widths = [16, 32, 64, 128]
num_classes = 10
image_size = 96
"""


@pytest.fixture
def call(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Call:
    """Runs ``inspect`` in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    return caller(capfd, "inspect")


def test_the_json_has_every_lowering_with_its_exact_counts(call: Call) -> None:
    data = call("neonext_t", *P3, "--batch-size", "1,8", "--json").json
    assert set(data) == {"model", "soc", "dtype", "assumptions", "stages", "network", "int8", "plot"}
    assert (data["model"], data["soc"], data["dtype"]) == ("neonext_t", "Ascend310P3", "fp16")
    rows = {(row["stage"], row["batch"], row["layout"], row["lowering"]): row for row in data["stages"]}
    assert len(rows) == len(data["stages"])
    sizes = T.stage_sizes()
    assert set(rows) == {
        (stage + 1, batch, layout, name)
        for stage, batch, layout in product(range(4), (1, 8), LAYOUTS)
        for name in legal(T.geometry(stage), *sizes[stage], layout)
    }
    for (stage, batch, layout, name), row in rows.items():
        geometry, (height, width) = T.geometry(stage - 1), sizes[stage - 1]
        cost = cell_costs(geometry, height, width, batch, layout, CHIP)[name]
        cells = zip(T.cells[stage - 1], geometry.groups, strict=True)
        useful = sum(2 * batch * group.channels * height * width * size for size, group in cells)
        assert row["blocks"] == T.depths[stage - 1]
        assert row["macs"] == {"useful": useful, "dense": cost.multiplications, "cube": cost.cube}
        assert row["bytes"] == sum(row["bytes_by"].values())
        assert row["bytes_by"]["activations"] == 2 * 2 * batch * geometry.channels * height * width
        assert row["intensity"] == 2 * useful / row["bytes"]
        assert row["estimate_us"] == cost.microseconds > 0


def test_one_row_a_stage_and_batch_is_chosen_and_it_is_what_the_export_takes(call: Call) -> None:
    data = call("neonext_t", *P3, "--batch-size", "1,8,32", "--json").json
    for batch in (1, 8, 32):
        (layout,) = [row["layout"] for row in data["network"] if row["batch"] == batch and row["chosen"]]
        assert layout == choose_form(T, "auto", "auto", CHIP, batch).layout
        assert choose_form(T, "auto", "auto", CHIP, batch).lowering == "blockdiag"
        for stage in range(4):
            (row,) = [r for r in data["stages"] if (r["stage"], r["batch"], r["chosen"]) == (stage + 1, batch, True)]
            assert (row["layout"], row["lowering"]) == (layout, "blockdiag")


def test_the_network_rows_are_the_cost_of_the_exported_graph(call: Call) -> None:
    data = call("neonext_t", *P3, "--batch-size", 8, "--json").json
    for row in data["network"]:
        cost = network_cost(T, row["layout"], "blockdiag", CHIP, 8)
        (estimate,) = cost.estimates
        useful = 8 * count_network(T).sparse
        assert row["macs"] == {"useful": useful, "dense": cost.multiplications, "cube": cost.cube}
        assert estimate.to_json().items() <= row.items()
        assert row["low"] < row["images_per_second"] < row["high"]
        assert row["images_per_second"] == pytest.approx(8e6 / row["estimate_us"])


def test_a_named_layout_is_the_only_one_and_is_chosen(call: Call) -> None:
    data = call("neonext_nano", *P3, "--layout", "chnw", "--json").json
    assert {row["layout"] for row in data["stages"]} == {"chnw"}
    assert [row["chosen"] for row in data["network"]] == [True]
    assert sum(row["chosen"] for row in data["stages"]) == 4


def test_the_words_fit_80_columns_and_every_time_is_an_estimate(call: Call) -> None:
    result = call("neonext_l_384", *P3, "--batch-size", "512", "--layout", "nchw")
    assert (result.code, result.err) == (0, "")
    lines = result.out.splitlines()
    assert max(map(len, lines)) <= WIDTH
    words = " ".join(result.out.split())
    assert "stage 4: 3 blocks, 1536 channels, 12x12 map, cells 4+7; one NeoCell costs" in words
    assert "an estimate in fp16, fitted on" in words
    assert "nothing ran" in words
    assert "of the time at batch 512: " in words
    assert "- GELU takes " in words
    assert "- int8: batch 512: about " in words
    headers = [line for line in lines if line.rstrip().endswith(("us", "between")) and line.startswith((" ", "batch"))]
    above = [lines[lines.index(line) - 1] for line in headers]
    assert len(headers) == 5
    assert all(line.rstrip().endswith(("estimate", "estimated images a second")) for line in above)
    chosen = [line for line in lines if re.match(r" +\d+ (nchw|chnw) .*\*", line)]
    assert len(chosen) == 4 + 1


def test_the_shares_of_the_time_make_the_whole_and_useful_above_dense_is_explained(call: Call) -> None:
    above = "useful is above dense where cells are larger than the map"
    words = " ".join(call("neonext_nano", *P3, "--layout", "nchw").out.split())
    assert above in words
    (told,) = re.findall("of the time at batch 1: (.*?) - ", words)
    shares = {kind: int(share) for kind, share in re.findall("([a-z ]+) ([0-9]+)%", told)}
    # Ninety microseconds of about two hundred; whole percents add up to within one for each.
    assert 40 <= shares["starting a run"] <= 45
    assert sum(shares.values()) == pytest.approx(100, abs=len(shares) / 2)
    assert above not in " ".join(call("neonext_t", *P3, "--layout", "nchw").out.split())


def test_what_int8_would_bring_neonext(call: Call) -> None:
    """In nchw all but the NeoCells, and little of it; in chnw almost nothing can be int8."""
    told = call("neonext_t", *P3, "--batch-size", "1,8", "--json").json["int8"]
    assert [(one["batch"], one["products"], one["quantisers"], one["made"]) for one in told] == [
        (1, 41, 38, False), (8, 41, 38, False),
    ]  # fmt: skip
    for one in told:
        assert one["share"] == pytest.approx(0.967, abs=0.002)
        assert one["low"] < 1 < one["factor"] < 1.08 < one["high"]
        assert one["verdict"] == "not worth it"
    (chnw,) = call("neonext_t", *P3, "--layout", "chnw", "--json").json["int8"]
    assert (chnw["products"], chnw["verdict"]) == (1, "not worth it")
    other = call("neonext_t", "--soc-version", "Ascend310B1", "--json").json
    assert other["int8"] == []
    assert any("no int8 figure of Ascend310B1 is published" in note for note in other["assumptions"])


def test_the_columns_stand_below_their_headers(call: Call) -> None:
    lines = call("neonext_t", *P3, "--batch-size", 8).out.splitlines()
    header = next(line for line in lines if line.startswith("batch layout lowering"))
    row = next(line for line in lines if "chnw   packed" in line)
    assert len(header) == len(row)
    ends = [match.end() for match in re.finditer(r"\S+", header)]
    for end in (ends[0], *ends[3:]):  # numbers are flush right
        assert row[end - 1] != " "
        assert row[end : end + 1] in (" ", "")
    assert "4.48" in row


def test_a_chip_without_figures_has_no_time_and_no_drawing(call: Call, tmp_path: Path) -> None:
    bare = ["--soc-version", "Ascend310P1"]
    data = call("neonext_nano", *bare, "--batch-size", 8, "--json").json
    assert {row["estimate_us"] for row in (*data["stages"], *data["network"])} == {None}
    assert {row["images_per_second"] for row in data["network"]} == {None}
    assert [(row["layout"], row["lowering"]) for row in data["stages"] if row["chosen"]] == [("nchw", "blockdiag")] * 4
    words = " ".join(call("neonext_nano", *bare).out.split())
    assert "no time is told" in words
    assert "nothing is published to estimate Ascend310P1 by" in words
    assert list(tmp_path.iterdir()) == []
    refused = call("neonext_nano", *bare, "--plot", "it.svg")
    assert refused.code == 2
    assert "take Ascend310P3" in refused.err


def test_a_network_of_ones_own_and_another_size(call: Call, tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(CONFIG, encoding="utf-8")
    data = call("--config", path, *P3, "--json", "--image-size", "128x160").json
    assert data["model"] == "mine"
    assert [row["blocks"] for row in data["stages"] if row["chosen"]] == [1, 1, 2, 1]
    small = call("--config", path, *P3, "--json").json
    assert small["stages"][0]["macs"]["useful"] * 128 * 160 == data["stages"][0]["macs"]["useful"] * 96 * 96


def test_a_roofline_is_drawn_where_it_is_asked_for(call: Call, tmp_path: Path) -> None:
    result = call("neonext_t", *P3, "--batch-size", "1,8,32", "--plot", "new/it.svg")
    assert result.out.splitlines()[-2:] == ["", "plot     new/it.svg"]
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["it.svg"]
    texts = texts_of((tmp_path / "new" / "it.svg").read_text(encoding="utf-8"))
    assert {"neonext_t on Ascend310P3", "batch 1", "batch 8", "batch 32", "stage 1", "stage 4"} <= set(texts)
    assert any(text.startswith("roof: 69.5 TFLOPS, derived; its slope: ") for text in texts)
    # What is chosen is named in its panel: once a stage and batch.
    named = Counter(text for text in texts if text.endswith(("hw", "nw")) and "," in text)
    assert named == {"blockdiag, nchw": 12}
    told = call("neonext_nano", *P3, "--plot", "it.svg", "--json").json
    assert told["plot"] == str(tmp_path / "it.svg")


def test_nothing_is_drawn_unasked(call: Call, tmp_path: Path) -> None:
    result = call("neonext_nano", *P3)
    assert result.code == 0
    assert "plot" not in result.out
    assert call("neonext_nano", *P3, "--json").json["plot"] is None
    assert list(tmp_path.iterdir()) == []


def test_a_file_goes_before_a_model_of_its_name(call: Call, tmp_path: Path) -> None:
    (tmp_path / "neonext_t").write_bytes(b"no model")
    result = call("neonext_t", *P3)
    assert result.code == 2
    assert "not an ONNX model" in result.err


def test_a_folder_of_a_models_name_is_no_file(call: Call, tmp_path: Path) -> None:
    (tmp_path / "neonext_nano").mkdir()
    assert call("neonext_nano", *P3).code == 0


def test_the_mark_is_explained_for_a_named_layout(call: Call) -> None:
    result = call("neonext_t", *P3, "--batch-size", 8, "--layout", "nchw")
    assert "what auto chooses" not in result.out
    assert "the lowering that auto takes in nchw" in result.out


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["neonext_tt", *P3], 2, "neonext_tt: no such file, and unknown model 'neonext_tt': did you mean neonext_t"),
        (["nothing.onnx", *P3], 5, "nothing.onnx: no such file; expected an ONNX file"),
        (["folder/neonext_t", *P3], 5, "no such file; expected an ONNX file"),
        (P3, 2, "neither FILE nor MODEL"),
        (["neonext_t", "--config", "mine.toml", *P3], 2, "both neonext_t and --config mine.toml; give one"),
        (["--config", "absent.toml", *P3], 5, "absent.toml: cannot read the configuration"),
        (["neonext_t", "--soc-version", "Ascend310Z9"], 2, "did you mean Ascend310P3?"),
        (["neonext_t"], 2, "Missing option '--soc-version'"),
        (["neonext_t", *P3, "--precision", "fp16"], 2, "counted in fp16; --precision belongs to a FILE"),
        (["neonext_t", *P3, "--batch-size", "0"], 2, "--batch-size 0: expected a whole number from 1 to 65536"),
        (["neonext_t", *P3, "--batch-size", "8,"], 2, "expected batch sizes with commas between, such as 1,2,4,8"),
        (["neonext_t", *P3, "--batch-size", "dynamic"], 2, "expected batch sizes with commas between"),
        (["neonext_t", *P3, "--image-size", "225"], 2, "near 225: 224"),
        (["neonext_t", *P3, "--plot", "it.png"], 2, "give a file name that ends in .svg"),
        (["neonext_t", *P3, "--plot", "/proc/no/it.svg"], 5, "cannot create this folder"),
    ],
)
def test_what_is_refused(call: Call, tmp_path: Path, arguments: list[str], code: int, words: str) -> None:
    result = call(*arguments)
    assert result.code == code
    assert words in result.err
    assert result.out == ""
    assert result.err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_a_folder_is_no_place_to_draw_in(call: Call, tmp_path: Path) -> None:
    (tmp_path / "it.svg").mkdir()
    result = call("neonext_t", *P3, "--plot", "it.svg")
    assert result.code == 2
    assert "is a folder" in result.err


def test_the_help_needs_nothing() -> None:
    assert loaded_by("from neonext_ascend.cli.main import run; run(['inspect', '--help'])") == set()
