"""This server beside mlserver and KServe's with the same ONNX file, in turns in one run; by hand, on a quiet machine.

    python -m benchmarks.measure.rival_servers [--seconds 30] [--clients 64] [--folder build/rivals]

Each rival has an environment of its own, made once in the folder; one that cannot be installed is told and left out.
Where a server has the binary extension it gets binary, as any client would send it; then all get JSON.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.rivals import servers
from neonext_ascend import jobs
from neonext_ascend.runtimes.registry import open_runner
from tests.environments.environment import CannotRun, Environment
from tests.support.serving import serving

HOME = Path(str(servers.__file__)).parent
PACKAGES = {"mlserver": ("mlserver==1.7.1", "onnxruntime"), "kserve": ("kserve==0.21.0", "onnxruntime")}
STARTING = 120  # seconds


def main() -> int:
    """Measure, and print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--folder", type=Path, default=Path("build/rivals"))
    asked = parser.parse_args()
    told: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as scratch, contextlib.ExitStack() as stack:
        path = jobs.export("neonext_nano", batch_size="dynamic", output=scratch).onnx.path
        up = stack.enter_context(serving(f"nano={path}"))
        urls = {"neonext-ascend": f"http://127.0.0.1:{up.port}/v2/models/nano"}
        for name in PACKAGES:
            try:
                environment = Environment((asked.folder / name).absolute())
                if not (environment.folder / "installed").exists():
                    environment.install(*PACKAGES[name])
                    (environment.folder / "installed").touch()
            except CannotRun as reason:
                told[name] = f"not measured: {reason}"
                continue
            urls[name] = stack.enter_context(_running(name, environment, path, Path(scratch)))
        with open_runner(path, threads=1) as runner:
            told["runner"] = runner.where
        for words, options in (
            ("one client", {"clients": 1}),
            ("one client, all in JSON", {"clients": 1, "encoding": "json"}),
            (f"{asked.clients} clients", {"clients": asked.clients}),
        ):
            result = jobs.benchmark_servers(list(urls.values()), seconds=asked.seconds, sittings=6, **options)
            told[words] = dict(zip(urls, map(_figures, result.to_json()["servers"]), strict=True))
            print(words, told[words], file=sys.stderr)
    print(json.dumps(told, indent=1))
    return 0


def _figures(entry: dict[str, Any]) -> dict[str, Any]:
    """Latencies, throughput, and the ratio of latencies to this server's."""
    latency = {f"{part}_ms": round(entry["latency_ms"][part], 3) for part in ("p50", "p99")}
    ratio = entry["ratio"] and {name: round(value, 2) for name, value in entry["ratio"].items()}
    sent = entry["server"].rpartition(" in ")[2]
    return {**latency, "answers_per_second": round(entry["answers_per_second"], 1), "ratio": ratio, "sent": sent}


@contextlib.contextmanager
def _running(name: str, environment: Environment, path: Path, scratch: Path) -> Iterator[str]:
    """The server of this name on a free port, until it is no longer needed; its address."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    python = str(environment.folder / "venv" / "bin" / "python")
    with (scratch / f"{name}.log").open("w") as log:
        command = [python, str(HOME / "kserve_model.py"), str(path), str(port), "1"]
        if name == "mlserver":
            command = [
                python,
                "-c",
                "from mlserver.cli import main; main()",
                "start",
                str(_settings(path, port, scratch)),
            ]
        process = subprocess.Popen(command, cwd=HOME, stdout=log, stderr=log)
        try:
            _wait(process, f"http://127.0.0.1:{port}/v2/models/nano/ready", scratch / f"{name}.log")
            yield f"http://127.0.0.1:{port}/v2/models/nano"
        finally:
            process.terminate()
            process.wait(60)


def _settings(path: Path, port: int, scratch: Path) -> Path:
    """A folder as mlserver wants it: the model in the server's process, which is the quicker, and its own batching."""
    folder = scratch / "mlserver"
    folder.mkdir()
    server = {"http_port": port, "grpc_port": _free(), "metrics_port": _free(), "parallel_workers": 0, "debug": False}
    spec = {"name": "image", "datatype": "FP32", "shape": [-1, 3, 96, 96]}
    model = {
        "name": "nano",
        "implementation": "mlserver_model.Nano",
        "parameters": {"uri": str(path), "extra": {"threads": 1}},
        "inputs": [spec],
        "max_batch_size": 8,
        "max_batch_time": 0.001,
    }
    (folder / "settings.json").write_text(json.dumps(server))
    (folder / "model-settings.json").write_text(json.dumps(model))
    (folder / "mlserver_model.py").write_bytes((HOME / "mlserver_model.py").read_bytes())
    return folder


def _free() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


def _wait(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    end = time.monotonic() + STARTING
    while time.monotonic() < end and process.poll() is None:
        with contextlib.suppress(urllib.error.URLError, ConnectionError), urllib.request.urlopen(url, timeout=5):
            return
        time.sleep(0.2)
    raise SystemExit(f"{url}: not ready\n{log.read_text()[-2000:]}")


if __name__ == "__main__":
    sys.exit(main())
