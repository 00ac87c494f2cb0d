"""The stand-in ``atc``: ``python -m tests.standins.atc --framework=5 ...``; see ``toolkit.py`` for its wrapper.

It follows the documented contract, writes a stand-in OM, and leaves its litter in the working folder. The variable
STANDIN_ATC_FAULT makes it fail, by words with commas between: ``kill9``, ``diskfull``, ``hang``, ``lie``, ``nofile``,
``empty``, ``platform``, ``biglog``, ``oldtoolkit``, ``silent``, ``fail:CODE``. The numbers of its
processes are appended to the file that STANDIN_ATC_PIDS names.
"""

from __future__ import annotations

import os
import platform
import signal
import subprocess
import sys
import time
from pathlib import Path

from tests.standins.atc_contract import Parsed, RefusedError, UnknownFlagError, parse
from tests.standins.om_file import StandinOm

FAILED = 255
BIG_LOG_BYTES = 50 * 2**20
_LINE = "[INFO] FE(1,atc.bin):2026-11-24-10:00:00.000.000 [graph_optimizer.cc:100] optimise {number:07d} " + "." * 100
_SLEEPER = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(flush=True); time.sleep(600)"


def main() -> int:
    """The whole run; its exit status."""
    faults = [word for word in os.environ.get("STANDIN_ATC_FAULT", "").split(",") if word]
    _record(os.getpid())
    _say("ATC start working now, please wait for a moment.")
    try:
        parsed = parse(sys.argv[1:], lacks=("precision_mode_v2",) if "oldtoolkit" in faults else ())
        _leave_litter()
        return _work(parsed, faults)
    except UnknownFlagError as error:
        print(f"ERROR: {error}", file=sys.stderr, flush=True)
    except RefusedError as error:
        now = time.strftime("%Y-%m-%d-%H:%M:%S")
        _say(f"{error.code}: [PID: {os.getpid()}] {now} {error}" if error.code else f"[ERROR] {error}")
    except OSError as error:
        _say(f"[ERROR] GE(1,atc.bin): [model_saver.cc:80] write failed: {error.strerror}")
    _say("ATC run failed, Please check the detail log, Try 'atc --help'")
    return FAILED


def _work(parsed: Parsed, faults: list[str]) -> int:
    name = parsed.flags["output"]
    om = Path(f"{name}_linux_{platform.machine()}.om" if "platform" in faults else f"{name}.om")
    if "biglog" in faults:
        _big_log()
    if "hang" in faults:
        _child()
        time.sleep(600)
    if "kill9" in faults:
        _child()
        om.write_bytes(b"STAND-IN OM 1\n{")
        os.kill(os.getpid(), signal.SIGKILL)
    if "diskfull" in faults:
        om.write_bytes(b"STAND-IN OM 1\n{")
        Path("/dev/full").write_bytes(b"the rest")
    if "silent" in faults:
        return 1
    for word in faults:
        if word.startswith("fail:"):
            raise RefusedError(word.removeprefix("fail:"), "the fault that was asked for.")
    if "lie" not in faults and "nofile" not in faults and "empty" not in faults:
        from tests.standins.atc_graph import compile_model

        version = os.environ.get("STANDIN_CANN_VERSION", "8.5.0")
        StandinOm(parsed.flags["soc_version"], version, parsed.gears, compile_model(parsed)).write(om)
    if "empty" in faults:
        om.touch()
    _say("ATC run success, welcome to the next use.")
    return 1 if "lie" in faults else 0


def _leave_litter() -> None:
    Path("kernel_meta").mkdir(exist_ok=True)
    Path("kernel_meta/te_matmul.o").write_bytes(b"\0" * 64)
    Path("fusion_result.json").write_text("[]\n")


def _child() -> None:
    """A worker, as the operators' compiler starts them; it does not heed SIGTERM."""
    child = subprocess.Popen([sys.executable, "-c", _SLEEPER], stdout=subprocess.PIPE)
    assert child.stdout is not None
    child.stdout.readline()
    _record(child.pid)


def _record(pid: int) -> None:
    if os.environ.get("STANDIN_ATC_PIDS"):
        with Path(os.environ["STANDIN_ATC_PIDS"]).open("a") as file:
            file.write(f"{pid}\n")


def _big_log() -> None:
    written, number = 0, 0
    while written < BIG_LOG_BYTES:
        line = _LINE.format(number=number) + "\n"
        sys.stdout.write(line)
        written, number = written + len(line), number + 1
    sys.stdout.flush()


def _say(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    sys.exit(main())
