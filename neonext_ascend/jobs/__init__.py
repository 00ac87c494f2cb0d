"""Jobs: what each command does, without printing; the Python interface.

The names load what they need when they are first used. No job is named as a file of this room is: at its second use
Python would find the file.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from neonext_ascend.jobs.benchmarking import Benchmark, benchmark
    from neonext_ascend.jobs.debugging import debug
    from neonext_ascend.jobs.evaluating import Evaluation, evaluate
    from neonext_ascend.jobs.exporting import Export, export
    from neonext_ascend.jobs.inspecting import inspect
    from neonext_ascend.jobs.inspection.file import InspectedFile
    from neonext_ascend.jobs.inspection.model import InspectedModel
    from neonext_ascend.jobs.int8.foreign import Int8Files, quantise
    from neonext_ascend.jobs.int8.request import Int8Request
    from neonext_ascend.jobs.laddering import ladder
    from neonext_ascend.jobs.listing import Listed, list_models
    from neonext_ascend.jobs.making.om_request import OmRequest
    from neonext_ascend.jobs.making.triton_model import TritonRequest
    from neonext_ascend.jobs.predicting import Predictions, predict
    from neonext_ascend.jobs.reporting import Reported, report
    from neonext_ascend.jobs.rescuing import Rescuing, rescue_nodes
    from neonext_ascend.jobs.server_benchmarking import ServerBenchmark, benchmark_servers
    from neonext_ascend.jobs.serving import serve
    from neonext_ascend.jobs.training.outcome import Training
    from neonext_ascend.jobs.training.pictures import check_data
    from neonext_ascend.jobs.training.running import train
    from neonext_ascend.jobs.verifying import Verification, verify
    from neonext_ascend.jobs.watching import Watch
    from neonext_ascend.machine.diagnosis import Diagnosis, diagnose
    from neonext_ascend.runtimes.classifying import Prediction
    from neonext_ascend.training.sources.census import Census
    from neonext_ascend.verify.ladder import Ladder
    from neonext_ascend.verify.nodewise.debugged import Debugging

# Job, argument or result -> the file that holds it.
_HOMES = {
    "Benchmark": "jobs.benchmarking",
    "Census": "training.sources.census",
    "Debugging": "verify.nodewise.debugged",
    "Diagnosis": "machine.diagnosis",
    "Evaluation": "jobs.evaluating",
    "Export": "jobs.exporting",
    "InspectedFile": "jobs.inspection.file",
    "InspectedModel": "jobs.inspection.model",
    "Int8Files": "jobs.int8.foreign",
    "Int8Request": "jobs.int8.request",
    "Ladder": "verify.ladder",
    "Listed": "jobs.listing",
    "OmRequest": "jobs.making.om_request",
    "Prediction": "runtimes.classifying",
    "Predictions": "jobs.predicting",
    "Reported": "jobs.reporting",
    "Rescuing": "jobs.rescuing",
    "ServerBenchmark": "jobs.server_benchmarking",
    "Training": "jobs.training.outcome",
    "TritonRequest": "jobs.making.triton_model",
    "Verification": "jobs.verifying",
    "Watch": "jobs.watching",
    "benchmark": "jobs.benchmarking",
    "benchmark_servers": "jobs.server_benchmarking",
    "check_data": "jobs.training.pictures",
    "debug": "jobs.debugging",
    "diagnose": "machine.diagnosis",
    "evaluate": "jobs.evaluating",
    "export": "jobs.exporting",
    "inspect": "jobs.inspecting",
    "ladder": "jobs.laddering",
    "list_models": "jobs.listing",
    "predict": "jobs.predicting",
    "quantise": "jobs.int8.foreign",
    "report": "jobs.reporting",
    "rescue_nodes": "jobs.rescuing",
    "serve": "jobs.serving",
    "train": "jobs.training.running",
    "verify": "jobs.verifying",
}

__all__ = [
    "Benchmark",
    "Census",
    "Debugging",
    "Diagnosis",
    "Evaluation",
    "Export",
    "InspectedFile",
    "InspectedModel",
    "Int8Files",
    "Int8Request",
    "Ladder",
    "Listed",
    "OmRequest",
    "Prediction",
    "Predictions",
    "Reported",
    "Rescuing",
    "ServerBenchmark",
    "Training",
    "TritonRequest",
    "Verification",
    "Watch",
    "benchmark",
    "benchmark_servers",
    "check_data",
    "debug",
    "diagnose",
    "evaluate",
    "export",
    "inspect",
    "ladder",
    "list_models",
    "predict",
    "quantise",
    "report",
    "rescue_nodes",
    "serve",
    "train",
    "verify",
]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(f"neonext_ascend.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
