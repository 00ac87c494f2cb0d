"""A report with every part, and what is looked for on its page beside what is on any."""

from __future__ import annotations

from pathlib import Path

from neonext_ascend import jobs
from neonext_ascend.data import sample_pictures
from tests.support.networks import overflowing_checkpoint

# Figures that are not seen or have no name, and text whose contrast with its ground is below WCAG's AA: 4.5.
UNREADABLE = """
(() => {
  const found = [];
  for (const id of ["figure-error", "figure-room"]) {
    const drawing = document.querySelector(`#${id} svg[role=img]`);
    if (!drawing || drawing.getBoundingClientRect().width < 300) found.push(`${id} is not seen`);
    else if (!drawing.querySelector("title")?.textContent) found.push(`${id} has no name`);
    else if (drawing.querySelectorAll("path").length < 10) found.push(`${id} shows nothing`);
  }
  if (!document.images.length) found.push("no flipped picture is shown");
  const light = text => {
    const channels = text.match(/[\\d.]+/g).slice(0, 3).map(c => c / 255);
    const [r, g, b] = channels.map(c => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ground = light(getComputedStyle(document.body).backgroundColor);
  for (const element of document.querySelectorAll("body *, svg text")) {
    if (![...element.childNodes].some(node => node.nodeType === 3 && node.data.trim())) continue;
    if (element.closest("title, desc, style")) continue;
    const style = getComputedStyle(element);
    const ink = light(element.closest("svg") ? style.fill : style.color);
    const contrast = (Math.max(ink, ground) + 0.05) / (Math.min(ink, ground) + 0.05);
    const text = `${element.tagName} "${element.textContent.slice(0, 20)}"`;
    if (contrast < 4.5) found.push(`${text} has a contrast of ${contrast.toFixed(1)}`);
  }
  return found;
})()
"""


def write_report(folder: Path) -> Path:
    """The page, of a network that fp16 does not hold, in ``folder``/report; the files that it is about lie beside."""
    weights = overflowing_checkpoint(folder / "large.pt")
    made = jobs.export("neonext_nano", checkpoint=weights, verify=False, output=folder).onnx.path
    labels = folder / "labels.csv"
    labels.write_text("".join(f"{picture},{picture.stem[-1]}\n" for picture in sample_pictures()))
    return jobs.report(made, checkpoint=weights, data=labels, benchmark=True, output=folder / "report").page
