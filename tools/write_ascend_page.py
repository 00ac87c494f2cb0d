"""Fill the generated parts of docs/ascend.md: Docker lines as the doctor prints them, ATC's codes as export tells them.

python -m tools.write_ascend_page
"""

from __future__ import annotations

from pathlib import Path

from neonext_ascend.exporters.om_file.codes import CODES
from neonext_ascend.machine.container import docker_build_command, docker_run_command

PAGE = Path(__file__).parent.parent / "docs" / "ascend.md"


def ascend_page(text: str) -> str:
    """The page with its generated parts renewed."""
    for name, content in _parts().items():
        begin, end = f"<!-- begin {name} -->\n", f"<!-- end {name} -->"
        before, _, rest = text.partition(begin)
        text = before + begin + content + end + rest.partition(end)[2]
    return text


def _parts() -> dict[str, str]:
    rows = "".join(f"| {code} | {meaning.says} | {meaning.remedy} |\n" for code, meaning in sorted(CODES.items()))
    return {
        "build": _block(docker_build_command("cpu")) + "\n" + _block(docker_build_command("ascend")),
        "run": _block(docker_run_command([0])),
        "codes": f"| code | what it says | what to do |\n|---|---|---|\n{rows}",
    }


def _block(command: str) -> str:
    return f"```sh\n{command}\n```\n"


if __name__ == "__main__":
    PAGE.write_text(ascend_page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
