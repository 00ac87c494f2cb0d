"""``neonext-ascend predict``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from neonext_ascend.cli.options import PATH, json_option
from neonext_ascend.cli.terminal import note, put_json, say, working

if TYPE_CHECKING:
    from neonext_ascend.predict import Prediction


@click.command(
    "predict",
    epilog="Exit status: 0 all classified; 2 wrong usage or a file that is no picture; 5 a file cannot be read.",
)
@click.argument("artifact", type=PATH)
@click.argument("images", type=PATH, nargs=-1, required=True, metavar="IMAGE...")
@click.option("--top", type=click.IntRange(1), default=5, show_default=True, help="Classes for each picture.")
@json_option
def command(artifact: Path, images: tuple[Path, ...], top: int, as_json: bool) -> int:
    """Classify pictures with an artifact, prepared as its manifest says."""
    from neonext_ascend.manifest import manifest_of
    from neonext_ascend.predict import classify
    from neonext_ascend.runtimes.ort import OrtRunner

    manifest = manifest_of(artifact)
    with working(f"loading {artifact.name}"):
        runner = OrtRunner(artifact)
    results: list[Prediction] = []
    with runner:
        for prediction in classify(runner, manifest, images, top):
            if not as_json:
                _say(prediction)
            results.append(prediction)
    if not manifest.weights.trained:
        note("untrained weights: these answers mean nothing")
    if as_json:
        put_json({"predictions": [_json(p) for p in results], "trained": manifest.weights.trained})
    return max((p.error.exit_code for p in results if p.error is not None), default=0)


def _say(prediction: Prediction) -> None:
    if prediction.error is not None:
        click.echo(f"error: {prediction.error}", err=True)
        return
    say(str(prediction.path))
    for guess in prediction.top:
        say(f"  {100 * guess.score:6.2f} %  {guess.label}")


def _json(prediction: Prediction) -> dict[str, Any]:
    if prediction.error is not None:
        return {"path": str(prediction.path.absolute()), "error": str(prediction.error)}
    top = [{"index": g.index, "label": g.label, "score": g.score} for g in prediction.top]
    return {"path": str(prediction.path.absolute()), "top": top}
