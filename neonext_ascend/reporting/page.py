"""One self-contained page about an artifact, made from its JSON object alone: it says nothing that is not there."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from importlib import resources
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

from neonext_ascend.drawing.style import DARK, clean, require_matplotlib
from neonext_ascend.errors import ToolchainError
from neonext_ascend.reporting.tables import WAYS, network_text, node_rows, tables

if TYPE_CHECKING:
    from markupsafe import Markup

_TEMPLATE = "page.html.jinja"
_FILE = "the file itself"


def require_pages(what: str) -> None:
    """See that a page can be made here, before anything long is begun for one.

    Args:
        what: asks for it, as the user wrote it.

    Raises:
        ToolchainError: jinja2 or matplotlib is missing or does not load.
    """
    try:
        import jinja2  # noqa: F401 -- whether it loads is the question
    except ImportError:
        raise ToolchainError(
            f"{what}: pages need jinja2, which is not installed; pip install '.[report]' in the checkout"
        ) from None
    require_matplotlib(what)


def page(contents: Mapping[str, Any], pictures: Mapping[str, bytes] | None = None) -> str:
    """The HTML; the same contents give the same bytes.

    Args:
        contents: the object of ``NAME.report.json``; every text in it is taken for a stranger's.
        pictures: PNG files by the name under which the contents speak of them.
    """
    import jinja2

    told = _cleaned(contents)
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    template = environment.from_string(resources.files(__package__).joinpath(_TEMPLATE).read_text(encoding="utf-8"))
    shown = {clean(name): base64.b64encode(png).decode() for name, png in (pictures or {}).items()}
    return template.render(
        it=told,
        network=network_text(told["manifest"]),
        tables=tables(told),
        figures=_figures(told),
        pictures=shown,
        ways=WAYS,
        dark=DARK,
    )


def _figures(contents: Mapping[str, Any]) -> dict[str, Markup]:
    from markupsafe import Markup

    from neonext_ascend.drawing.by_depth import draw_by_depth

    rows = node_rows(contents)
    if not rows:
        return {}
    names, ways = [row["name"] for row in rows], [way["overflow"] for way in contents["half"] or () if way["nodes"]]
    errors, room = (
        _apart({WAYS[way]: [_of(row["half"].get(way), figure) for row in rows] for way in ways})
        for figure in ("relative", "headroom_bits")
    )
    if any(row["file"] for row in rows):
        errors = {_FILE: [_of(row["file"], "relative") for row in rows], **errors}
    drawn = {"error": draw_by_depth("Error by depth", names, errors, label="relative error", error=True)}
    if room:
        drawn["room"] = draw_by_depth("Range by node in fp16", names, room, label="headroom in bits", limit=0)
    return {name: Markup(inlined(svg, name)) for name, svg in drawn.items()}


def _apart(series: dict[str, list[float | None]]) -> dict[str, list[float | None]]:
    """Both ways as one where they do not differ: nothing overflows."""
    first, *others = series.values() or [[]]
    return {"fp16, either way of overflowing": first} if others and all(other == first for other in others) else series


def _of(node: Mapping[str, Any] | None, figure: str) -> float | None:
    return None if node is None else node[figure]


def inlined(svg: str, name: str) -> str:
    """A drawing as a part of a page: with ids of its own, and light where it is printed."""
    root = ElementTree.fromstring(svg)
    for element in root.iter():
        for attribute, value in element.attrib.items():
            if attribute == "id":
                element.set(attribute, f"{name}-{value}")
            elif value.startswith("#"):
                element.set(attribute, f"#{name}-{value[1:]}")
            elif value.startswith("url(#"):
                element.set(attribute, f"url(#{name}-{value[5:]}")
        if element.tag.endswith("style"):
            element.text = (element.text or "").replace("@media (", "@media screen and (")
    return ElementTree.tostring(root, encoding="unicode")


def _cleaned(value: Any) -> Any:
    """Texts as one line without control characters; numbers as they are."""
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, Mapping):
        return {clean(str(name)): _cleaned(held) for name, held in value.items()}
    return [_cleaned(held) for held in value] if isinstance(value, list | tuple) else value
