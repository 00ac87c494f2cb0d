"""The benchmark page is what the code makes of the committed figures; what it computes is right. Nothing is timed."""

from __future__ import annotations

import importlib.util
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from benchmarks import run
from benchmarks.measure import feeding, training_step
from benchmarks.measure.cell_file import from_layout, in_layout, work, write_cell, write_depthwise, write_program
from benchmarks.measure.cuda import bounds_of as cuda_bounds
from benchmarks.measure.cuda import forms
from benchmarks.measure.floor import Floor, remaining_ratio
from benchmarks.measure.growth import COUNTS, FORMS, SWEEPS, Case, patches, predicted_exponent
from benchmarks.measure.neocell import bounds_of as cell_bounds
from benchmarks.measure.networks import LARGEST_RATIO, RIVAL
from benchmarks.measure.networks import bounds_of as network_bounds
from benchmarks.measure.operators import ADDING, EDGES, GELU, MIXING, POINTWISE, place
from benchmarks.measure.ort_run import InPlace, check
from benchmarks.measure.peaks import GEMM_SIDES, gemm_peak
from benchmarks.measure.timing import Spread, ratios
from benchmarks.outcome import Bound, conclude, rounded
from benchmarks.page.cells import factors
from benchmarks.page.document import IMAGES, PAGE, page, pictures
from benchmarks.page.fit import fit_power_law
from benchmarks.page.parts import paragraph
from benchmarks.page.plots import growth, networks
from benchmarks.rivals.patchwise import Patchwise
from benchmarks.rivals.table import RIVALS, build_rival
from benchmarks.sections import ROOT, SECTIONS, read_documents
from neonext_ascend.drawing.style import BLUE, GREY
from neonext_ascend.kernels.geometry import Cell, CellGroup, Geometry
from neonext_ascend.kernels.lowerings import legal, lower
from neonext_ascend.kernels.reference import neocell_patchwise
from neonext_ascend.models.neocell import NeoCell
from neonext_ascend.models.neonext import redraw_at_order_one
from neonext_ascend.models.variants import find_variant
from neonext_ascend.spec import LAYOUTS, Layout
from tests.support.pictures import assert_same_picture, marks_of, texts_of

AVX2, AVX512 = {"vector_units": ["avx2"]}, {"vector_units": ["avx2", "avx512f"]}


def drawn_cell(geometry: Geometry) -> NeoCell:
    cell = NeoCell(geometry).eval()
    redraw_at_order_one(cell)
    return cell


# The page


def test_the_committed_page_is_what_the_code_makes_of_the_committed_figures() -> None:
    documents = read_documents(ROOT)
    assert set(SECTIONS) <= set(documents), "run: make bench"
    assert (ROOT / PAGE).read_text(encoding="utf-8") == page(documents), "run: python -m benchmarks.page.document"


def test_the_committed_plots_are_what_the_code_draws() -> None:
    drawn = pictures(read_documents(ROOT))
    assert {path.name for path in (ROOT / IMAGES).glob("bench_*.svg")} == set(drawn)
    for name, svg in drawn.items():  # run: python -m benchmarks.page.document
        assert_same_picture((ROOT / IMAGES / name).read_text(encoding="utf-8"), svg)


def test_a_plot_shows_its_figures_where_they_are() -> None:
    figures = read_documents(ROOT)["networks"]["figures"]
    rows = [row for row in figures["networks"] if row["ratio"] and row["threads"] == 1]
    drawn = networks(figures)
    marks = sorted(marks_of(drawn, BLUE) + marks_of(drawn, GREY), key=lambda place: place[1])
    ratios = [row["ratio"]["median"] for batch in (1, 8, 32) for row in rows if row["batch"] == batch]
    assert len(marks) == len(ratios) == len(rows)
    # Pixels are a straight line through the ratios; coordinates have six decimals.
    slope, start = np.polyfit(ratios, [x for x, _ in marks], 1)
    assert np.abs(slope * np.array(ratios) + start - [x for x, _ in marks]).max() < 1e-3
    for row in rows:
        assert any(row["name"].split(" (")[0] in text for text in texts_of(drawn))


def test_the_committed_figures_are_no_trial() -> None:
    for name, document in read_documents(ROOT).items():
        assert document["benchmark"] == name
        assert not document["figures"].get("quick"), f"{name}: measured with --quick"


def test_every_missed_bound_is_on_the_page_and_those_of_networks_are_explained() -> None:
    documents = read_documents(ROOT)
    text = page(documents)
    assert text.count("**missed**") == sum(not b["holds"] for d in documents.values() for b in d["bounds"])
    missed = [bound for bound in documents["networks"]["bounds"] if not bound["holds"]]
    explained = text.split("by what:", 1)[1].split("\n## ")[0] if missed else ""
    assert len(re.findall(r"^- Batch", explained, re.MULTILINE)) == len(missed)


def test_a_missed_bound_is_explained_by_numbers() -> None:
    documents = read_documents(ROOT)
    networks = json.loads(json.dumps(documents["networks"]))
    row = next(r for r in networks["figures"]["networks"] if r["name"] == RIVAL and r["threads"] == 1)
    row["ratio"]["median"] = 1.234
    bounds = network_bounds(networks["machine"], networks["figures"]["networks"], networks["figures"]["floors"])
    networks["bounds"] = [
        {"what": b.what, "value": b.value, "relation": b.relation, "limit": b.limit, "holds": b.holds} for b in bounds
    ]
    text = " ".join(page({**documents, "networks": networks}).split())
    assert "1.234 of ConvNeXt-T's time where" in text
    share = re.search(r"1\.234 of .*?NeoCell is (\d+) % of the run; if it cost nothing, ([\d.]+) would remain", text)
    assert share is not None
    assert float(share[2]) == pytest.approx(1.234 * (1 - int(share[1]) / 100), abs=0.02)


def test_training_figures_are_shown_where_they_are() -> None:
    documents = read_documents(ROOT)
    spread = {"median": 0.5, "lower": 0.25, "upper": 0.75}
    rows = [{"form": "matmul", "seconds": spread, "graph_breaks": 0, "compiled": True}]
    training = {**documents["growth"], "benchmark": "training", "figures": {"rows": rows}, "bounds": []}
    assert "| matmul | 0.5000 (0.2500 to 0.7500) | 0 | yes |" in page({**documents, "training": training})


def test_every_section_is_a_module_by_the_name_that_runs_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    called: list[list[str]] = []
    monkeypatch.setattr("subprocess.run", lambda command, **_: called.append(command))
    assert not any(run._measured(name, [], tmp_path) for name in SECTIONS)
    modules = [command[command.index("-m") + 1] for command in called]
    assert all(importlib.util.find_spec(module) for module in modules), modules
    assert [f"`python -m {module}" in page(read_documents(ROOT)) for module in modules] == [True] * len(SECTIONS)


def test_a_step_and_the_wait_are_shown_with_how_busy_the_machine_was() -> None:
    documents = read_documents(ROOT)
    for load, says in ((0.5, "the machine had little else to do"), (9.0, "(load 9 on 2 cores)")):
        changed = {
            name: {**documents[name], "machine": {**documents[name]["machine"], "load": load, "cores": 2}}
            for name in ("training_step", "feeding")
        }
        text = " ".join(page({**documents, **changed}).split())
        assert text.count(says) == 2
    row = documents["feeding"]["figures"]["rows"][0]
    assert f"| {row['network']} | {row['images']} | {row['images_per_second']:.1f} |" in page(documents)


def test_a_code_span_is_never_broken() -> None:
    lines = paragraph("word " * 22 + "`C (H' H W + H' W W')` and more")
    assert any("`C (H' H W + H' W W')`" in line for line in lines)
    assert max(map(len, lines)) <= 120


# What is measured


@pytest.mark.parametrize("name", RIVALS)
def test_a_rival_has_the_parameters_of_its_name(name: str) -> None:
    network = build_rival(name)
    assert sum(parameter.numel() for parameter in network.parameters()) == RIVALS[name].parameters


def test_a_network_that_is_not_the_rival_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = {"ResNet-50": type(RIVALS["ResNet-50"])(lambda: nn.Linear(2, 3), 25_557_032)}
    monkeypatch.setattr("benchmarks.rivals.table.RIVALS", wrong)
    with pytest.raises(AssertionError, match="this ResNet-50 has 9 parameters; expected 25557032"):
        build_rival("ResNet-50")


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("shift", [True, False])
def test_every_file_of_a_cell_computes_it(layout: Layout, shift: bool, tmp_path: Path) -> None:
    cell = drawn_cell(Geometry.split(24, (4, 7), shift))
    x = np.random.default_rng(0).standard_normal((3, 24, 7, 7), dtype=np.float32)
    expected = cell(torch.from_numpy(x)).detach().numpy()
    for name, lowered in legal(cell.geometry, 7, 7, layout).items():
        path, feed = tmp_path / f"{name}.onnx", in_layout(x, layout)
        write_cell(cell, lowered, feed.shape, path)
        check(name, from_layout(InPlace(path, feed, 1)(), layout, x.shape), expected)


def test_the_patches_of_the_growth_figures_are_equation_1(tmp_path: Path) -> None:
    case = Case(channels=3, side=28, cell=7)
    cell = drawn_cell(Geometry((CellGroup(Cell.square(7), 3),)))
    x = np.random.default_rng(0).standard_normal((1, 3, 28, 28), dtype=np.float32)
    cells = {"left": cell.weight_a[0], "right": cell.weight_b[0]}
    constants = {side: weight.detach().numpy()[:, None, None] for side, weight in cells.items()}
    write_program(patches(case), constants, x.shape, tmp_path / "patches.onnx")
    y = InPlace(tmp_path / "patches.onnx", x, 1)().reshape(x.shape)
    check("patches", y, cell(torch.from_numpy(x)).detach().numpy())


@pytest.mark.parametrize("kernel", [2, 7])
def test_a_depthwise_file_keeps_the_map(kernel: int, tmp_path: Path) -> None:
    x = np.random.default_rng(1).standard_normal((2, 8, 14, 14), dtype=np.float32)
    write_depthwise(8, kernel, x.shape, tmp_path / "dw.onnx")
    weight = np.random.default_rng(0).standard_normal((8, 1, kernel, kernel), dtype=np.float32)
    before, after = (kernel - 1) // 2, kernel // 2
    padded = nn.functional.pad(torch.from_numpy(x), (before, after, before, after))
    check(
        "dw",
        InPlace(tmp_path / "dw.onnx", x, 1)(),
        nn.functional.conv2d(padded, torch.tensor(weight), groups=8).numpy(),
    )


@pytest.mark.parametrize("stage", range(4))
def test_the_forms_on_a_gpu_compute_the_same(stage: int) -> None:
    config = find_variant("neonext_t").config
    geometry, (height, width) = config.geometry(stage), config.stage_sizes()[stage]
    cell = drawn_cell(geometry)
    x = torch.randn(1, geometry.channels, height, width, generator=torch.Generator().manual_seed(0))
    expected = neocell_patchwise(x, list(cell.weight_a), list(cell.weight_b), geometry)
    for form in forms(geometry, height, width).values():
        torch.testing.assert_close(form(x, list(cell.weight_a), list(cell.weight_b)), expected, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(Patchwise(cell)(x), expected, rtol=1e-4, atol=1e-4)


def test_a_compiled_step_with_another_derivative_is_not_timed() -> None:
    network, x, labels = nn.Linear(3, 2), torch.randn(2, 3), torch.tensor([0, 1])
    wanted = [
        training_step.step(network, network, x, labels),
        *(p.grad for p in network.parameters() if p.grad is not None),
    ]
    training_step.check("same", wanted, wanted)
    for wrong in (wanted[1] + 1e-2, wanted[1] * torch.nan):
        with pytest.raises(SystemExit, match="nothing is timed on wrong numbers"):
            training_step.check("other", [wanted[0], wrong, wanted[2]], wanted)


def test_what_the_first_epoch_took_does_not_count(tmp_path: Path) -> None:
    """Ten seconds of which nine waited, then ten more of which one did."""
    images = feeding.BATCH * 5
    told = [(5, 1, images / 10, 0.9), (10, 2, 2 * images / 20, 0.5)]
    names = ("step", "epoch", "images_per_second", "waiting_for_pictures")
    lines = [json.dumps({**dict(zip(names, line, strict=True)), "loss": 1.0}) for line in told]
    (tmp_path / "log.jsonl").write_text("\n".join(lines))
    found = feeding.behind_the_first_epoch(tmp_path / "log.jsonl")
    assert found == pytest.approx({"images": images, "images_per_second": images / 10, "waiting": 0.1})


def test_nothing_is_timed_on_wrong_numbers() -> None:
    right = np.ones((2, 2), np.float32)
    check("right", right, right)
    for wrong in (right + 1e-3, np.full_like(right, np.nan)):
        with pytest.raises(SystemExit, match="nothing is timed on wrong numbers"):
            check("wrong", wrong, right)


# What is computed


def test_a_power_law_is_found_again() -> None:
    law = fit_power_law([2, 4, 7, 14], [3e-3 * x**1.5 for x in (2, 4, 7, 14)])
    assert [law.factor, law.exponent] == pytest.approx([3e-3, 1.5])
    assert law(10) == pytest.approx(3e-3 * 10**1.5)


@pytest.mark.parametrize(("x", "y"), [([1, 2], [0, 1]), ([3, 3], [1, 2])])
def test_no_power_law_goes_through_what_has_none(x: list[float], y: list[float]) -> None:
    with pytest.raises(ValueError, match="no power law"):
        fit_power_law(x, y)


def test_the_predicted_exponents_are_those_of_equations_4_and_5() -> None:
    predicted = [[predicted_exponent(sweep, form) for form in FORMS] for sweep in SWEEPS]
    assert predicted == [[0, 1, 2], [3, 2, 2], [1, 1, 1]]


def test_multiplications_are_counted() -> None:
    case, geometry = Case(channels=6, side=28, cell=7), Geometry((CellGroup(Cell.square(7), 6),))
    for lowering, form in (("blockdiag", FORMS[0]), ("patchwise", FORMS[1])):
        macs, _ = work(lower(lowering, geometry, 28, 28), (1, 6, 28, 28))  # type: ignore[arg-type]
        assert macs == COUNTS[form](case), form
    macs, nbytes = work(lower("blockdiag", geometry, 28, 28, "chnw"), (6, 28, 5, 28))
    assert macs == 5 * COUNTS[FORMS[0]](case)
    assert nbytes == 4 * 2 * (5 * 6 * 28 * 28 + 6 * 28 * 28)


def test_the_floor_is_products_and_gelu() -> None:
    floor = Floor(macs=6 * 10**9, gemm_peak=60e9, gelu=0.01)
    assert floor.products == pytest.approx(0.1)
    assert floor.seconds == pytest.approx(0.11)
    assert floor.share(0.22) == pytest.approx(0.5)
    assert remaining_ratio(0.9, 0.1) == pytest.approx(0.81)


def test_the_gemm_peak_is_that_of_the_fastest_sample() -> None:
    seconds = {f"GEMM {side}": [side**3 / 50e9] * 3 for side in GEMM_SIDES}
    seconds["GEMM 1024"] = [1.0, 1024**3 / 60e9, 1.0]
    assert gemm_peak(seconds) == pytest.approx(60e9)


def test_the_ratio_to_a_convolution_is_the_quotient_of_its_factors() -> None:
    ours = {"macs": 112, "seconds": {"median": 3.0}}
    theirs = {"macs": 49, "seconds": {"median": 2.0}}
    more, faster = factors(ours, theirs)
    assert more == pytest.approx(112 / 49)
    assert more / faster == pytest.approx(3.0 / 2.0)


def test_ratios_are_pairwise() -> None:
    assert ratios([2, 4, 6], [1, 4, 2]) == Spread(2.0, 1.5, 2.5)


# Bounds


@pytest.mark.parametrize(("machine", "column"), [(AVX2, 0), (AVX512, 1)])
def test_the_bounds_of_whole_networks_follow_the_machine(machine: dict[str, Any], column: int) -> None:
    rows = [
        {"name": name, "threads": threads, "batch": batch, "ratio": {"median": 0.8}}
        for name in (RIVAL, "DeiT-S")
        for threads in (1, 2)
        for batch in (1, 4, 8, 32)
    ]
    found = network_bounds(machine, rows, [{"batch": 8, "share": 0.9}])
    assert [bound.limit for bound in found] == [LARGEST_RATIO[batch][column] for batch in (1, 8, 32)] + [0.85]
    assert LARGEST_RATIO == {1: (0.90, 0.85), 8: (0.85, 0.78), 32: (0.85, 0.78)}
    assert [bound.holds for bound in found] == [True, column == 0, column == 0, True]


def test_the_bounds_of_single_cells() -> None:
    rows = [
        {"form": form, "batch": batch, "stage": stage, "speed_up": {"median": 8.0}}
        for form in ("blockdiag, nchw", "blockdiag, chnw", "packed, chnw")
        for batch in (1, 8)
        for stage in (1, 2, 3, 4)
    ]
    found = cell_bounds(rows)
    assert [(bound.limit, bound.holds) for bound in found] == [(7.0, True)] * 3 + [(10.0, False)] * 2
    assert [re.sub(r".*stage ", "", bound.what) for bound in found] == [
        *(f"{stage}, batch 1" for stage in (1, 2, 3)),
        *(f"{stage}, batch 8" for stage in (3, 4)),
    ]


def test_the_bounds_of_the_fused_kernel() -> None:
    medians = {"fused kernel": 1.0, "copy": 0.7, "bmm": 2.0, "patchwise einsum": 16.0, "depthwise 7x7 (cuDNN)": 0.9}
    rows = [
        {"stage": stage, "dtype": dtype, "pass": "forward", "form": form, "over_fused": {"median": median}}
        for stage in (1, 3)
        for dtype in ("fp16", "bf16")
        for form, median in medians.items()
    ]
    assert [(bound.limit, bound.holds) for bound in cuda_bounds(rows)] == [
        (0.8, False),
        (1.0, True),
        (15.0, True),
        (1.0, False),
    ]


def test_a_document_holds_what_was_measured(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bounds = [Bound("a", 1.0, "at most", 2.0), Bound("b", 1.0, "at least", 2.0)]
    path = tmp_path / "new" / "x.json"
    assert conclude("x", {"cpu": "c"}, {"value": 1 / 3}, bounds, path) == 1
    document = json.loads(path.read_text())
    assert document["figures"] == {"value": 0.333333}
    assert [bound["holds"] for bound in document["bounds"]] == [True, False]
    assert not document["holds"]
    assert "MISSED  b: 1.000, at least 2" in capsys.readouterr().out
    assert conclude("x", {}, {}, bounds[:1], None) == 0


def test_rounding_keeps_everything_but_digits() -> None:
    assert rounded({"a": [1.23456789, 7, "x", None, True]}) == {"a": [1.23457, 7, "x", None, True]}


# The profile's events


def event(operator: str, inputs: list[list[int]], output: list[int]) -> dict[str, Any]:
    shapes = {"input_type_shape": [{"float": s} for s in inputs], "output_type_shape": [{"float": output}]}
    return {"args": {"op_name": operator, **shapes}}


@pytest.mark.parametrize(
    ("operator", "inputs", "output", "expected"),
    [
        ("Conv", [[2, 96, 56, 56], [384, 96, 1, 1]], [2, 384, 56, 56], (POINTWISE, "1")),
        ("Conv", [[2, 192, 28, 28], [192, 1, 7, 7]], [2, 192, 28, 28], (MIXING, "2")),
        ("Conv", [[2, 192, 28, 28], [384, 192, 2, 2]], [2, 384, 14, 14], (EDGES, "3")),
        ("MatMul", [[2, 768, 7, 7], [768, 7, 7]], [2, 768, 7, 7], (MIXING, "4")),
        ("Gemm", [[2 * 196, 1536], [384]], [2 * 196, 384], (POINTWISE, "3")),
        ("Gemm", [[2, 768], [1000]], [2, 1000], (EDGES, "head")),
        ("Mul", [[], [2, 14, 14, 1536]], [2, 14, 14, 1536], (GELU, "3")),
        ("Add", [[2, 14, 14, 384], [2, 14, 14, 384]], [2, 14, 14, 384], (ADDING, "3")),
    ],
)
def test_an_event_is_put_where_it_belongs(
    operator: str, inputs: list[list[int]], output: list[int], expected: tuple[str, str]
) -> None:
    assert place(event(operator, inputs, output), batch=2) == expected


# Axes and the one command


def test_logarithmic_axes_mark_round_values_and_every_size() -> None:
    figures = read_documents(ROOT)["growth"]["figures"]
    texts = texts_of(growth(figures))
    for sweep in figures["sweeps"]:
        assert {str(point["value"]) for point in sweep["points"]} <= set(texts)
        for form, fit in sweep["fits"].items():
            assert f"{form}: {fit['exponent']:.2f} / {sweep['predicted'][form]}" in texts
    assert {"0.1", "1", "10"} <= set(texts)


def test_a_crash_is_not_taken_for_a_measurement(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["run", "--sections", "cuda", "--into", str(tmp_path)])
    monkeypatch.setattr("subprocess.run", lambda *_, **__: None)
    assert run.main() == 2
    assert not (tmp_path / PAGE).exists()
