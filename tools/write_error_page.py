"""Write docs/errors.md from the table of bad inputs that the tests run.

python -m tools.write_error_page
"""

from __future__ import annotations

from pathlib import Path

from tests.support.refusals import SECTIONS

PAGE = Path(__file__).parent.parent / "docs" / "errors.md"
_HEAD = """# Errors

Made by `python -m tools.write_error_page` from the table that the tests run: each row is tried at every `make test`.
A message says what happened, to what, what was expected and what to do. Nothing is left half-written.

Exit status: 0 good; 1 the numbers differ; 2 wrong usage or input, content that opens but cannot be accepted included;
3 a tool or device is missing; 5 what the system refuses to read, write or create, a truncated file included; 70 a bug
of ours; 130 interrupted.
"""


def error_page() -> str:
    """The page's text."""
    parts = [_HEAD]
    for title, cases in SECTIONS.items():
        parts.append(f"\n## {title}\n\n| given | status | the message contains | cure |\n|---|---|---|---|\n")
        parts += [f"| {c.given} | {c.code} | {c.says} | {c.cure} |\n" for c in cases]
    return "".join(parts)


if __name__ == "__main__":
    PAGE.write_text(error_page(), encoding="utf-8")
