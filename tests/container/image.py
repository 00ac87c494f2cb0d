"""Building an image with buildah in a store of its own, and running commands in it."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.container.commands import NAMESPACES, run
from tests.container.pip_settings import PipSettings

RUNNER = Path(__file__).parent / "run_read_only.sh"
TIME_LIMIT = 300


class Store:
    """buildah's images and containers in ``folder``; nothing of the machine's own storage is touched."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        # Secrets and cached files would go to /var/tmp.
        (folder / "tmp").mkdir(parents=True)
        self.env = {**os.environ, "BUILDAH_ISOLATION": "chroot", "TMPDIR": str(folder / "tmp")}
        overlay = subprocess.run(self._command("overlay", "info"), capture_output=True, check=False, env=self.env)
        self.driver = "vfs" if overlay.returncode else "overlay"

    def buildah(self, *arguments: str | Path) -> str:
        """Standard output of a buildah command in this store."""
        return run(*self._command(self.driver, *map(str, arguments)), env=self.env)

    def _command(self, driver: str, *arguments: str) -> list[str]:
        where = ("--root", str(self.folder / "storage"), "--runroot", str(self.folder / "run"))
        return ["buildah", *where, "--storage-driver", driver, *arguments]

    def import_base(self, archive: Path, name: str) -> None:
        """An image of nothing but the files of a tar archive."""
        container = self.buildah("from", "scratch").strip()
        self.buildah("add", "--quiet", container, archive, "/")
        self.buildah("commit", "--quiet", "--format", "docker", container, name)
        self.buildah("rm", container)

    def build(self, context: Path, target: str, arguments: Mapping[str, str], pip: PipSettings) -> str:
        """Build one target of the Dockerfile in ``context``; its image's name."""
        conf = self.folder / "pip.conf"
        conf.write_text(pip.conf, encoding="utf-8")
        options = ["--format", "docker", "--target", target, "--secret", f"id=pip_conf,src={conf}"]
        if pip.bundle is not None:
            options += ["--secret", f"id=ca_bundle,src={pip.bundle}"]
        for folder in pip.folders:
            options += ["--volume", f"{folder}:{folder}:ro"]
        for name, value in arguments.items():
            options += ["--build-arg", f"{name}={value}"]
        name = f"neonext-ascend:{target}"
        self.buildah("bud", *options, "--tag", name, context)
        return name

    @contextmanager
    def container(self, name: str) -> Iterator[Container]:
        """The image's files mounted, with its configuration."""
        config = json.loads(self.buildah("inspect", "--type", "image", name))["Docker"]["config"]
        container = self.buildah("from", name).strip()
        try:
            yield Container(Path(self.buildah("mount", container).strip()), config)
        finally:
            self.buildah("umount", container)
            self.buildah("rm", container)


@dataclass(frozen=True, slots=True)
class Done:
    """How a command in a container ended."""

    status: int
    out: str
    err: str

    def needed(self) -> Done:
        """Itself, where the command succeeded; else the checks end."""
        if self.status:
            raise SystemExit(f"exit status {self.status} in the container\n{self.out}{self.err}")
        return self


@dataclass(frozen=True, slots=True)
class Container:
    """An image's root folder and its configuration, ready to run."""

    root: Path
    config: dict[str, object] = field(repr=False)

    def run(self, *arguments: str, work: Path | None, user: str | None = None, **variables: str) -> Done:
        """The entry point with these arguments; as docker, the image's own environment and user."""
        entry = self.config["Entrypoint"]
        assert isinstance(entry, list)
        return self.command(*entry, *arguments, work=work, user=user, **variables)

    def command(self, *command: str, work: Path | None, user: str | None = None, **variables: str) -> Done:
        """Any command in the image, in the same confinement."""
        env = self.config["Env"]
        assert isinstance(env, list)
        settings = [*env, *(f"{name}={value}" for name, value in variables.items())]
        where = [str(self.root), str(work or "-"), user or str(self.config["User"]), str(self.config["WorkingDir"])]
        inside = [*NAMESPACES, str(RUNNER), *where, *settings, *command]
        done = subprocess.run(inside, capture_output=True, text=True, check=False, timeout=TIME_LIMIT)
        return Done(done.returncode, done.stdout, done.stderr)
