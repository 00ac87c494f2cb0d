"""This machine's pip settings for a build in a container: one pip.conf, and the local folders that it names."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

# In the order in which pip and the libraries under it look for a bundle of certificates.
CERTIFICATES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE")
# Where the Dockerfile mounts the secret ca_bundle.
BUNDLE_INSIDE = "/run/secrets/ca_bundle"
# Settings that concern this machine's files, not where packages come from.
_LEFT_OUT = ("cache-dir", "log", "require-virtualenv", "target", "user", "prefix", "root")


@dataclass(frozen=True, slots=True)
class PipSettings:
    """``conf`` is a pip.conf's text, ``folders`` are mounted where they are here, ``bundle`` is the certificates'."""

    conf: str
    folders: tuple[Path, ...]
    bundle: Path | None


def read_settings() -> PipSettings:
    """What ``pip config list`` says here; a variable of the environment wins, as in pip itself."""
    listed = subprocess.run([sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True, check=True)
    return settings_of(listed.stdout, dict(os.environ))


def settings_of(listed: str, environ: dict[str, str]) -> PipSettings:
    """The settings of ``pip config list``'s output, lines such as ``global.index-url='...'``."""
    settings: dict[str, str] = {}
    for line in sorted(listed.splitlines(), key=lambda line: line.startswith(":env:")):
        key, _, value = line.partition("=")
        section, _, name = key.rpartition(".")
        if section in ("global", "install", ":env:") and name not in _LEFT_OUT:
            settings[name] = str(ast.literal_eval(value))
    bundle = settings.pop("cert", None) or next((environ[n] for n in CERTIFICATES if environ.get(n)), None)
    folders = {folder for name, value in settings.items() for word in value.split() for folder in _local(name, word)}
    lines = ["[global]", *(f"{name} = {' '.join(value.split())}" for name, value in sorted(settings.items()))]
    if bundle is not None:
        lines.append(f"cert = {BUNDLE_INSIDE}")
    return PipSettings("\n".join(lines) + "\n", tuple(sorted(folders)), Path(bundle) if bundle else None)


def _local(name: str, word: str) -> list[Path]:
    path = Path(re.sub(r"^file://", "", word))
    if not path.is_absolute() or not path.exists():
        return []
    # An index's pages may point to files beside it.
    return [path.parent if name.endswith("index-url") else path]
