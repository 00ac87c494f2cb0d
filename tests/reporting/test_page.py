"""The page of a report: made from its JSON alone, whole in itself, readable by everybody, and nobody's to write on."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable
from typing import Any

import pytest

from neonext_ascend import jobs
from neonext_ascend.data import sample_pictures
from neonext_ascend.reporting.page import inlined, page
from tests.support.html import Page
from tests.support.networks import overflowing_checkpoint

HOSTILE = (
    "</style></svg></title>\"'><script>alert(1)</script><img src=http://a.example/x onerror=alert(1)>&amp;{{ 7 * 7 }}"
)
# Words that choose among a few, which a stranger cannot write: the manifest's reader or this program made them.
CHOICES = ("overflow", "kind", "source")
PARTS = ("ladder", "nodes", "half", "accuracy", "speed", "cost")


@pytest.fixture(scope="module")
def contents(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Of a network whose fp16 overflows, so that there are alarms and flips; every part but the speed."""
    folder = tmp_path_factory.mktemp("report")
    weights = overflowing_checkpoint(folder / "large.pt")
    made = jobs.export("neonext_nano", checkpoint=weights, verify=False, output=folder).onnx.path
    (folder / "labels.csv").write_text(f"{sample_pictures()[3]},3\n{sample_pictures()[4]},5\n")
    return jobs.report(made, checkpoint=weights, data=folder / "labels.csv").contents


def changed(contents: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {**copy.deepcopy(contents), **fields}


def everywhere(value: Any, change: Callable[[str], str], name: str = "") -> Any:
    if isinstance(value, str):
        return value if name in CHOICES else change(value)
    if isinstance(value, dict):
        return {key: everywhere(held, change, key) for key, held in value.items()}
    return [everywhere(held, change, name) for held in value] if isinstance(value, list) else value


def test_it_asks_nothing_of_anybody(contents: dict[str, Any]) -> None:
    html = page(contents, {"noise 0": b"picture"})
    found = Page(html)
    assert not found.all("script", "iframe", "object", "embed", "base", "form")
    assert all(address.startswith(("#", "data:")) for address in found.addresses)
    without_names = re.sub(r'xmlns(:\w+)?="[^"]*"', "", html)
    assert "http://" not in without_names
    assert "https://" not in without_names
    assert "@import" not in html
    assert set(re.findall(r"url\((.)", html)) <= {"#"}
    assert not [name for one in found.all() for name in one.attributes if name.startswith("on")]
    (policy,) = [one for one in found.all("meta") if "http-equiv" in one.attributes]
    assert policy.attributes["content"].startswith("default-src 'none'")
    assert found.all("img")[0].attributes["src"] == "data:image/png;base64,cGljdHVyZQ=="


def test_it_is_named_for_those_who_cannot_see_it(contents: dict[str, Any]) -> None:
    found = Page(page(contents, {"noise 0": b"picture"}))
    assert found.all("html")[0].attributes["lang"] == "en"
    assert len(found.ids) == len(set(found.ids))
    pointed = [one.attributes["aria-labelledby"] for one in found.all() if "aria-labelledby" in one.attributes]
    pointed += [address[1:] for address in found.addresses if address.startswith("#")]
    pointed += re.findall(r"url\(#([^)]+)\)", page(contents))
    assert set(pointed) <= set(found.ids)
    figures = found.all("svg")
    assert [figure.attributes["role"] for figure in figures] == ["img", "img"]
    assert [figure.all("title")[0].words for figure in figures] == ["Error by depth", "Range by node in fp16"]
    assert all(one.attributes["alt"] for one in found.all("img"))
    for table in found.all("table"):
        assert table.all("caption")[0].words
        assert {cell.attributes.get("scope") for cell in table.all("th")} == {"col", "row"}
    # What scrolls in its own box is reached by the keyboard.
    assert all("tabindex" in box.attributes for box in found.all("div") if box.attributes.get("class") == "wide")
    assert [heading.words for heading in found.all("h1")] == [contents["artifact"]]


def test_what_strangers_wrote_stays_text(contents: dict[str, Any]) -> None:
    plain, hostile = (everywhere(contents, lambda text, end=end: text + end) for end in ("x", HOSTILE))  # type: ignore[misc] # a default argument
    pictures = {flip["picture"]: b"picture" for flip in hostile["flips"]}
    expected = Page(page(plain, {flip["picture"]: b"picture" for flip in plain["flips"]}))
    found = Page(page(hostile, pictures))
    # The same elements with the same attributes: not one more.
    assert found.tags == expected.tags
    assert [set(one.attributes) for one in found.all()] == [set(one.attributes) for one in expected.all()]
    assert contents["artifact"] + HOSTILE in found.all("h1")[0].words
    assert "49" not in found.all("h1")[0].words


def test_what_no_page_can_hold_is_shown_as_such(contents: dict[str, Any]) -> None:
    html = page(everywhere(contents, lambda text: text + "\x00\x1b[2J\udcff\n"))
    assert html.encode("utf-8")
    assert not re.search("[\x00\x1b]", html)
    assert f"{contents['artifact']}\N{REPLACEMENT CHARACTER}" in Page(html).all("h1")[0].words


def test_the_same_contents_give_the_same_bytes(contents: dict[str, Any]) -> None:
    assert page(contents) == page(json.loads(json.dumps(contents)))


def test_it_says_what_the_json_says(contents: dict[str, Any]) -> None:
    found = Page(page(contents))
    words = found.root.words
    assert contents["verdict"]["passed"] is False
    assert f"Failed: {contents['verdict']['words']}" in words
    assert "stage3.block0.fc1 overflows in fp16, with 4.159e+05 as its largest value" in words
    head, *rows = found.table("Each form against the one above")
    rungs = [*contents["ladder"]["rungs"], contents["ladder"]["control"]]
    assert [row[:2] for row in rows] == [[rung["name"], rung["against"]] for rung in rungs]
    assert [row[2] for row in rows[:-1]] == ["passed" if rung["passed"] else "FAILED" for rung in rungs[:-1]]
    for row, rung in zip(rows, rungs, strict=True):
        shown, value = row[head.index("max rel")], rung["max_rel"]
        assert (shown == "not finite") if value is None else float(shown) == pytest.approx(value, rel=5e-3)
    _, *nodes = found.table("Every node")
    assert [row[0] for row in nodes] == [node["name"] for node in contents["half"][0]["nodes"]]
    head, tightest, *_ = found.table("The nodes with the least headroom")
    assert tightest[0] == "stage3.block0.fc1"
    assert float(tightest[head.index("headroom, bits")]) == pytest.approx(-2.67, abs=0.05)
    _, accuracy = found.table("Accuracy with its 95 % interval")
    assert accuracy[1] == "2"
    assert accuracy[2].startswith("50.00 %")
    assert [row[0] for row in found.table("Estimated, nothing measured")[1:]] == [
        one["soc"] for one in contents["cost"]
    ]
    for one in contents["commands"]:
        assert f"{one['part']} {one['command']}" in words
    assert f"Not here: {contents['missing']['speed']}" in words


def test_a_flip_shows_both_answers(contents: dict[str, Any]) -> None:
    assert contents["flips"]
    shown = Page(page(contents)).all("li")
    for flip in contents["flips"]:
        said = [f"{answer['of']}: {answer['says']}" for answer in flip["answers"]]
        assert len(said) == 2
        assert [one for one in shown if flip["picture"] in one.words and all(text in one.words for text in said)]


def test_an_estimate_is_called_one_with_its_error(contents: dict[str, Any]) -> None:
    found = Page(page(contents))
    assert "An estimate" in found.root.words
    (caption,) = [one.words for one in found.all("caption") if one.words.startswith("Estimated")]
    assert "80% of like figures lay in the interval" in caption
    _, *rows = found.table("Estimated, nothing measured")
    shown = [float(row[2].replace(",", "")) for row in rows]
    assert shown == [pytest.approx(one["images_per_second"], rel=5e-3) for one in contents["cost"]]


def test_untrained_weights_are_said_so(contents: dict[str, Any]) -> None:
    assert "untrained" not in page(contents)
    manifest = copy.deepcopy(contents["manifest"])
    manifest["weights"] |= {"source": "seed", "file": None, "sha256": None, "seed": 7, "trained": False}
    words = Page(page(changed(contents, manifest=manifest))).root.words
    assert "untrained (NeoInit, seed 7)" in words
    assert "this accuracy means nothing" in words


def test_each_part_that_is_not_there_says_why(contents: dict[str, Any]) -> None:
    nothing: dict[str, Any] = dict.fromkeys(PARTS) | {"flips": [], "flipped": 0}
    verdict = {"passed": None, "words": "not judged here"}
    missing = {part: f"there is no {part}" for part in PARTS}
    found = Page(page(changed(contents, **nothing, verdict=verdict, missing=missing)))
    for part in PARTS:
        assert f"Not here: there is no {part}." in found.root.words
    assert not found.all("svg")


def test_where_nothing_is_rounded_no_range_is_drawn(contents: dict[str, Any]) -> None:
    half = [{**way, "nodes": [], "alarms": [], "warnings": []} for way in contents["half"]]
    found = Page(page(changed(contents, half=half)))
    assert [figure.all("title")[0].words for figure in found.all("svg")] == ["Error by depth"]
    assert "nothing is rounded in this precision" in found.root.words
    assert len(found.table("Every node")) == 1 + contents["nodes"]["matched"]


@pytest.mark.parametrize("held", [5, None, [], "x", {"a": 1}, [1, {"where": 2}]])
def test_what_only_people_read_may_be_anything(contents: dict[str, Any], held: object) -> None:
    manifest = copy.deepcopy(contents["manifest"])
    manifest["passes"] = {"changed": held, "lowerings": held, "refused": held}
    manifest["network"] = {"name": held, "image_size": held}
    assert Page(page(changed(contents, manifest=manifest))).all("h2")


def test_two_drawings_on_one_page_share_no_id() -> None:
    names = 'xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"'
    uses = '<use xlink:href="#a" clip-path="url(#a)" style="fill: #aaaaaa"/><text>id="a" #a</text>'
    drawn = f'<svg {names}><style>@media (x) {{}}</style><g id="a"/>{uses}</svg>'
    once = inlined(drawn, "one")
    assert 'id="one-a"' in once
    assert 'href="#one-a" clip-path="url(#one-a)" style="fill: #aaaaaa"' in once
    assert 'id="a" #a</text>' in once
    assert "@media screen and (x)" in once
