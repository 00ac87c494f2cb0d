"""The Chinese pages say what the English ones say: section for section the same code, figures, links and tables."""

from __future__ import annotations

import os
import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests import ROOT

PAIRS = {"README.md": "README.zh-CN.md", "docs/ascend.md": "docs/zh/ascend.md"}

FENCE = re.compile(r"^```\w*\n.*?^```$", re.MULTILINE | re.DOTALL)
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
LINK = re.compile(r"\]\(([^)\s]+)\)")
# A comment in a block is for people, and in their language; so is what marks a generated part.
COMMENT = re.compile(r"(?:^|\s+)#.*$|<!--.*?-->", re.MULTILINE)
# The line below the title that leads to the other language.
OTHER_LANGUAGE = re.compile(r"^.*(?:English|简体中文).*$\n", re.MULTILINE)


@dataclass(frozen=True)
class Section:
    """What of a section is no language; each a list in which order does not count, but for the blocks."""

    title: str
    blocks: tuple[str, ...]
    code: Counter[str]
    figures: Counter[str]
    links: Counter[str]
    rows: int


def sections(page: Path) -> list[Section]:
    text = OTHER_LANGUAGE.sub("", page.read_text(encoding="utf-8"))
    # A block's comment is no heading.
    starts = list(HEADING.finditer(FENCE.sub(lambda block: "-" * len(block[0]), text)))
    ends = [match.start() for match in starts[1:]] + [len(text)]
    return [section(text[match.start() : end], page) for match, end in zip(starts, ends, strict=True)]


def section(text: str, page: Path) -> Section:
    title, _, body = text.partition("\n")
    prose = FENCE.sub("", body)
    said = LINK.sub("](", prose)
    return Section(
        title=title,
        blocks=tuple(COMMENT.sub("", block) for block in FENCE.findall(body)),
        code=Counter(re.findall(r"`([^`]+)`", said.replace("\n", " "))),
        figures=Counter(re.findall(r"\d+(?:[.,]\d+)*", COMMENT.sub("", said))),
        links=Counter(where(target, page) for target in LINK.findall(prose)),
        rows=len(re.findall(r"^\|", prose, re.MULTILINE)),
    )


def where(target: str, page: Path) -> str:
    """A link's target by its English file. Its anchor is left out: headings are in their page's language."""
    if re.match(r"[a-z]+:", target):
        return target
    path = target.partition("#")[0]
    file = Path(os.path.relpath(page.parent / path, ROOT)).as_posix() if path else page.relative_to(ROOT).as_posix()
    return {chinese: english for english, chinese in PAIRS.items()}.get(file, file)


@pytest.mark.parametrize(("english", "chinese"), PAIRS.items())
def test_the_chinese_page_says_what_the_english_one_says(english: str, chinese: str) -> None:
    ours, theirs = sections(ROOT / english), sections(ROOT / chinese)
    levels, its_levels = ([section.title.partition(" ")[0] for section in page] for page in (ours, theirs))
    assert levels == its_levels, f"{chinese} has other headings: {[section.title for section in theirs]}"
    differences = []
    for one, other in zip(ours, theirs, strict=True):
        place = f"{chinese}, {other.title!r} (in English {one.title!r})"
        for number, (block, its) in enumerate(zip(one.blocks, other.blocks, strict=False)):
            if block != its:
                differences.append(f"{place}: block {number + 1} is\n{its}\nand in English\n{block}")
        if len(one.blocks) != len(other.blocks):
            differences.append(f"{place}: {len(other.blocks)} blocks, not {len(one.blocks)}")
        if one.rows != other.rows:
            differences.append(f"{place}: {other.rows} rows of tables, not {one.rows}")
        for what in ("code", "figures", "links"):
            want, got = getattr(one, what), getattr(other, what)
            if want != got:
                lacking, more = sorted((want - got).elements()), sorted((got - want).elements())
                differences.append(f"{place}: {what}: lacks {lacking}, has {more} too much")
    assert not differences, "\n".join(differences)


@pytest.mark.parametrize("chinese", PAIRS.values())
def test_the_chinese_page_is_chinese(chinese: str) -> None:
    """A part that was taken over untranslated has lines of words without a Chinese one."""
    text = FENCE.sub("", (ROOT / chinese).read_text(encoding="utf-8"))
    prose = [re.sub(r"`[^`]*`|\([^)\s]*\)", "", line) for line in text.splitlines()]
    english = [line for line in prose if len(re.findall(r"[A-Za-z]{3,}", line)) > 6 and not re.search("[一-鿿]", line)]
    assert not english
