"""What is wrong with a page as a browser shows it."""

from __future__ import annotations

from urllib.parse import urlsplit

from tests.pages.browser import Browser

PHONE = 390
# Those that are out of sight are not loaded before they are scrolled to, so all are asked for.
MISSING_PICTURES = """
Promise.all([...document.images].map(image => {
  image.loading = "eager";
  return image.decode().then(() => null, () => image.getAttribute("src"));
})).then(found => found.filter(source => source !== null))
"""


def faults(tab: Browser, url: str, width: int) -> list[str]:
    """One line for each fault of a page in a window of this width."""
    visit = tab.open(url, width)
    missing = tab.evaluate(MISSING_PICTURES)
    tab.settle()
    here = urlsplit(url).netloc
    found = [f"asks another host: {address}" for address in visit.requested if is_foreign(address, here)]
    found += [f"cannot load {what}" for what in visit.failed]
    found += [f"console error: {text}" for text in visit.said]
    found += [f"missing picture: {source}" for source in missing]
    wide = tab.evaluate("document.documentElement.scrollWidth")
    if wide > width:
        found.append(f"is {wide} px wide in a window of {width} px")
    return list(dict.fromkeys(found))


def is_foreign(address: str, here: str) -> bool:
    """Whether a request leaves this host; what a page carries in itself does not."""
    parts = urlsplit(address)
    return parts.scheme not in ("data", "blob", "about") and parts.netloc != here
