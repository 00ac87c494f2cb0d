"""The container's files, and the entry point run here; ``python -m tests.container`` builds and runs the images."""

from __future__ import annotations

import os
import re
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from neonext_ascend._version import __version__
from neonext_ascend.exporters.om_file.manifest import om_name
from neonext_ascend.exporters.om_file.options import AtcOptions
from neonext_ascend.machine.chips import find_soc
from neonext_ascend.machine.container import BASE_IMAGES, DEVICE_NODES, HOST_PATHS, IMAGES
from tests import ROOT
from tests.container.checks import COMPILER
from tests.container.pip_settings import BUNDLE_INSIDE, settings_of
from tests.support.deploy import JOB, KUBERAY, deployed, parsed

RAY_VERSION = deployed(KUBERAY)["spec"]["rayClusterConfig"]["rayVersion"]
ENTRY_POINT = ROOT / "docker" / "entrypoint.sh"


def instructions() -> list[tuple[str, str]]:
    """The Dockerfile's instructions, each with its text on one line."""
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    lines = "\n".join(line for line in text.splitlines() if not line.startswith("#")).replace("\\\n", " ")
    words = [line.split(maxsplit=1) for line in lines.splitlines() if line.strip()]
    return [(name, " ".join(rest.split())) for name, rest in words]


def stages() -> dict[str, list[tuple[str, str]]]:
    """Instructions by stage; those before the first under an empty name."""
    found: dict[str, list[tuple[str, str]]] = {"": []}
    current = ""
    for name, text in instructions():
        if name == "FROM":
            current = text.split(" AS ")[1]
            found[current] = []
        found[current].append((name, text))
    return found


def of(stage: str, name: str) -> list[str]:
    return [text for found, text in stages()[stage] if found == name]


def test_every_base_is_pinned_to_a_release() -> None:
    bases = dict(text.split("=", 1) for text in of("", "ARG"))
    used = {re.fullmatch(r"\$\{(\w+)\} AS [\w-]+", text) for name, text in instructions() if name == "FROM"}
    assert {found and found.group(1) for found in used} == set(bases) == {"CPU_BASE_IMAGE", "BASE_IMAGE"}
    for image in bases.values():
        assert re.fullmatch(r"[\w/]+:\d+\.\d+\.\d+-[\w.-]+", image), image
    assert bases["BASE_IMAGE"] == BASE_IMAGES["310P"]


def test_both_images_are_the_same_but_for_the_base_and_the_description() -> None:
    def common(stage: str) -> list[tuple[str, str]]:
        return [
            (name, re.sub(r'image.description="[^"]*"', "", text).replace("ascend-builder", "cpu-builder"))
            for name, text in stages()[stage][1:]
            if (name, text) != ("USER", "0:0")
        ]

    assert common("cpu") == common("ascend")
    assert of("ascend", "USER") == ["0:0", *of("cpu", "USER")]


@pytest.mark.parametrize("target", ["cpu", "ascend"])
def test_an_image_has_a_fixed_user_that_is_not_root_and_a_health_check(target: str) -> None:
    user = of(target, "USER")[-1]
    assert re.fullmatch(r"([1-9]\d+):\1", user), user
    (added,) = (text for text in of(target, "RUN") if "useradd" in text)
    assert f"--uid {user.split(':')[0]} " in added
    (health,) = of(target, "HEALTHCHECK")
    assert health.endswith('CMD ["neonext-ascend-entrypoint", "doctor", "--require", "onnx"]')
    assert of(target, "ENTRYPOINT") == ['["neonext-ascend-entrypoint"]']
    assert f"VERSION={__version__}" in of(target, "ARG")
    (settings,) = of(target, "ENV")
    assert {"HOME=/data", "ORT_DISABLE_TELEMETRY=1", "TORCH_DEVICE_BACKEND_AUTOLOAD=0"} <= set(settings.split())


def test_plain_docker_build_makes_the_image_for_any_machine() -> None:
    assert list(stages())[-1] == "cpu"


@pytest.mark.parametrize("builder", ["cpu-builder", "ascend-builder"])
def test_builders_take_torchs_index_as_an_argument_and_pips_configuration_as_a_secret(builder: str) -> None:
    assert "TORCH_INDEX_URL=" in of(builder, "ARG")
    assert of(builder, "ENV") == []
    for text in of(builder, "RUN"):
        assert text.startswith("--mount=type=secret,id=pip_conf,target=/etc/pip.conf,required=false ")


def test_what_the_dockerfile_copies_is_what_dockerignore_lets_through() -> None:
    rules = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and line[0] != "#"]
    assert rules[0] == "*"
    let_through = {rule[1:] for rule in rules if rule[0] == "!"}
    copied = {
        word
        for stage in stages()
        for text in of(stage, "COPY")
        if "--from" not in text
        for word in text.split()[:-1]
        if not word.startswith("--")
    }
    assert {re.sub(r"docker/\w+\.sh", "docker/*.sh", word) for word in copied} == {
        rule.removesuffix("/**") for rule in let_through
    }
    assert all((ROOT / word).exists() for word in copied)


def test_compose_runs_both_targets_confined() -> None:
    services = parsed((ROOT / "compose.yaml").read_text(encoding="utf-8"))["services"]
    assert {target: service["image"] for target, service in services.items()} == IMAGES
    for target, service in services.items():
        assert service["build"]["target"] == target
        assert service["read_only"]
        assert service["cap_drop"] == ["ALL"]
        writable = [volume for volume in service["volumes"] if not volume.endswith(":ro")]
        assert [volume.rpartition(":")[2] for volume in writable] == ["/data"]
    # As the lines of neonext_ascend.machine.container have them.
    assert services["ascend"]["devices"] == ["/dev/davinci${NEONEXT_NPU:-0}", *DEVICE_NODES]
    assert services["ascend"]["volumes"][1:] == [f"{path}:{path}:ro" for path in HOST_PATHS]
    assert "environment" not in services["ascend"]  # LD_LIBRARY_PATH would replace the image's


def test_the_job_runs_what_export_writes() -> None:
    job = deployed(JOB)
    pod = job["spec"]["template"]["spec"]
    (compiling,), (verifying,) = pod["initContainers"], pod["containers"]
    name, _, _, _, soc, _, folder = compiling["args"][1:]
    onnx = f"{name}-96-b1-fp32.onnx"
    om = om_name(onnx, AtcOptions(soc=find_soc(soc)))
    assert verifying["args"] == ["verify", f"{folder}/{om}", "--against", f"{folder}/{onnx}", "--json"]


class Machine:
    """A folder with a stand-in program and, if asked for, stand-in CANN trees; runs the entry point there."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.cann = folder, folder / "cann root"
        self.work = folder / "work"
        self.work.mkdir()
        program = folder / "bin" / "neonext-ascend"
        program.parent.mkdir()
        program.write_text(
            '#!/bin/sh\nprintf "<%s>" "$@"\nprintf " %s" "$TMPDIR" $STANDIN_CANN\nexit "${STANDIN_STATUS:-0}"\n'
        )
        program.chmod(0o755)

    def add(self, place: str, script: str) -> None:
        (self.cann / place).mkdir(parents=True)
        (self.cann / place / "set_env.sh").write_text(script)

    def run(self, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        settings = {
            "PATH": f"{self.folder / 'bin'}:/usr/bin:/bin",
            "HOME": str(self.work),
            "TMPDIR": str(self.work / ".tmp"),
            "NEONEXT_CANN_ROOT": str(self.cann),
            **variables,
        }
        return subprocess.run(
            ["bash", str(ENTRY_POINT), *arguments],
            env=settings, capture_output=True, text=True, check=False, timeout=900, cwd=self.folder,
        )  # fmt: skip


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    if shutil.which("bash") is None:
        pytest.skip("no bash here")
    return Machine(tmp_path)


def test_without_cann_the_entry_point_passes_arguments_and_status_through(machine: Machine) -> None:
    done = machine.run("predict", "a b.onnx", "*", "", "--top=1", STANDIN_STATUS="37")
    assert done.returncode == 37
    assert done.stdout == f"<predict><a b.onnx><*><><--top=1> {machine.work}/.tmp"
    assert done.stderr == ""


def test_the_entry_point_runs_another_program_where_it_is_told_to(machine: Machine) -> None:
    done = machine.run("-c", 'echo "$0 $#" && eval "$GIVEN"', NEONEXT_PROGRAM="bash", GIVEN="echo '{\"NPU\": 1}'")
    assert (done.returncode, done.stdout) == (0, 'bash 0\n{"NPU": 1}\n')


# What the vendor's script may do without harm: print, look at arguments, use unset variables, fail at the end.
SET_ENV = 'echo noise\necho "sees $#"\nexport STANDIN_CANN="$STANDIN_CANN {name}" UNSET="$NOT_SET"\n{last}\n'


@pytest.mark.parametrize(
    "places", [["ascend-toolkit"], ["cann"], ["ascend-toolkit", "cann"]], ids=["before 8.5", "one", "both"]
)
@pytest.mark.parametrize("last", ["true", "false"])
def test_the_entry_point_takes_over_canns_environment(places: list[str], last: str, machine: Machine) -> None:
    for place in places:
        machine.add(place, SET_ENV.format(name=place, last=last))
    done = machine.run("doctor", "--json", STANDIN_STATUS="3")
    assert done.returncode == 3
    assert done.stdout == f"<doctor><--json> {machine.work}/.tmp {' '.join(places)}"
    told = done.stderr.splitlines()
    assert told.count("noise") == told.count("sees 0") == len(places)
    assert sum("ended with status 1" in line for line in told) == (len(places) if last == "false" else 0)


def test_the_entry_point_becomes_the_program_so_that_signals_reach_it(machine: Machine) -> None:
    program = machine.folder / "bin" / "neonext-ascend"
    program.write_text("#!/bin/sh\nkill -TERM $$\nsleep 60\n")
    assert machine.run("benchmark").returncode == -15


def test_a_folder_that_cannot_be_written_is_warned_of(machine: Machine) -> None:
    # In its place, for root may write anywhere.
    (machine.work / ".tmp").write_text("a file where the folder should be")
    done = machine.run("list")
    assert done.stdout == "<list> "
    assert f"{machine.work} is not writable by user {os.geteuid()}" in done.stderr
    assert len(done.stderr.splitlines()) == 1


# In place of a new environment's Python: tells how it was called.
PYTHON = """#!/bin/sh
echo "$@"
if [ "$2" = venv ]; then
  for folder; do :; done
  mkdir -p "$folder/bin"
  cp "$0" "$folder/bin/python"
fi
"""


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({}, ["torch==2.13.0"]),
        ({"TORCH_INDEX_URL": "https://index.invalid/cpu"}, ["--index-url https://index.invalid/cpu torch==2.13.0"]),
        ({"TORCH_NPU_VERSION": "2.12.0"}, ["torch==2.12.0", "torch==2.12.0 torch_npu==2.12.0"]),
        ({"TORCH_NPU_VERSION": "2.9.0.post2"}, ["torch==2.9.0", "torch==2.9.0 torch_npu==2.9.0.post2"]),
    ],
    ids=["pip's index", "an index", "torch_npu", "a post release"],
)
def test_a_builder_installs_torch_from_its_index_and_in_pair_with_torch_npu(
    variables: dict[str, str], expected: list[str], tmp_path: Path
) -> None:
    (tmp_path / "python3").write_text(PYTHON)
    (tmp_path / "python3").chmod(0o755)
    # As in the Dockerfile, arguments that were not given are empty.
    settings = {"TORCH_VERSION": "2.13.0", "TORCH_INDEX_URL": "", "TORCH_NPU_VERSION": "", **variables}
    settings |= {"PATH": f"{tmp_path}:/usr/bin:/bin", "NEONEXT_VENV": str(tmp_path / "venv"), "VENV_OPTIONS": "--a --b"}
    script = ["sh", str(ROOT / "docker" / "install.sh"), "torch"]
    told = subprocess.run(script, env=settings, capture_output=True, text=True, check=True, timeout=900).stdout
    first, *installs = told.splitlines()
    assert first == f"-m venv --a --b {tmp_path}/venv"
    assert [line.partition(" install ")[2] for line in installs] == expected


@pytest.mark.parametrize(
    ("extras", "expected"),
    [("", ".whl"), ("serve", ".whl[serve]"), ("serve,ray", f".whl[serve,ray] ray=={RAY_VERSION}")],
)
def test_a_builder_installs_the_ray_that_a_rayservice_names(extras: str, expected: str, tmp_path: Path) -> None:
    python = tmp_path / "bin" / "python"
    python.parent.mkdir()
    python.write_text('#!/bin/sh\nprintf "%s\\n" "$*"\n')
    python.chmod(0o755)
    for builder in ("cpu-builder", "ascend-builder"):
        given = dict(text.split("=", 1) for text in of(builder, "ARG"))
        assert given["RAY_VERSION"] == RAY_VERSION
        settings = {**given, "EXTRAS": extras, "PATH": "/usr/bin:/bin", "NEONEXT_VENV": str(tmp_path)}
        script = ["sh", str(ROOT / "docker" / "install.sh"), "package"]
        told = subprocess.run(script, env=settings, capture_output=True, text=True, check=True, timeout=900).stdout
        assert told.splitlines()[-1].endswith(f"install /build/wheels/*{expected}")


@pytest.mark.parametrize("programs", [{"neonext-ascend"}, {"neonext-ascend", "ray"}])
def test_an_image_links_the_programs_that_it_has(programs: set[str], tmp_path: Path) -> None:
    for program in programs:
        (tmp_path / program).touch()
    for target in ("cpu", "ascend"):
        names = [name for name, _ in stages()[target]]
        assert names.index("COPY") < names.index("RUN")
        links = tmp_path / target
        links.mkdir()
        command = of(target, "RUN")[0].partition("/data && ")[2]
        command = command.replace("/opt/neonext-ascend/bin", str(tmp_path)).replace("/usr/local/bin", str(links))
        subprocess.run(["sh", "-c", command], check=True, timeout=900)
        assert {link.name for link in links.iterdir()} == programs


def test_scripts_are_executable() -> None:
    for script in (ENTRY_POINT, ROOT / "tests" / "container" / "run_read_only.sh"):
        assert script.stat().st_mode & stat.S_IXUSR


def test_hadolint_finds_nothing() -> None:
    found = shutil.which("hadolint", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    if found is None:
        pytest.skip("hadolint is not installed here; `make test` installs it")
    done = subprocess.run([found, str(ROOT / "Dockerfile")], capture_output=True, text=True, check=False, timeout=900)
    assert done.returncode == 0, done.stdout


LISTED = """\
:env:.cert='/certs/env.pem'
:env:.find-links='{here}/wheels {here}/absent'
:env:.cache-dir='/somewhere'
global.cert='/certs/file.pem'
global.index-url='https://index.invalid/simple'
global.extra-index-url='file://{here}/index/simple\\nhttps://other.invalid/simple'
global.find-links='/elsewhere'
install.constraint='{here}/constraints.txt'
list.format='columns'
"""


def test_pips_settings_travel_with_the_local_folders_that_they_name(tmp_path: Path) -> None:
    for folder in ("wheels", "index/simple"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "constraints.txt").touch()
    found = settings_of(LISTED.format(here=tmp_path), {"SSL_CERT_FILE": "/certs/ssl.pem"})
    assert found.conf.splitlines() == [
        "[global]",
        f"constraint = {tmp_path}/constraints.txt",
        f"extra-index-url = file://{tmp_path}/index/simple https://other.invalid/simple",
        f"find-links = {tmp_path}/wheels {tmp_path}/absent",
        "index-url = https://index.invalid/simple",
        f"cert = {BUNDLE_INSIDE}",
    ]
    assert found.folders == (tmp_path / "constraints.txt", tmp_path / "index", tmp_path / "wheels")
    assert found.bundle == Path("/certs/env.pem")


def test_without_settings_pip_is_left_alone_but_for_the_machines_certificates() -> None:
    bare = settings_of("", {})
    assert (bare.conf, bare.folders, bare.bundle) == ("[global]\n", (), None)
    assert settings_of("", {"SSL_CERT_FILE": "/certs/ssl.pem"}).bundle == Path("/certs/ssl.pem")


@pytest.mark.parametrize("name", ["gcc", "cc", "c++", "x86_64-linux-gnu-gcc-12", "aarch64-linux-gnu-ld", "clang-14"])
def test_a_compiler_is_known_by_its_name(name: str) -> None:
    assert COMPILER.search(name)


@pytest.mark.parametrize("name", ["python3.11", "bash", "fcc", "md5sum", "ldconfig", "neonext-ascend", "isympy"])
def test_other_programs_are_not_compilers(name: str) -> None:
    assert not COMPILER.search(name)
