"""What a server is given to keep others out with, and what of the folder it is started in it must not run."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from neonext_ascend.cli.main import run
from neonext_ascend.client import Client
from neonext_ascend.errors import UsageError
from neonext_ascend.machine.diagnosis.child import run_python
from neonext_ascend.serving.settings import Settings
from neonext_ascend.serving.web.security import read_key


@pytest.mark.parametrize("given", ["", "short", "two words", "naïveté-key", "k" * 4097, "k" * 2**20, None])
def test_a_file_without_a_key_is_refused_however_long_it_is(given: str | None, tmp_path: Path) -> None:
    path = Path("/dev/zero") if given is None else tmp_path / "key"
    if given is not None:
        path.write_text(given, encoding="utf-8")
    with pytest.raises(UsageError, match="expected one line of at least 8 letters"):
        read_key(path)


def test_a_key_may_come_from_what_is_no_file(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    os.write(writing, b"k" * 4095 + b"\n")
    os.close(writing)
    try:
        assert read_key(Path(f"/dev/fd/{reading}")) == "k" * 4095
    finally:
        os.close(reading)


@pytest.mark.skipif(shutil.which("openssl") is None, reason="nothing here makes a certificate")
def test_keys_and_certificates_that_are_none_are_told_and_nothing_is_asked(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    made = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-passout", "pass:secret", "-subj", "/CN=localhost"]
    subprocess.run([*made, "-keyout", str(key), "-out", str(cert)], check=True, capture_output=True)
    assert run(["serve", "absent.onnx", "--port", "0", "--tls-cert", str(cert), "--tls-key", str(key)]) == 2
    said = capfd.readouterr().err
    assert f"{cert}: no certificate with the key {key}: the key is encrypted" in said
    assert "Enter" not in said
    assert run(["serve", "absent.onnx", "--port", "0", "--tls-cert", str(cert), "--tls-key", str(cert)]) == 2
    assert "not to be read; expected PEM files" in capfd.readouterr().err
    with pytest.raises(UsageError, match=f"{key}: no certificate: .*; expected a PEM file"):
        Client("https://127.0.0.1", certificate=key)


def test_processes_of_python_run_nothing_of_the_folder_they_are_started_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("random", "mmap", "msgspec", "json", "neonext_ascend"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('theirs')")
    done = subprocess.run([*Settings().command, "no number"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert "ValueError: invalid literal for int() with base 10: 'no number'" in done.stderr
    monkeypatch.chdir(tmp_path)
    assert run_python("import json, random; print('ours')", os.environ) == (True, "ours")
