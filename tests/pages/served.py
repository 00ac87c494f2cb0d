"""The page of a server: a picture dropped, its label shown, no other host asked."""

from __future__ import annotations

import base64
import json
import tempfile
from pathlib import Path

from neonext_ascend import jobs
from neonext_ascend.data import sample_pictures
from tests.pages.browser import Browser
from tests.pages.faults import PHONE, faults, is_foreign
from tests.support.serving import serving

DROP = """
(async () => {{
  const before = document.getElementById("answer").innerText;
  const bytes = Uint8Array.from(atob({data}), character => character.charCodeAt(0));
  const carried = new DataTransfer();
  carried.items.add(new File([bytes], "{name}"));
  document.getElementById("drop").dispatchEvent(
    new DragEvent("drop", {{ dataTransfer: carried, bubbles: true, cancelable: true }}));
  return before && document.getElementById("answer").innerText ? "the old answer stands" : await ({answer});
}})()
"""
ANSWER = """
(async () => {
  for (let tries = 0; tries < 200 && !document.querySelector("#answer > *"); tries++)
    await new Promise(done => setTimeout(done, 50));
  return document.getElementById("answer").innerText;
})()
"""
CHOOSE = """
(() => {
  const chosen = document.getElementById("model");
  chosen.selectedIndex = 1;
  chosen.dispatchEvent(new Event("change"));
})()
"""
# The first answer comes after the second.
LATE = """
(() => {
  const real = fetch;
  let asked = 0;
  window.fetch = async (...given) => {
    const first = !asked++;
    return real(...given).finally(() => first && new Promise(done => setTimeout(done, 500)));
  };
})()
"""
TEXT = "dispatchEvent(new DragEvent('drop', { dataTransfer: new DataTransfer(), cancelable: true }))"
# Nobody's key is right: one is given, then none.
KEYS = """
(() => {
  const keys = ["a-wrong-key", null];
  window.prompt = words => (window.prompted = words, keys.shift());
  window.fetch = async () => new Response('{"error": "expected the API key"}', { status: 401 });
})()
"""
SEEN = "!document.getElementById('seen').hidden"
LATER = "new Promise(done => setTimeout(done, 700))"


def served_page(tab: Browser, pictures: Path) -> list[str]:
    """One line for each fault; what it looks like goes to ``pictures``."""
    found = []
    with tempfile.TemporaryDirectory() as folder:
        path = jobs.export("neonext_nano", output=folder).onnx.path
        with serving(f"digits={path}", path) as up:
            url = f"http://127.0.0.1:{up.port}/"
            for name, width, dark in (("light", 1280, False), ("dark", 1280, True), ("phone", PHONE, True)):
                found += faults(tab, url, width)
                visit = tab.open(url, width, dark=dark)
                said = _drop(tab, sample_pictures()[3].read_bytes())
                if not said.startswith("3\n9"):
                    found.append(f"a dropped 3 is answered {said[:60]!r}")
                tab.picture(pictures / f"served-{name}.png")
                wide = tab.evaluate("document.documentElement.scrollWidth")
                found += [f"is {wide} px wide with its answer in a window of {width} px"] if wide > width else []
                found += [f"asks another host: {a}" for a in visit.requested if is_foreign(a, f"127.0.0.1:{up.port}")]
                found += [f"console error: {text}" for text in visit.said]
            visit = tab.open(url, PHONE)
            three, four = (sample_pictures()[n].read_bytes() for n in (3, 4))
            told = [_drop(tab, three), tab.evaluate(SEEN), tab.evaluate(CHOOSE) or tab.evaluate(ANSWER)]
            if "digits, version 1: " not in told[0] or "neonext_nano, version 1: " not in told[2] or not told[1]:
                found.append(f"another model is chosen, and the page says {told}")
            if not any(address.endswith("?model=neonext_nano") for address in visit.requested):
                found.append("another model is chosen, and nobody asks it")
            told = [_drop(tab, b"no picture"), tab.evaluate(SEEN)]
            if not told[0].startswith("what was sent: not a picture") or told[1]:
                found.append(f"what is no picture is answered {told}")
            tab.evaluate(TEXT)
            if "no file" not in (said := tab.evaluate(ANSWER)):
                found.append(f"a text that was dropped is answered {said[:60]!r}")
            tab.evaluate(LATE)
            _drop(tab, three, "1")
            _drop(tab, four)
            tab.evaluate(LATER)
            if not (said := tab.evaluate(ANSWER)).startswith("4\n"):
                found.append(f"a 3 and at once a 4 are answered {said[:60]!r}")
            tab.picture(pictures / "served-last.png")
            tab.evaluate(KEYS)
            if (said := _drop(tab, three)) != "This API key is wrong." or tab.evaluate("window.prompted") != said:
                found.append(f"a wrong key is answered {said[:60]!r}")
    return [f"served: {text}" for text in dict.fromkeys(found)]


def _drop(tab: Browser, data: bytes, answer: str = ANSWER) -> str:
    """What is said; ``answer`` is waited for."""
    encoded = json.dumps(base64.b64encode(data).decode())
    return str(tab.evaluate(DROP.format(data=encoded, name="dropped.png", answer=answer)))
