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
  const bytes = Uint8Array.from(atob({data}), character => character.charCodeAt(0));
  const carried = new DataTransfer();
  carried.items.add(new File([bytes], "{name}"));
  document.getElementById("drop").dispatchEvent(
    new DragEvent("drop", {{ dataTransfer: carried, bubbles: true, cancelable: true }}));
  for (let tries = 0; tries < 200 && !document.querySelector("#answer > *"); tries++)
    await new Promise(done => setTimeout(done, 50));
  return document.getElementById("answer").innerText;
}})()
"""


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
            tab.open(url, PHONE)
            if "not a picture" not in (said := _drop(tab, b"no picture")):
                found.append(f"what is no picture is answered {said[:60]!r}")
    return [f"served: {text}" for text in dict.fromkeys(found)]


def _drop(tab: Browser, data: bytes) -> str:
    encoded = json.dumps(base64.b64encode(data).decode())
    return str(tab.evaluate(DROP.format(data=encoded, name="dropped.png")))
