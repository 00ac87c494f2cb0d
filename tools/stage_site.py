"""The site's source: docs/ with a page for whatever it links to outside, and the pages of the Python interface.

On the code host a page links to the repository's files; in the site each of them becomes a page: Markdown as it is, a
text file as one block, a folder as the list of its files.
"""

from __future__ import annotations

import importlib
import os
import pkgutil
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
# The rooms of the public Python interface, in a reader's order.
ROOMS = ("jobs", "exporters", "passes", "runtimes", "verify", "kernels")
PICTURES = {".svg", ".png"}
LANGUAGES = {".py": "python", ".yaml": "yaml", ".toml": "toml", ".json": "json", ".sh": "sh"}
# Code, where nothing is a link; or a link's or a picture's target.
CODE_OR_LINK = re.compile(r"^```.*?^```$|`[^`\n]*`|(?<=\]\()(?P<target>[^)\s]+)(?=\))", re.MULTILINE | re.DOTALL)


def stage(folder: Path) -> None:
    """Write the whole source of the site into a folder, which is emptied first.

    Raises:
        SystemExit: a page links to something that is not in the repository.
    """
    shutil.rmtree(folder, ignore_errors=True)
    waiting = sorted(path for path in DOCS.rglob("*") if path.is_file())
    seen = set(waiting)
    while waiting:
        source = waiting.pop()
        target = folder / staged_name(source)
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.suffix in PICTURES or (DOCS in source.parents and source.suffix != ".md"):
            shutil.copyfile(source, target)
            continue
        text = page_of(source)
        target.write_text(rewritten(text, source), encoding="utf-8")
        found = {path for path in linked(text, source) if path not in seen}
        seen |= found
        waiting += sorted(found)
    api = folder / "api"
    api.mkdir()
    for name, text in api_pages():
        (api / f"{name}.md").write_text(text, encoding="utf-8")


def staged_name(source: Path) -> Path:
    """Where in the site's source a file or folder of the repository stands."""
    if DOCS in source.parents:
        return source.relative_to(DOCS)
    place = "repository" / source.relative_to(ROOT)
    if source.is_dir():
        return place / "index.md"
    if source.suffix == ".md":
        # README.md would become its folder's index.html.
        return place.with_name(place.name.lower())
    return place if source.suffix in PICTURES else place.with_name(f"{place.name}.md")


def page_of(source: Path) -> str:
    """A file or folder of the repository as Markdown."""
    title = source.relative_to(ROOT).as_posix()
    if source.is_dir():
        files = sorted(path.name for path in source.iterdir() if path.is_file())
        return f"# {title}\n\n" + "".join(f"- [{name}]({source.name}/{name})\n" for name in files)
    text = source.read_text(encoding="utf-8")
    if source.suffix == ".md":
        return text
    return f"# {title}\n\n```{LANGUAGES.get(source.suffix, 'text')}\n{text}```\n"


def _target(target: str, source: Path) -> tuple[Path, str] | None:
    """File and anchor that a relative link of a page leads to; None for an address or an anchor alone."""
    path, _, anchor = target.partition("#")
    if not path or re.match(r"[a-z]+:", target):
        return None
    file = Path(os.path.normpath(source.parent / path))
    if not file.exists() or (file != ROOT and ROOT not in file.parents):
        raise SystemExit(f"{source.relative_to(ROOT)}: links to {target}, which is not in the repository")
    return file, f"#{anchor}" if anchor else ""


def linked(text: str, source: Path) -> Iterator[Path]:
    """The repository's files and folders that a page links to."""
    for match in CODE_OR_LINK.finditer(text):
        found = _target(match["target"], source) if match["target"] else None
        if found is not None:
            yield found[0]


def rewritten(text: str, source: Path) -> str:
    """A page with its links turned to where their targets stand in the site's source; lines stay lines."""
    here = staged_name(source).parent

    def turn(match: re.Match[str]) -> str:
        found = _target(match["target"], source) if match["target"] else None
        if found is None:
            return match[0]
        file, anchor = found
        return Path(os.path.relpath(staged_name(file), here)).as_posix() + anchor

    return CODE_OR_LINK.sub(turn, text)


def api_pages() -> Iterator[tuple[str, str]]:
    """Name and Markdown of each page of the Python interface, for mkdocstrings."""
    package = importlib.import_module("neonext_ascend")
    rows = "".join(f"- [neonext_ascend.{room}]({room}.md): {_idea(room)}\n" for room in ROOMS)
    own = [name for name in package.__all__ if not name.startswith("_") and name not in (*ROOMS, "models")]
    yield "index", f"# neonext_ascend\n\n{rows}\n" + "\n".join(_entry(package, name) for name in own)
    for room in ROOMS:
        module = importlib.import_module(f"neonext_ascend.{room}")
        names = getattr(module, "__all__", None)
        if names is None:
            entries = [f"::: {file.name}\n" for file in pkgutil.iter_modules(module.__path__, f"{module.__name__}.")]
        else:
            entries = [_entry(module, name) for name in names]
        yield room, f"# {module.__name__}\n\n{module.__doc__}\n\n" + "\n".join(entries)


def _idea(room: str) -> str:
    return (importlib.import_module(f"neonext_ascend.{room}").__doc__ or "").partition("\n")[0].partition(": ")[2]


def _entry(module: object, name: str) -> str:
    """A public name where it is defined: mkdocstrings does not follow names that are loaded when used."""
    value = getattr(module, name)
    return (
        f"::: {value.__module__}.{value.__qualname__}\n    options:\n      heading: {name}\n      toc_label: {name}\n"
    )
