"""``python -m tests.container``: lint, build and run both images, on a base made from Debian packages.

Needs a Debian machine and root; installs buildah, debootstrap and shellcheck where they are missing. Where that is not
possible it says why and counts as passed, or as failed with ``NEONEXT_REQUIRE_CONTAINER=1``. A folder named by
``NEONEXT_CONTAINER_CACHE`` keeps the base between runs. The base stands in for the Dockerfile's own two; of the
``ascend`` image the Dockerfile's lines and the entry point are tested, and nothing of CANN.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from tests.container import checks
from tests.container.base import base_archive
from tests.container.commands import CannotRun, beside_python, need_tools, run
from tests.container.image import Container, Store
from tests.container.pip_settings import read_settings

ROOT = Path(__file__).parent.parent.parent
SCRIPTS = sorted([*ROOT.glob("docker/*.sh"), *ROOT.glob("tests/container/*.sh")])
BASE = "localhost/neonext-base:stand-in"
INSIDE = "--inside"
# Exit status of a run that this machine cannot do.
NOT_HERE = 75
# The build argument that names each target's base.
TARGETS = {"cpu": "CPU_BASE_IMAGE", "ascend": "BASE_IMAGE"}


def main(arguments: list[str]) -> int:
    """Exit status: 0 all held or nothing could run; 1 something did not hold, or nothing could run and had to."""
    if arguments[:1] == [INSIDE]:
        return answer(partial(everything, Path(arguments[1])))
    return answer(need_tools) or supervise()


def answer(work: Callable[[], None]) -> int:
    """The exit status of a piece of work; one line where it cannot run here."""
    try:
        work()
    except CannotRun as reason:
        print(f"container: skipped: {reason}", flush=True)
        return NOT_HERE
    return 0


def supervise() -> int:
    """Everything in mounts and processes of its own: however it ends, none are left, and the scratch folder goes."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    scratch = Path(tempfile.mkdtemp(prefix="neonext-container-"))
    # The container's user passes through it to the folder mounted for it.
    scratch.chmod(0o711)
    own = ["unshare", "--mount", "--pid", "--mount-proc", "--fork", "--kill-child"]
    again = [sys.executable, "-m", "tests.container", INSIDE, str(scratch)]
    child = subprocess.Popen(["setpriv", "--pdeathsig", "KILL", *own, *again], cwd=ROOT)
    try:
        return child.wait()
    except KeyboardInterrupt:
        return 130
    finally:
        child.kill()
        child.wait()
        shutil.rmtree(scratch)


def everything(scratch: Path) -> None:
    """All steps, in a scratch folder."""
    store = Store(scratch / "store")
    step("lint", lint)
    step("base", lambda: store.import_base(base_archive(scratch), BASE))
    step("context", partial(checks.check_context, store, ROOT, scratch))
    pip = read_settings()
    for target, base in TARGETS.items():
        step(f"{target}: build", partial(store.build, ROOT, target, {base: BASE}, pip))
        with store.container(f"neonext-ascend:{target}") as image:
            work = checks.writable_folder(scratch)
            for name, check in CHECKS[target](image, work, scratch).items():
                step(f"{target}: {name}", check)


def lint() -> None:
    """hadolint on the Dockerfile, shellcheck on the scripts."""
    run(beside_python("hadolint"), ROOT / "Dockerfile")
    run("shellcheck", *SCRIPTS)


def cpu_checks(image: Container, work: Path, scratch: Path) -> dict[str, Callable[[], None]]:
    """In order, by name."""
    return {
        "files": partial(checks.check_files, image),
        "confinement": partial(checks.check_confinement, image, work),
        "export, verify, predict": partial(checks.check_onnx, image, work),
        "serve as deploy/kserve does": partial(checks.check_serving, image, work),
        "health": partial(checks.check_health, image, work),
        "no writable folder": partial(checks.check_no_folder, image, scratch),
        "another user": partial(checks.check_other_user, image, scratch),
        "entry point": partial(checks.check_entry_point, image, work),
    }


def ascend_checks(image: Container, work: Path, _: Path) -> dict[str, Callable[[], None]]:
    """In order, by name."""
    return {
        "confinement": partial(checks.check_confinement, image, work),
        "export, verify, predict": partial(checks.check_onnx, image, work),
        "serve as deploy/kserve does": partial(checks.check_serving, image, work),
        "entry point": partial(checks.check_entry_point, image, work),
    }


CHECKS = {"cpu": cpu_checks, "ascend": ascend_checks}


def step(name: str, work: Callable[[], object]) -> None:
    """Run one step and say how long it took."""
    start = time.monotonic()
    work()
    print(f"container: {name:32} ok {time.monotonic() - start:6.1f} s", flush=True)


if __name__ == "__main__":
    status = main(sys.argv[1:])
    if status == NOT_HERE and INSIDE not in sys.argv:
        status = int(os.environ.get("NEONEXT_REQUIRE_CONTAINER") == "1")
    sys.exit(status)
