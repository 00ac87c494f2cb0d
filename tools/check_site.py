"""What is broken in a built site: links, anchors and pictures that lead nowhere, and what is fetched from elsewhere."""

from __future__ import annotations

import functools
import re
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

# Attributes whose address the browser fetches by itself; an <a href> to another host is only followed by a reader.
FETCHED = {"src", "poster", "data"}
STYLE_ADDRESS = re.compile(r"""url\(\s*["']?([^"')]+)|@import\s+["']([^"']+)""")


class Page(HTMLParser):
    """Anchors and references of one page; a reference is an address and whether it is fetched at once."""

    def __init__(self, file: Path) -> None:
        super().__init__()
        self.anchors: set[str] = set()
        self.references: list[tuple[str, bool]] = []
        self._in_style = False
        self.feed(file.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Collect from one tag."""
        self._in_style = tag == "style"
        for name, value in attrs:
            if not value:
                continue
            if name == "id" or (tag == "a" and name == "name"):
                self.anchors.add(value)
            elif name == "srcset":
                self.references += [(part.split()[0], True) for part in value.split(",")]
            elif name in FETCHED:
                self.references.append((value, True))
            elif name == "href":
                self.references.append((value, tag == "link"))
            elif name == "style":
                self.references += style_addresses(value)

    def handle_data(self, data: str) -> None:
        """Collect from a style sheet in the page."""
        if self._in_style:
            self.references += style_addresses(data)


def style_addresses(text: str) -> list[tuple[str, bool]]:
    """What a style sheet has the browser fetch."""
    return [(address or imported, True) for address, imported in STYLE_ADDRESS.findall(text)]


def faults(site: Path) -> list[str]:
    """One line for each reference that does not hold, with the file that makes it."""
    page = functools.cache(Page)
    found = []
    for file in sorted([*site.rglob("*.html"), *site.rglob("*.css")]):
        references = page(file).references if file.suffix == ".html" else style_addresses(file.read_text("utf-8"))
        for address, fetched in dict.fromkeys(references):
            parts = urlsplit(address)
            if parts.scheme or parts.netloc:
                if fetched and parts.scheme != "data":
                    found.append(f"{file.relative_to(site)}: fetches {address}")
                continue
            target = (site if parts.path.startswith("/") else file.parent) / unquote(parts.path).lstrip("/")
            target = (target if parts.path else file).resolve()
            target = target / "index.html" if target.is_dir() else target
            if not target.is_file():
                found.append(f"{file.relative_to(site)}: {address} is not in the site")
            elif parts.fragment and target.suffix == ".html" and unquote(parts.fragment) not in page(target).anchors:
                found.append(f"{file.relative_to(site)}: {address} has no such anchor")
    return found
