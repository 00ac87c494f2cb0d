"""``neonext-ascend eval``."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import click

from neonext_ascend.cli.options import PATH, Finite, json_option, ray_option, runtime_options
from neonext_ascend.cli.terminal import note, put_json, say, watching


@click.command(
    "eval",
    epilog="Exit status: 0 evaluated; 1 an artifact drops by more than --max-drop; 2 wrong usage or a file that is no "
    "picture; 3 what runs an artifact is missing; 5 a file cannot be read or written. Where only some pictures failed "
    "the others are counted all the same, and the status is the highest of theirs.",
)
@click.argument("artifacts", type=PATH, nargs=-1, required=True, metavar="ARTIFACT...")
@click.argument("dataset", type=PATH)
@click.option("--labels", type=PATH, metavar="FILE", help="Label file of a folder of pictures.")
@click.option("--per-class", is_flag=True, help="Also a table of top-1 by class.")
@click.option(
    "--max-drop", type=Finite(0, 100), metavar="POINTS", help="Refuse what is behind the first artifact by more."
)
@click.option("--resume", type=PATH, metavar="FILE.jsonl", help="Keep answers here as they come, and go on from them.")
@click.option("--differing", type=PATH, metavar="FILE.jsonl", help="Write the pictures on which artifacts differ.")
@ray_option
@runtime_options
@json_option
def command(artifacts: tuple[Path, ...], dataset: Path, as_json: bool, **options: Any) -> int:
    """Top-1 and top-5 of ARTIFACTs on the same labelled pictures, each with its 95 % interval (Wilson).

    DATASET is a folder per class; a folder of pictures with a label file beside them or in --labels; or a file of paths
    and labels (.csv, .tsv, .jsonl, or NAME LABEL lines). Classes are told by the names in the manifest, ImageNet's
    synsets, numbers from 0, or the order of as many folders as classes.

    Each two artifacts are compared by McNemar's test. With --max-drop the first is the measure: an artifact is refused
    where the one-sided 95 % lower bound of its drop in top-1 points is larger.
    """
    from neonext_ascend import jobs
    from neonext_ascend.reporting.accuracy import accuracy_lines, class_lines, pace_lines, pair_lines

    # What Pillow mutters about odd metadata is no concern of the user's; what matters is raised.
    warnings.filterwarnings("ignore", module="PIL")
    result = jobs.evaluate(artifacts, dataset, **options, watch=watching())
    if as_json:
        put_json(result.to_json())
    else:
        lines = accuracy_lines(result.artifacts, result.classes, len(result.failures))
        lines += [line for pair in result.pairs for line in pair_lines(pair, result.max_drop)]
        lines += pace_lines(result.pace)
        lines += class_lines(result.per_class) if result.per_class else []
        for line in lines:
            say(line)
    for accuracy in result.artifacts:
        if accuracy.trained is False:
            note(f"{accuracy.artifact.name}: untrained weights: its accuracy means nothing")
    return result.exit_code
