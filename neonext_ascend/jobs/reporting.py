"""Report: all that can be said of an artifact, on one page and in one JSON file."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from neonext_ascend.artifacts.finding import manifest_beside
from neonext_ascend.artifacts.names import json_text, readable
from neonext_ascend.artifacts.reading import manifest_of
from neonext_ascend.artifacts.staging import staged
from neonext_ascend.jobs.checking import Device, checked
from neonext_ascend.jobs.inquiry.contents import contents_of, graph_of, why_absent
from neonext_ascend.jobs.inquiry.parts import Parts
from neonext_ascend.jobs.watching import SILENT, Watch
from neonext_ascend.reporting.page import page, require_pages
from neonext_ascend.reporting.thumbnails import thumbnails
from neonext_ascend.runtimes.registry import Runtime, is_om


@dataclass(frozen=True)
class Reported:
    """What was written.

    Args:
        page: the HTML file.
        data: the JSON file.
        contents: what that holds.
    """

    page: Path
    data: Path
    contents: dict[str, Any]

    @property
    def verdict(self) -> str:
        """What the numbers come to, in words."""
        return str(self.contents["verdict"]["words"])

    @property
    def missing(self) -> dict[str, str]:
        """Each part that could not be had, or was not asked for, with the reason."""
        return dict(self.contents["missing"])

    def to_json(self) -> dict[str, Any]:
        """The object of ``--json``: the two files, and the whole contents."""
        return {"page": str(self.page.absolute()), "data": str(self.data.absolute()), **self.contents}


@checked
def report(
    artifact: str | Path,
    *,
    checkpoint: str | Path | None = None,
    against: str | Path | None = None,
    data: str | Path | None = None,
    labels: str | Path | None = None,
    benchmark: bool = False,
    runtime: Runtime = "auto",
    device: Device = 0,
    output: str | Path | None = None,
    watch: Watch = SILENT,
) -> Reported:
    """Write one HTML page about an artifact that asks nothing of any other host, and the JSON that it is made from.

    Args:
        artifact: an OM with its manifest beside it, whose nodes are those of the ONNX file that it was compiled from,
            where that stands beside it; or anybody's ONNX file, of which less is known without a manifest.
        checkpoint: of the weights, where they were not packaged or drawn from a seed.
        against: another ONNX file, the reference for nodes and on the data set; or for nodes a folder with a dump.
        data: labelled pictures, as :func:`neonext_ascend.jobs.evaluate` takes them.
        labels: their label file.
        benchmark: also time the artifact here, briefly.
        runtime: that opens the artifact; ``auto`` goes by the file.
        device: number of the NPU.
        output: folder for the two files; the artifact's own by default.
        watch: told of each long step, and of what could not be had.

    Raises:
        UsageError, ArtifactError, CheckpointError: wrong usage or input.
        FileAccessError: a file cannot be read or written.
        ToolchainError: jinja2 or matplotlib is missing.
    """
    path = Path(artifact)
    require_pages(f"the page about {path.name}")
    alone = path.is_file() and not is_om(path) and manifest_beside(path) is None
    manifest = None if alone else manifest_of(path)
    name = f"{path.name.removesuffix(path.suffix)}.report"
    with staged(path.parent if output is None else Path(output)) as stage:
        parts = Parts(
            path,
            manifest,
            graph_of(path, manifest),
            why_absent(path, runtime, device, described=manifest is not None),
            checkpoint=None if checkpoint is None else Path(checkpoint),
            against=None if against is None else Path(against),
            dataset=None if data is None else Path(data),
            labels=None if labels is None else Path(labels),
            runtime=runtime,
            device=device,
            watch=watch,
        )
        # As a reader of the file has it: names of other bytes than UTF-8 are text.
        text = json_text(contents_of(parts, timed=benchmark), indent=1)
        contents = json.loads(text)
        shown = {flip["picture"] for flip in contents["flips"]}
        with watch.working("drawing the page"):
            html = page(contents, thumbnails({n: file for n, file in parts.pictures.items() if readable(n) in shown}))
        (stage.folder / f"{name}.json").write_text(text + "\n", encoding="ascii")
        (stage.folder / f"{name}.html").write_text(html, encoding="utf-8")
        written = stage.publish(f"{name}.json", f"{name}.html")
    return Reported(written[1], written[0], contents)
