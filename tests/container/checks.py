"""What must hold of the images: each check runs commands in one, confined as strictly as docker can."""

from __future__ import annotations

import json
import os
import re
import shutil
from pathlib import Path

from tests.container.image import Container, Store
from tests.support.deploy import server

UID = 10001
# The program of a compiler or linker, however prefixed and numbered: x86_64-linux-gnu-gcc-12.
COMPILER = re.compile(r"(^|-)(gcc|g\+\+|cc|c\+\+|cpp|tcc|clang|clang\+\+|ld|as|make|cmake|ninja)(-[\d.]+)?$")
PACKAGE = "opt/neonext-ascend/lib/python3*/site-packages/neonext_ascend"
SAMPLES = "data/samples"
ASKING = Path(__file__).parent / "asking.py"

# What a stand-in for the vendor's set_env.sh does: prints, looks at its arguments, uses a variable that is not set,
# and puts a Python module in front of all others, as CANN's own does; it ends with a failing command.
SET_ENV = """
echo noise of {name}
[ "$#" = 0 ] || echo "STAND-IN SEES $*" >&2
export STANDIN_CANN="$STANDIN_CANN {name}"
export PYTHONPATH={folder}/python:$PYTHONPATH
false
"""
# Tells on standard error what reached the program: CANN's environment and the arguments.
MODULE = "import os, sys\nprint('REACHED', os.environ['STANDIN_CANN'], sys.orig_argv[2:], file=sys.stderr)\n"


# Exit statuses of commands that cannot succeed here.
STATUSES = {("doctor", "--require", "npu"): 3, ("predict", "a b.onnx", "c d.png"): 5, ("no",): 2}


def writable_folder(parent: Path, uid: int = UID) -> Path:
    """A new folder that belongs to ``uid`` alone."""
    folder = parent / f"work-{len(list(parent.glob('work-*')))}"
    folder.mkdir(mode=0o755)
    os.chown(folder, uid, uid)
    return folder


def check_context(store: Store, root: Path, scratch: Path) -> None:
    """Only what the Dockerfile copies reaches the builder."""
    everything = scratch / "everything"
    everything.write_text("FROM scratch\nCOPY . /\n", encoding="utf-8")
    store.buildah("bud", "--file", everything, "--tag", "context", root)
    with store.container("context") as context:
        found = {str(p.relative_to(context.root)) for p in context.root.rglob("*") if p.is_file() or p.is_symlink()}
    tops = {name.split("/")[0] for name in found}
    expect(
        tops == {"LICENSE", "README.md", "pyproject.toml", "docker", "neonext_ascend"}, f"context has {sorted(tops)}"
    )
    litter = sorted(name for name in found if "__pycache__" in name or "/." in name or name.endswith(".pyc"))
    expect(not litter, f"context has {litter[:5]}")
    expect({"docker/entrypoint.sh", "neonext_ascend/data/samples/digit_7.png"} <= found, "context lacks files")


def check_files(image: Container) -> None:
    """No compiler, no build settings, no sources of ours outside the package."""
    programs = [p for folder in ("usr/bin", "usr/sbin", "usr/local/bin", "opt/neonext-ascend/bin") for p in
                (image.root / folder).iterdir()]  # fmt: skip
    compilers = [p.name for p in programs if COMPILER.search(p.name)]
    expect(not compilers, f"the image has {compilers}")
    expect(len(programs) > 50, "no programs found to look at")
    links = [p for p in (image.root / "usr/local/bin").iterdir() if p.is_symlink()]
    # Absolute ones, whose beginning is the image's.
    nowhere = [p.name for p in links if not (image.root / str(p.readlink()).lstrip("/")).exists() and not p.exists()]
    expect(not nowhere, f"links to nothing: {nowhere}")
    for left in ("etc/pip.conf", "run/secrets", "build", "root/.cache"):
        expect(not (image.root / left).exists(), f"the image has /{left}")
    expect(len(list(image.root.glob(f"{PACKAGE}/{SAMPLES}/digit_*.png"))) == 10, "the packaged samples are missing")


def check_confinement(image: Container, work: Path) -> None:
    """The user is not root and can write to the one folder alone: so what follows needs no more than that."""
    expect(image.config["User"] == f"{UID}:{UID}", f"the image's user is {image.config['User']}")
    expect(image.command("id", "-u", work=work).needed().out.strip() == str(UID), "another user runs")
    for folder in ("/", "/tmp", "/var/tmp", "/opt/neonext-ascend", "/usr/local/bin", "/dev", "/etc"):
        tried = image.command("touch", f"{folder}/x", work=work)
        expect(tried.status != 0, f"{folder} is writable")
    places = image.command("find", "/", "-xdev", "-type", "d", "-writable", work=work).out.split()
    expect(places == ["/data"], f"writable: {places}")
    image.command("touch", "/data/x", work=work).needed()
    (work / "x").unlink()


def check_onnx(image: Container, work: Path, user: str | None = None) -> None:
    """Export, verify, and every packaged digit named rightly."""
    image.run("export", "neonext_nano", "-o", "out", work=work, user=user).needed()
    file = "out/neonext_nano-96-b1-fp32.onnx"
    report = image.run("verify", file, work=work, user=user).needed()
    expect("passed" in report.out, report.out)
    (package,) = image.root.glob(PACKAGE)
    samples = f"/{package.relative_to(image.root)}/{SAMPLES}"
    told = image.run("predict", file, samples, "--top", "1", "--jsonl", work=work, user=user).needed().out
    named = {Path(line["path"]).stem: f"digit_{line['top'][0]['label']}" for line in map(json.loads, told.splitlines())}
    expect(named == {f"digit_{d}": f"digit_{d}" for d in range(10)}, f"named {named}")
    owner = (work / file).stat().st_uid
    expect(owner == work.stat().st_uid, f"the file belongs to {owner}")


def check_serving(image: Container, work: Path) -> None:
    """What ``deploy/kserve`` starts, on an ONNX file in place of its OM: ready, alive, right, and ended by SIGTERM."""
    kserve, file = server(), "models/neonext_nano-96-bdyn-fp32.onnx"
    image.run("export", "neonext_nano", "--batch-size", "dynamic", "-o", "models", work=work).needed()
    name, _, _ = kserve["args"][1].partition("=")
    arguments = [f"{name}={file}" if argument.endswith(".om") else argument for argument in kserve["args"]]
    probes = [kserve[f"{kind}Probe"]["httpGet"] for kind in ("readiness", "liveness")]
    addresses = [f"http://127.0.0.1:{probe['port']}{probe['path']}" for probe in probes]
    shutil.copy(ASKING, work / ASKING.name)
    entry = image.config["Entrypoint"]
    assert isinstance(entry, list)
    python = "/opt/neonext-ascend/bin/python"
    done = image.command(python, ASKING.name, *addresses, *entry, *arguments, work=work).needed()
    said = json.loads(done.out)
    expect(said["alive"], "the liveness probe fails while the server answers")
    expect(said["named"] == {f"digit_{d}": str(d) for d in range(10)}, f"served answers {said['named']}")
    expect('"event": "ended"' in done.err, done.err)
    expect(kserve["volumeMounts"][0]["mountPath"] == "/data", "deploy/kserve makes another folder writable")


def check_health(image: Container, work: Path) -> None:
    """The health check passes, and fails where ONNX Runtime does not import."""
    health = image.config["Healthcheck"]
    assert isinstance(health, dict)
    kind, *command = health["Test"]
    expect(kind == "CMD", f"health check of kind {kind}")
    image.command(*command, work=work).needed()
    broken = work / "broken"
    broken.mkdir()
    (broken / "onnxruntime.py").write_text("raise ImportError('broken on purpose')\n", encoding="utf-8")
    status = image.command(*command, work=work, PYTHONPATH="/data/broken").status
    expect(status == 3, f"health of a broken image: exit status {status}")
    shutil.rmtree(broken)


def check_no_folder(image: Container, scratch: Path) -> None:
    """Without a writable folder: what only reads works with a warning, what writes fails in one line."""
    told = image.run("list", "--json", work=None).needed()
    expect("not writable by user 10001" in told.err, told.err)
    json.loads(told.out)
    other = writable_folder(scratch, UID + 1)
    failed = image.run("export", "neonext_nano", "-o", "out", work=other)
    expect(failed.status == 5, f"exit status {failed.status}: {failed.err}")
    expect("Traceback" not in failed.err, failed.err)


def check_other_user(image: Container, scratch: Path) -> None:
    """A user that the image does not know, as with ``docker run --user``."""
    check_onnx(image, writable_folder(scratch, 4321), "4321:4321")


def check_entry_point(image: Container, work: Path) -> None:
    """CANN's environment from stand-in trees: none, the older place, both; arguments and exit status pass through."""
    vendor = image.root / "usr/local/Ascend"
    for place in ("", "ascend-toolkit", "cann"):
        names = []
        if place:
            folder = vendor / place
            (folder / "python").mkdir(parents=True)
            inside = f"/{folder.relative_to(image.root)}"
            (folder / "set_env.sh").write_text(SET_ENV.format(name=place, folder=inside), encoding="utf-8")
            (folder / "python" / "sitecustomize.py").write_text(MODULE, encoding="utf-8")
            names = ["ascend-toolkit", "cann"][: 1 if place == "ascend-toolkit" else 2]
        told = image.run("list", "--json", work=work).needed()
        json.loads(told.out)
        reached = f"REACHED  {' '.join(names)} ['list', '--json']" in told.err
        expect(reached == bool(names), f"with {names}: {told.err}")
        expect("STAND-IN SEES" not in told.err, told.err)
        for arguments, status in STATUSES.items():
            found = image.run(*arguments, work=work)
            expect(found.status == status, f"{arguments}: exit status {found.status}\n{found.err}")
            expect(not names or repr(list(arguments)) in found.err, f"{arguments} arrived as {found.err}")
    shutil.rmtree(vendor)


def expect(holds: bool, otherwise: str) -> None:
    """End the checks where something does not hold."""
    if not holds:
        raise SystemExit(f"FAILED: {otherwise}")
