"""What mkdocstrings is shown of a docstring: `height, width: ...` as a line each, and roles as plain code."""

from __future__ import annotations

import re
from typing import Any

import griffe

SHARED = re.compile(r"^(?P<indent> +)(?P<names>\w+(?:, \w+)+)(?P<rest>: .*(?:\n(?P=indent) +.*)*)", re.MULTILINE)
ROLE = re.compile(r":\w+:`~?([\w.]+)`")


class PlainDocstrings(griffe.Extension):
    """One extension, named in mkdocs.yml."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Rewrite an object's docstring."""
        if obj.docstring is not None:
            text = ROLE.sub(r"`\1`", obj.docstring.value)
            obj.docstring.value = SHARED.sub(_one_line_each, text)


def _one_line_each(match: re.Match[str]) -> str:
    return "\n".join(match["indent"] + name + match["rest"] for name in match["names"].split(", "))
