"""``neonext-ascend predict``."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from neonext_ascend.artifacts.names import json_text
from neonext_ascend.cli.options import PATH, json_option, ray_option, runtime_options
from neonext_ascend.cli.terminal import complain, counting, note, say, watching

if TYPE_CHECKING:
    from neonext_ascend.runtimes.classifying import Prediction, Recipe

_WIDTH = 32  # of a label


@click.command(
    "predict",
    epilog="Exit status: 0 all classified; 2 wrong usage or a file that is no picture; 3 what runs the artifact is "
    "missing; 5 a file cannot be read. Where only some pictures failed the others are classified all the same, and the "
    "status is the highest of theirs.",
)
@click.argument("artifact", type=PATH)
@click.argument("images", type=PATH, nargs=-1, required=True, metavar="IMAGE...")
@click.option("--top", type=click.IntRange(1), help="Classes for each picture [default: 5, for several pictures 1].")
@click.option("--resume", type=PATH, metavar="FILE.jsonl", help="Keep answers here as they come, and go on from them.")
@ray_option
@runtime_options
@click.option("--jsonl", is_flag=True, help="One JSON object a picture, each on its line.")
@json_option
def command(
    artifact: Path,
    images: tuple[Path, ...],
    top: int | None,
    jsonl: bool,
    as_json: bool,
    **options: Any,
) -> int:
    """Classify pictures with an artifact, prepared as its manifest says.

    IMAGE is a picture, a folder (its pictures and those of its folders), a quoted pattern such as 'cats/*.jpg', or
    - for standard input.
    """
    from neonext_ascend.jobs import predict

    # What Pillow mutters about odd metadata is no concern of the user's; what matters is raised.
    warnings.filterwarnings("ignore", module="PIL")
    with predict(artifact, images, top=top, **options, watch=watching()) as answers:
        results = _with_errors(counting(answers, lambda: answers.count, "classifying"))
        if as_json:
            _put_json(results, answers.recipe)
        else:
            show = _say_json_line if jsonl else _say_line if answers.several and top in (None, 1) else _say_block
            for prediction in results:
                show(prediction, answers.recipe)
    if answers.left_out:
        note(answers.left_out)
    if answers.failed and answers.several:
        note(f"{answers.failed} of {answers.count} pictures could not be read")
    if answers.recipe.trained is False:
        note("untrained weights: these answers mean nothing")
    return answers.exit_code


def _with_errors(predictions: Iterable[Prediction]) -> Iterator[Prediction]:
    """Pass on, and say each error."""
    for prediction in predictions:
        if prediction.error is not None:
            complain(str(prediction.error))
        yield prediction


def _say_block(prediction: Prediction, recipe: Recipe) -> None:
    if prediction.error is not None:
        return
    say(f"{prediction.path}{_aside(prediction)}")
    for guess in prediction.top:
        say(f"  {_score_text(guess.score, recipe)}  {guess.label}")


def _say_line(prediction: Prediction, recipe: Recipe) -> None:
    if prediction.error is not None:
        return
    best = prediction.top[0]
    label = best.label if len(best.label) <= _WIDTH else best.label[: _WIDTH - 3] + "..."
    say(f"{_score_text(best.score, recipe)}  {label.ljust(_WIDTH)}  {prediction.path}{_aside(prediction)}")


def _score_text(score: float, recipe: Recipe) -> str:
    """Only a probability is so many percent."""
    return f"{100 * score:6.2f} %" if recipe.answers.probabilities else f"{score:8.4g}"


def _say_json_line(prediction: Prediction, recipe: Recipe) -> None:
    """A line stands alone: it says by itself what was assumed."""
    say(json_text({**_json(prediction), **({"assumed": recipe.assumed} if recipe.assumed else {})}))


def _put_json(predictions: Iterable[Prediction], recipe: Recipe) -> None:
    """One object, written as the results come: nothing is collected."""
    say('{"predictions": [')
    for number, prediction in enumerate(predictions):
        say(("," if number else " ") + json_text(_json(prediction)))
    say(f'], "trained": {json.dumps(recipe.trained)}, "assumed": {json_text(recipe.assumed)}}}')


def _aside(prediction: Prediction) -> str:
    return f" ({prediction.note})" if prediction.note else ""


def _json(prediction: Prediction) -> dict[str, Any]:
    path = "-" if str(prediction.path) == "-" else str(prediction.path.absolute())
    if prediction.error is not None:
        return {"path": path, "error": str(prediction.error)}
    top = [{"index": g.index, "label": g.label, "score": g.score} for g in prediction.top]
    return {"path": path, "top": top, **({"note": prediction.note} if prediction.note else {})}
