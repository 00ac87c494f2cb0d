"""The climb itself: each form is made, run, compared with the one above and the first, and forgotten."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from neonext_ascend.artifacts.finding import with_its_data
from neonext_ascend.exporters.onnx_file.names import readable
from neonext_ascend.jobs.climb.plan import Plan
from neonext_ascend.jobs.debugging import load_steps
from neonext_ascend.jobs.int8.judging import integers
from neonext_ascend.jobs.watching import Watch
from neonext_ascend.models.variants import VARIANTS
from neonext_ascend.passes.deployed import ORIGIN
from neonext_ascend.passes.pipeline import prepare
from neonext_ascend.precision.halved import halved
from neonext_ascend.precision.report import HalfReport
from neonext_ascend.runtimes.eager import EagerRunner
from neonext_ascend.runtimes.registry import opener
from neonext_ascend.runtimes.steps import Steps
from neonext_ascend.spec import TOLERANCES, Layout, judged_as
from neonext_ascend.verify.blame import device_blame, file_blame, first_point, half_blame, int8_blame, own_blame
from neonext_ascend.verify.ladder import Blame, Climb, Ladder, Rung, answers_of
from neonext_ascend.verify.layers import Layers
from neonext_ascend.verify.nodewise.graphs import compare_graphs
from neonext_ascend.verify.parity import OpenWithPoints
from neonext_ascend.verify.pictures import input_cause, preparation_cause
from neonext_ascend.verify.subject import tensors_of

_FP32, _FP16 = TOLERANCES["fp32"], TOLERANCES["fp16"]


@np.errstate(over="ignore", invalid="ignore")  # what a damaged file holds is to be compared, not warned of
def climb(plan: Plan, watch: Watch) -> Ladder:
    """All forms of a plan from the top."""
    climber = _Climber(plan)
    with watch.working("running the network in PyTorch"):
        climber.in_pytorch()
    for name in ("folded", "lowered"):
        with watch.working(f"running it {name}"):
            climber.prepared(name)
    with TemporaryDirectory() as folder:
        with watch.working("writing it as ONNX, and running that"):
            steps = climber.as_onnx(Path(folder) / "fresh.onnx")
        if plan.file is not None and not plan.int8:
            with watch.working(f"comparing {plan.file.name} node by node"):
                steps = climber.as_found(plan.file, steps, Path(folder) / "twin.onnx")
    with watch.working("computing each node in fp16"):
        climber.in_half(steps)
    if plan.file is not None and plan.int8:
        with watch.working(f"running {plan.file.name}"):
            climber.in_int8(plan.file)
    if plan.device is not None:
        with watch.working("running it on the device"):
            climber.on_device(*plan.device)
    return climber.ladder()


class _Climber:
    """A plan, what stands of its ladder, and who is to blame for what failed."""

    def __init__(self, plan: Plan) -> None:
        self._plan, self._subject = plan, plan.subject
        self._batch = plan.request.batch_size
        self._climb = Climb(list(plan.subject.feeds(self._batch, plan.gears)))
        self._feeds, self._first = self._climb.feeds, self._climb.feeds[0]
        self._control: Rung | None = None
        self._blames: list[Blame] = []
        self._notes = list(plan.notes)

    def ladder(self) -> Ladder:
        """What stands."""
        verdict = self._blames[0] if self._blames else None
        notes, trained = tuple(self._notes), self._plan.trained
        return Ladder(self._plan.checked, tuple(self._climb.rungs), verdict, self._control, notes, trained)

    def in_pytorch(self) -> None:
        """As trained; the same in fp16 as a control; and fed as the manifest says."""
        reference = self._subject.runner()
        given = answers_of(reference, self._feeds)
        self._climb.start("pytorch", given)
        half = copy.deepcopy(self._subject.network).half()
        runner = EagerRunner(half, *tensors_of(half, "float16"))
        answers = answers_of(runner, self._feeds)
        self._control = self._climb.compared("pytorch-fp16", runner.where, answers, _FP16, "pytorch")
        found, own = self._plan.prepared, self._subject.preprocessing
        if found is None or own is None:
            return
        cause = preparation_cause(found, own)
        if cause is not None and not cause[2] and self._subject.network.config.name not in VARIANTS:
            # Another preparation may be right for a network of one's own.
            self._notes.append(f"pictures are prepared in a way of their own: {cause[0]}")
            cause = None
        if cause is None:
            self._climb.add("pictures", reference.where, given, _FP32)
            return
        feeds = list(replace(self._subject, preprocessing=found).feeds(self._batch, self._plan.gears))
        self._climb.add("pictures", reference.where, answers_of(reference, feeds), _FP32, [cause[0]])
        self._blames.append(Blame("pictures", "image", cause[0], cause[1]))

    def prepared(self, name: str) -> None:
        """Folded alone, or lowered as well."""
        request, lowered = self._plan.request, name == "lowered"
        layout = request.form.layout
        graph, _ = prepare(
            self._subject.network, defer=True, layout=layout, lowering=request.lowering() if lowered else None
        )
        calls = [node for node in graph.graph.nodes if node.op == "call_module" and node.meta.get(ORIGIN)]
        targets = {readable(str(node.target)): str(node.target) for node in calls}
        points = {readable(str(node.target)): node.meta[ORIGIN] for node in calls}

        def opened(names: Sequence[str]) -> EagerRunner:
            return EagerRunner(graph, *tensors_of(self._subject.network), {name: targets[name] for name in names})

        runner = opened(())
        above = "folded" if lowered else "pytorch"
        if not self._climb.add(name, runner.where, answers_of(runner, self._feeds), _FP32, above=above):
            self._own(name, opened, points, layout if lowered else "nchw")

    def as_onnx(self, path: Path) -> Steps:
        """Written in fp32, and run in ONNX Runtime."""
        request = replace(self._plan.request, dtype="fp32", keep_fp32=())
        made, _ = request.emit(self._subject, path)
        with opener(path, "ort")(()) as runner:
            bounds = TOLERANCES[judged_as("fp32", request.gelu)]
            passed = self._climb.add("onnx", runner.where, answers_of(runner, self._feeds), bounds)
        if not passed:
            self._own("onnx", opener(path, "ort"), made.points, request.form.layout)
        return Steps(path)

    def as_found(self, path: Path, steps: Steps, scratch: Path) -> Steps:
        """The artifact, held node by node to a fresh one of the same form."""
        request = self._plan.request
        if request.dtype != "fp32":
            made, _ = request.emit(self._subject, scratch)
            steps = Steps(made.files[0].path)
        found = load_steps(with_its_data(path))
        fed = {found.inputs[0]: self._first.array}
        departure = compare_graphs(found, steps, fed, layers=Layers(self._subject.network))
        makers = [node.name for node in departure.compared.nodes if node.made]
        others = f", and {len(makers) - 1} more" if len(makers) > 1 else ""
        reasons = [f"{makers[0]} makes an error of its own{others}"] if makers else []
        bounds = _FP16 if self._plan.runtime == "cann" else TOLERANCES[judged_as(request.dtype, request.gelu)]
        with opener(path, self._plan.runtime)(()) as runner:
            passed = self._climb.add("artifact", runner.where, answers_of(runner, self._feeds), bounds, reasons)
        if not passed:
            self._blames.append(file_blame("artifact", departure.cause))
        return found

    def in_half(self, steps: Steps) -> None:
        """Each node's result rounded to fp16, in each way of overflowing."""
        overflows, (taken, _) = self._plan.overflows, steps.ends()
        reports: list[list[HalfReport]] = [
            halved(steps, {taken: feed.array}, overflows, self._plan.mode) for feed in self._feeds
        ]
        above = self._climb.rungs[-1].name
        for overflow, ways in zip(overflows, zip(*reports, strict=True), strict=True):
            name, answers = f"fp16-{overflow}", [report.outputs for report in ways]
            alarms = dict.fromkeys(str(alarm) for report in ways for alarm in report.alarms)
            where = "every node in ONNX Runtime on the CPU, its result rounded"
            if not self._climb.add(name, where, answers, _FP16, list(alarms), above):
                assert self._control is not None
                self._blames.append(half_blame(name, ways, self._control))

    def in_int8(self, path: Path) -> None:
        """An int8 file: the deploy form in exact integers, QDQ in ONNX Runtime."""
        deployed, changed = self._plan.int8 == "deploy", self._plan.changed
        told = [*self._plan.moved, *(f"constant {name} is not the one that was exported" for name in changed)]
        with integers(path, self._plan.overflows[0]) if deployed else opener(path, self._plan.runtime)(()) as runner:
            passed = self._climb.add("int8", runner.where, answers_of(runner, self._feeds), TOLERANCES["int8"], told)
        if not passed:
            self._blames.append(int8_blame(changed, moved=bool(self._plan.moved)))

    def on_device(self, name: str, opened: OpenWithPoints) -> None:
        """What the chip gives."""
        with opened(()) as runner:
            answers = answers_of(runner, self._feeds)
            bounds = TOLERANCES["int8"] if self._plan.int8 else _FP16
            passed = self._climb.add(name, runner.where, answers, bounds, self._plan.moved)
        if not passed:
            own, reference = self._subject.preprocessing, self._subject.runner()
            mistake = None if own is None else input_cause(reference, self._feeds, answers, own, _FP16)
            self._blames.append(device_blame(name, mistake))

    def _own(self, name: str, opened: OpenWithPoints, points: Mapping[str, str], layout: Layout) -> None:
        reference = self._subject.runner(points, layout=layout)
        node = first_point(opened, reference, list(points), self._first, _FP32)
        self._blames.append(own_blame(name, node))
