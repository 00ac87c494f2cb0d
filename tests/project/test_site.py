"""The site's source and the check of the built site; what builds the site itself is `make docs`."""

from __future__ import annotations

import re
from pathlib import Path

import griffe
import pytest

from tests import ROOT
from tools.check_site import faults
from tools.site_docstrings import PlainDocstrings
from tools.stage_site import rewritten, staged_name

PAGE = '<html><head><link rel="stylesheet" href="own.css"></head><body>{}</body></html>'


@pytest.mark.parametrize(
    ("path", "staged"),
    [
        ("docs/zh/ascend.md", "zh/ascend.md"),
        ("docs/images/neocell.svg", "images/neocell.svg"),
        ("README.md", "repository/readme.md"),
        ("deploy/kubernetes-job.yaml", "repository/deploy/kubernetes-job.yaml.md"),
        ("examples", "repository/examples/index.md"),
    ],
)
def test_each_file_has_its_place_in_the_site(path: str, staged: str) -> None:
    assert staged_name(ROOT / path).as_posix() == staged


@pytest.mark.parametrize(
    ("page", "link", "turned"),
    [
        ("docs/index.md", "[a](ascend.md#5-om)", "[a](ascend.md#5-om)"),
        ("docs/zh/ascend.md", "[a](../errors.md)", "[a](../errors.md)"),
        ("docs/zh/ascend.md", "[a](../../README.zh-CN.md)", "[a](../repository/readme.zh-cn.md)"),
        ("docs/lowering.md", "[a](../CONTRIBUTING.md#rules)", "[a](repository/contributing.md#rules)"),
        ("README.md", "![a](docs/images/neocell.svg)", "![a](../images/neocell.svg)"),
        ("README.md", "[a](examples/)", "[a](examples/index.md)"),
        (
            "README.md",
            "[a](#two-commands) [b](https://example.org/x.md)",
            "[a](#two-commands) [b](https://example.org/x.md)",
        ),
        (
            "README.md",
            "`[a](no/where.md)`\n\n```text\n[a](no/where.md)\n```",
            "`[a](no/where.md)`\n\n```text\n[a](no/where.md)\n```",
        ),
    ],
)
def test_a_link_leads_to_where_its_target_stands(page: str, link: str, turned: str) -> None:
    assert rewritten(link, ROOT / page) == turned


@pytest.mark.parametrize("target", ["none.md", "../../outside.md", "/etc/passwd"])
def test_a_link_out_of_the_repository_is_refused(target: str) -> None:
    with pytest.raises(SystemExit, match="not in the repository"):
        rewritten(f"[a]({target})", ROOT / "docs" / "index.md")


def test_every_page_is_in_the_navigation() -> None:
    named = re.findall(r": (\S+\.md)$", (ROOT / "mkdocs.yml").read_text(encoding="utf-8"), re.MULTILINE)
    assert {staged_name(page).as_posix() for page in (ROOT / "docs").rglob("*.md")} <= set(named)


def site(folder: Path, body: str) -> Path:
    (folder / "index.html").write_text(PAGE.format(body), encoding="utf-8")
    (folder / "other.html").write_text(PAGE.format('<h2 id="here">here</h2>'), encoding="utf-8")
    (folder / "own.css").write_text("body { background: url(picture.svg) }", encoding="utf-8")
    (folder / "picture.svg").touch()
    return folder


def test_what_holds_is_let_pass(tmp_path: Path) -> None:
    body = '<a href="other.html#here"></a><a href="https://example.org"></a><a href="#x"></a><b id="x"></b>'
    body += '<img src="picture.svg"><img src="data:image/png;base64,AA=="><img srcset="picture.svg 1x, picture.svg 2x">'
    assert faults(site(tmp_path, body)) == []


@pytest.mark.parametrize(
    ("body", "fault"),
    [
        ('<a href="none.html">', "none.html is not in the site"),
        ('<a href="other.html#there">', "other.html#there has no such anchor"),
        ('<a href="#there">', "#there has no such anchor"),
        ('<img src="none.png">', "none.png is not in the site"),
        ('<img src="https://example.org/dot.png">', "fetches https://example.org/dot.png"),
        ('<img srcset="picture.svg 1x, //example.org/dot.png 2x">', "fetches //example.org/dot.png"),
        ('<script src="https://example.org/a.js"></script>', "fetches https://example.org/a.js"),
        ('<link rel="stylesheet" href="https://example.org/a.css">', "fetches https://example.org/a.css"),
        ('<p style="background: url(https://example.org/a.png)">', "fetches https://example.org/a.png"),
        ('<style>@import "https://example.org/a.css";</style>', "fetches https://example.org/a.css"),
    ],
)
def test_what_does_not_hold_is_named(tmp_path: Path, body: str, fault: str) -> None:
    assert faults(site(tmp_path, body)) == [f"index.html: {fault}"]


def test_a_style_sheet_is_looked_into(tmp_path: Path) -> None:
    site(tmp_path, "")
    (tmp_path / "own.css").write_text("@import url('https://example.org/a.css');", encoding="utf-8")
    assert faults(tmp_path) == ["own.css: fetches https://example.org/a.css"]


def test_docstrings_are_shown_plainly() -> None:
    function = griffe.Function(
        "f", docstring=griffe.Docstring("As :class:`~a.B`.\n\nArgs:\n    h, w: of it,\n        in pixels.")
    )
    PlainDocstrings().on_object(obj=function)
    assert function.docstring is not None
    assert function.docstring.value == (
        "As `a.B`.\n\nArgs:\n    h: of it,\n        in pixels.\n    w: of it,\n        in pixels."
    )
