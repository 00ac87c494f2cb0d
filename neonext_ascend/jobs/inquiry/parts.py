"""The parts of a report, each as one job finds it, with the command that repeats it."""

from __future__ import annotations

import importlib.util
import shlex
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from neonext_ascend.artifacts.manifest import Compilation, Manifest
from neonext_ascend.artifacts.skim import skim_model
from neonext_ascend.cost.file_cost import cost_or_reason
from neonext_ascend.data import sample_pictures
from neonext_ascend.errors import ArtifactError
from neonext_ascend.jobs.benchmarking import benchmark
from neonext_ascend.jobs.debugging import debug, load_steps
from neonext_ascend.jobs.evaluating import evaluate
from neonext_ascend.jobs.laddering import ladder
from neonext_ascend.jobs.rescuing import feeds_of
from neonext_ascend.jobs.verifying_file import has_network
from neonext_ascend.jobs.watching import Watch
from neonext_ascend.machine.chips import SOCS, find_soc
from neonext_ascend.precision.half import OVERFLOWS, overflows_of
from neonext_ascend.precision.modes import ALL, HalfMode
from neonext_ascend.runtimes.registry import Runtime

PROGRAM = "neonext-ascend"
_NO_MANIFEST = "no manifest tells its network"
_SITTINGS, _SECONDS = 6, 3.0


class MissingError(Exception):
    """Why a part is not there, in words; never leaves the room."""


@dataclass
class Parts:
    """What is asked about, and what was found on the way.

    Args:
        path, manifest: the artifact; an ONNX file of a stranger has none.
        graph: the ONNX file whose nodes are looked at, the artifact or what it was compiled from, with its manifest.
        absent: why the artifact does not run here; empty where it does.
        checkpoint, against, dataset, labels, runtime, device, watch: as of :func:`neonext_ascend.jobs.report`.
        commands: part -> the words that repeat it.
        flips: pictures of which two forms or files say different classes.
        pictures: files of those, by the names that the flips have.
    """

    path: Path
    manifest: Manifest | None
    graph: tuple[Path, Manifest | None] | None
    absent: str
    checkpoint: Path | None
    against: Path | None
    dataset: Path | None
    labels: Path | None
    runtime: Runtime
    device: int
    watch: Watch
    commands: dict[str, str] = field(default_factory=dict)
    flips: list[dict[str, Any]] = field(default_factory=list)
    pictures: dict[str, Path] = field(default_factory=dict)

    def ladder(self) -> dict[str, Any]:
        """Of the artifact; where it does not run here, of the ONNX file beside it."""
        self._need_network()
        subject = self.graph[0] if self.absent and self.graph is not None else self.path
        self.repeat("ladder", "verify", "--ladder", subject, checkpoint=self.checkpoint, **self._where())
        made = ladder(subject, checkpoint=self.checkpoint, runtime=self.runtime, device=self.device, watch=self.watch)
        found = made.to_json()
        for rung in found["rungs"]:
            if rung["against"] != found["rungs"][0]["against"]:
                continue  # every form is held against the first as well
            for flip in rung["flips"]:
                said = {rung["against"]: flip["from"], rung["name"]: flip["to"]}
                answers = [{"of": of, "says": self._label(number)} for of, number in said.items()]
                self.flips.append(
                    {"picture": flip["picture"], "is": None, "answers": answers, "margin": flip["margin"]}
                )
        samples = {picture.name: picture for picture in sample_pictures()}
        self.pictures |= {name: samples[name] for flip in self.flips if (name := flip["picture"]) in samples}
        return {**found, "checked": subject.name}

    def nodes(self) -> dict[str, Any]:
        """Each node against the artifact's own network, written once more, or against what was given."""
        file, _ = self._need_graph()
        if self.against is None and self.manifest is None:
            raise MissingError(f"{_NO_MANIFEST}; give another file with --against")
        if self.against is None:
            self._need_network()
            if self.manifest is not None and self.manifest.int8 is not None:
                raise MissingError("each int8 layer rounds, which is no node's fault: export --sensitivity measures it")
        weights = self.checkpoint if self.against is None else None
        self.repeat("nodes", "debug", file, against=self.against, checkpoint=weights)
        found = debug(file, against=self.against, checkpoint=weights, watch=self.watch).to_json()
        return {**found, "artifact": file.name}

    def half(self) -> list[dict[str, Any]]:
        """Each way of overflowing with every node, on the noise or the pictures that fare worst."""
        from neonext_ascend.verify.half import judge_steps

        file, manifest = self._need_graph()
        overflows, mode, made = OVERFLOWS, ALL, self._compilation
        if made is not None:
            overflows, mode = overflows_of(find_soc(made.soc_version)), HalfMode(made.precision, made.keep_fp32)
        try:
            with self.watch.working("computing each node in fp16"):
                steps = load_steps(file)
                found = judge_steps(steps, feeds_of(file, steps, manifest, 0), overflows, mode)
        except ArtifactError as error:
            if self.manifest is not None:
                raise
            raise MissingError(str(error)) from None  # a stranger's file need not be one that is fed noise
        return [{**one.to_json(), "nodes": [node.to_json() for node in one.report.nodes]} for one in found]

    def accuracy(self) -> dict[str, Any]:
        """On the data set, side by side with the reference file where there is one."""
        if self.dataset is None:
            raise MissingError("no labelled pictures were given: --data DATASET")
        files = [] if self.absent else [self.path]
        if self.against is not None and self.against.is_file():
            files.insert(0, self.against)
        elif self.graph is not None and self._compilation is not None:
            files.insert(0, self.graph[0])
        if not files:
            raise MissingError(self.absent)
        runtime = self.runtime if len({file.suffix for file in files}) == 1 else "auto"
        where = {**self._where(), "runtime": None if runtime == "auto" else runtime}
        self.repeat("accuracy", "eval", *files, self.dataset, labels=self.labels, **where)
        found = evaluate(files, self.dataset, labels=self.labels, runtime=runtime, device=self.device, watch=self.watch)
        for one in found.differing:
            answers = [{"of": file.name, "says": said} for file, said in zip(files, one.answers, strict=True)]
            self.flips.append({"picture": one.name, "is": one.label, "answers": answers, "margin": None})
        root = self.dataset if self.dataset.is_dir() else self.dataset.parent
        self.pictures |= {one.name: root / one.name for one in found.differing}
        told = found.to_json()
        del told["speed"]  # another day's number
        return told

    def speed(self) -> dict[str, Any]:
        """Timed here, briefly."""
        if self.absent:
            raise MissingError(self.absent)
        plan: dict[str, Any] = {"sittings": _SITTINGS, "seconds": _SECONDS}
        self.repeat("speed", "benchmark", self.path, **plan, **self._where())
        with self.watch.working("timing it"):
            return benchmark([self.path], **plan, runtime=self.runtime, device=self.device).to_json()

    def cost(self) -> list[dict[str, Any]]:
        """An estimate of the ONNX file for each chip that has one."""
        if self.graph is None:
            raise MissingError("the ONNX file that it was compiled from is not beside it")
        file, _ = self.graph
        model, found = skim_model(file), []
        for soc in SOCS.values():
            cost = cost_or_reason(model, soc, [1])
            for estimate in cost.estimates:
                gain = next((one.to_json() for one in cost.int8), None)
                found.append({"soc": soc.name, **estimate.to_json(), "int8": gain, "notes": list(cost.notes)})
                self.repeat(f"cost on {soc.name}", "inspect", file, soc_version=soc.name)
        if not found:
            raise MissingError("; ".join(cost.notes))
        return found

    def repeat(self, part: str, *words: object, **options: object) -> None:
        """Note the command that repeats a part; an option that is ``None`` is not given."""
        given = [w for name, v in options.items() if v is not None for w in (f"--{name.replace('_', '-')}", v)]
        self.commands[part] = shlex.join(map(str, (PROGRAM, *words, *given)))

    @property
    def _compilation(self) -> Compilation | None:
        return None if self.manifest is None else self.manifest.compilation

    def _where(self) -> dict[str, object]:
        device = self.device or None
        return {"runtime": None if self.runtime == "auto" else self.runtime, "device": device}

    def _need_network(self) -> None:
        if importlib.util.find_spec("torch") is None:
            raise MissingError("PyTorch is not installed here")
        if self.manifest is None:
            raise MissingError(_NO_MANIFEST)
        if not has_network(self.manifest, self.checkpoint):
            raise MissingError(f"its weights are those of {self.manifest.weights.file}: give it with --checkpoint")

    def _need_graph(self) -> tuple[Path, Manifest | None]:
        if self.graph is None:
            raise MissingError("an OM shows no nodes, and the ONNX file that it was compiled from is not beside it")
        return self.graph

    def _label(self, number: int) -> str:
        labels = () if self.manifest is None else self.manifest.labels
        return labels[number] if number < len(labels) else f"class_{number}"
