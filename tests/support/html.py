"""A page of HTML, read back for tests."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser

_ADDRESSES = ("href", "src", "xlink:href", "srcset", "action", "poster", "data", "background")
_TEXT = "a text"
_WITHIN = {_TEXT, "b", "a", "code"}
_EMPTY = {"meta", "link", "br", "img", "hr", "input"}


@dataclass
class Element:
    name: str
    attributes: dict[str, str]
    children: list[Element] = field(default_factory=list)
    text: str = ""

    def all(self, *names: str) -> list[Element]:
        """Itself and what is below it, of these names or of all."""
        found = [self] if not names or self.name in names else []
        return [*found, *(inner for child in self.children for inner in child.all(*names))]

    @property
    def words(self) -> str:
        return " ".join("".join(self._texts()).split())

    def _texts(self) -> Iterator[str]:
        yield self.text
        for child in self.children:
            if child.name not in ("style", "script"):
                yield from child._texts()
        if self.name not in _WITHIN:
            yield " "


class Page(HTMLParser):
    """The tree of a page; a tag that is not closed, or closed twice, is an error."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.root = Element("page", {})
        self._open = [self.root]
        self.feed(html)
        self.close()
        assert self._open == [self.root], [one.name for one in self._open]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert len(dict(attrs)) == len(attrs), f"{tag} has an attribute twice"
        element = Element(tag, {name: value or "" for name, value in attrs})
        self._open[-1].children.append(element)
        if tag not in _EMPTY:
            self._open.append(element)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in _EMPTY:
            self._open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self._open[-1].name == tag, f"{tag} closes {self._open[-1].name}"
        self._open.pop()

    def handle_data(self, data: str) -> None:
        self._open[-1].children.append(Element(_TEXT, {}, text=data))

    def all(self, *names: str) -> list[Element]:
        return [one for one in self.root.all(*names) if one.name != _TEXT]

    @property
    def tags(self) -> Counter[str]:
        return Counter(one.name for one in self.all())

    @property
    def ids(self) -> list[str]:
        return [one.attributes["id"] for one in self.all() if "id" in one.attributes]

    @property
    def addresses(self) -> list[str]:
        return [one.attributes[name] for one in self.all() for name in _ADDRESSES if name in one.attributes]

    def table(self, caption: str) -> list[list[str]]:
        """The rows of the table whose caption begins so, its head first."""
        (table,) = [one for one in self.all("table") if one.all("caption")[0].words.startswith(caption)]
        return [[cell.words for cell in row.all("th", "td")] for row in table.all("tr")]
