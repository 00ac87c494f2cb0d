"""``python -m tests.pages.check``: every page of build/site in headless Chromium, at a desk's width and a phone's.

A request to another host, a console error, a missing picture, a page wider than a phone, or a search that finds nothing
fails it; so does a report's page (``report.py``) whose figures are not seen or whose text is hard to read, and a
server's page (``served.py``) that shows another label than a dropped picture's. Pages with
one such fault each, in ``faulty/``, are opened first: each must be found. Pictures of three pages and of a report go
to build/pages. Installs Chromium and a Chinese font on Debian as root; where that is not possible it says why and
counts as passed, or as failed with ``NEONEXT_REQUIRE_PAGES=1``.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import quote

from tests import ROOT
from tests.pages.browser import Browser, browser
from tests.pages.faults import PHONE, faults
from tests.pages.report import UNREADABLE, write_report
from tests.pages.served import served_page

SITE = ROOT / "build" / "site"
PICTURES = ROOT / "build" / "pages"
FAULTY = Path(__file__).parent / "faulty"
DESK = 1280
LATE = 5.0  # seconds in which a search that finds something has found it
PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
PACKAGES = ("chromium", "fonts-wqy-zenhei")
# The root of the search's own document, which the site opens beside the page.
SEARCH = (
    "[...document.querySelectorAll('*')].map(e => e.shadowRoot).find(root => root?.querySelector('[role=listbox]'))"
)
DARK = {"name": "prefers-color-scheme", "value": "dark"}
# Name -> page, width, dark.
SHOTS = {
    "light": ("api/kernels.html", DESK, False),
    "dark": ("index.html", DESK, True),
    "phone": ("zh/ascend.html", PHONE, False),
}


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (the base class names it)
        pass


def main() -> int:
    """Exit status: 0 all held or nothing could run; 1 something did not hold, or nothing could run and had to."""
    program = find_browser()
    if program is None:
        print("pages: skipped: no Chromium here; installing one needs root on Debian and its package archive")
        return int(os.environ.get("NEONEXT_REQUIRE_PAGES") == "1")
    with browser(program) as tab:
        found = unseen(tab) + broken(tab) + reported(tab) + served_page(tab, PICTURES)
        take_pictures(tab)
    print("\n".join(dict.fromkeys(found)) or f"pages: all hold; pictures in {PICTURES.relative_to(ROOT)}")
    return int(bool(found))


def find_browser() -> str | None:
    """A Chromium; it and a Chinese font are installed where they are missing and may be."""
    found = next(filter(None, map(shutil.which, PROGRAMS)), None)
    if (found and writes_chinese()) or os.geteuid() != 0 or shutil.which("apt-get") is None:
        return found
    print(f"pages: installing {' '.join(PACKAGES)}", flush=True)
    quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for command in (["update"], ["install", "--yes", "--no-install-recommends", *PACKAGES]):
        if subprocess.run(["apt-get", "-qq", *command], capture_output=True, env=quiet, check=False).returncode:
            return found
    return shutil.which(PROGRAMS[0])


def writes_chinese() -> bool:
    """Whether a font for Chinese is here; without one the pictures show boxes."""
    fonts = ["fc-list", ":lang=zh-cn"]
    return bool(shutil.which(fonts[0]) and subprocess.run(fonts, capture_output=True, check=True).stdout)


@contextlib.contextmanager
def served(folder: Path) -> Iterator[str]:
    """A folder on loopback; yields its address."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


def unseen(tab: Browser) -> list[str]:
    """Faulty pages whose fault is not found, or not alone; each says in its title what is to be said of it."""
    found = []
    with served(FAULTY) as address:
        for file in sorted(FAULTY.glob("*.html")):
            said = faults(tab, f"{address}/{file.name}", PHONE)
            want = tab.evaluate("document.title")
            if not any(line.startswith(want) for line in said):
                found.append(f"tests/pages/faulty/{file.name}: nobody says {want!r}, but {said}")
    return found


def broken(tab: Browser) -> list[str]:
    """What does not hold in the site."""
    found = []
    with served(SITE) as address:
        for file in sorted(SITE.rglob("*.html")):
            name = file.relative_to(SITE).as_posix()
            for width in (DESK, PHONE):
                found += [f"{name}: {fault}" for fault in faults(tab, f"{address}/{quote(name)}", width)]
        for words in ("LayerScale", "昇腾"):
            if not finds(tab, f"{address}/index.html", words):
                found.append(f"search: nothing is found for {words!r}")
        if finds(tab, f"{address}/index.html", "zqxjv"):
            found.append("search: finds what is not there")
    return found


def reported(tab: Browser) -> list[str]:
    """What does not hold in a report's page with every part, alone in its folder; its pictures are taken on the way."""
    PICTURES.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        name = write_report(Path(folder)).name
        with served(Path(folder) / "report") as address:
            found = [text for width in (DESK, PHONE) for text in faults(tab, f"{address}/{name}", width)]
            for shot, width, dark in (("light", DESK, False), ("dark", DESK, True), ("phone", PHONE, True)):
                asked = tab.open(f"{address}/{name}", width, height=2400, dark=dark).requested
                found += [f"asks for {url}" for url in asked if not url.endswith(name) and not url.startswith("data:")]
                tab.picture(PICTURES / f"report-{shot}.png")
                found += tab.evaluate(UNREADABLE)
            tab.tab("Emulation.setEmulatedMedia", media="print", features=[DARK])
            found += [f"printed: {text}" for text in tab.evaluate(UNREADABLE)]
            if tab.evaluate("getComputedStyle(document.body).backgroundColor") != "rgb(255, 255, 255)":
                found.append("is not printed on white")
            tab.tab("Emulation.setEmulatedMedia", media="", features=[])
    return [f"report: {text}" for text in dict.fromkeys(found)]


def finds(tab: Browser, url: str, words: str) -> bool:
    """Whether the site's search finds something."""
    tab.open(url, DESK)
    tab.evaluate("document.querySelector('.md-search__button').click()")
    tab.wait(lambda: bool(tab.evaluate(f"{SEARCH} !== undefined && document.hasFocus()")))
    tab.evaluate(f"{SEARCH}.querySelector('input').focus()")
    tab.press(words)
    late = time.monotonic() + LATE

    def found() -> bool:
        return bool(tab.evaluate(f"{SEARCH}.querySelector('[role=option]') !== null"))

    # "No results" stands there at first, whatever there is.
    tab.wait(lambda: found() or time.monotonic() > late)
    return found()


def take_pictures(tab: Browser) -> None:
    """Three pages as they look."""
    PICTURES.mkdir(parents=True, exist_ok=True)
    with served(SITE) as address:
        for name, (page, width, dark) in SHOTS.items():
            tab.open(f"{address}/{page}", width, dark=dark)
            tab.picture(PICTURES / f"{name}.png")


if __name__ == "__main__":
    sys.exit(main())
