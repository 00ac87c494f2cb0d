"""``neonext-ascend train``."""

from __future__ import annotations

import warnings
from typing import Any

import click

from neonext_ascend.cli.options import PATH, ModelName, config_option, image_size_option, json_option
from neonext_ascend.cli.terminal import put_json, say, shown_path, watching, working
from neonext_ascend.cli.train_options import SETTINGS, recipe_options, run_options
from neonext_ascend.errors import UsageError


@click.command(
    "train",
    epilog="Exit status: 0 trained; 1 the loss or a weight became NaN or infinite; 2 wrong usage, recipe or data; "
    "3 a device or library is missing; 5 a file cannot be read or written; 130 interrupted. Checkpoints stay whole.",
)
@click.argument("model", required=False, type=ModelName())
@click.option("--data", required=True, metavar="FOLDER|digits|SHARDS", help="Labelled pictures.")
@click.option("--check-data", is_flag=True, help="Decode every picture, tell what is wrong, and do no more.")
@click.option("--recipe", type=PATH, metavar="FILE.toml", help="Settings; options come before them.")
@click.option("--from", "checkpoint", type=PATH, metavar="CHECKPOINT", help="Weights to begin with.")
@click.option("--num-classes", type=click.IntRange(2, 10**6), help="Those of the data: draw the head anew.")
@click.option("--resume", type=PATH, metavar="CHECKPOINT|DIR", help="Go on with a run, to the same bits.")
@config_option
@image_size_option
@run_options
@json_option
@recipe_options
def command(model: str | None, data: str, check_data: bool, as_json: bool, **options: Any) -> int:
    """Train MODEL on labelled pictures by the paper's recipe, and write weights that every command takes.

    Data: a folder per class; one with train and val inside, as ImageNet has; the word digits, for scikit-learn's;
    CIFAR-10's batches; or WebDataset's shards. With several processes:
    torchrun --nproc-per-node N -m neonext_ascend train ...
    """
    settings = {name: value for name in SETTINGS if (value := options.pop(name)) is not None}
    # What Pillow mutters about odd metadata is no concern of the user's; what matters is raised.
    warnings.filterwarnings("ignore", module="PIL")
    with working("loading PyTorch"):
        from neonext_ascend import jobs
        from neonext_ascend.reporting.training import pace_line, training_lines
    if check_data:
        return _check(data, settings, as_json)
    if model is None and options["config"] is None:
        raise UsageError("neither MODEL nor --config; name one of neonext-ascend list")
    done = jobs.train(model, data=data, settings=settings, **options, watch=watching())
    if not done.told:
        return 0
    if as_json:
        put_json(done.to_json())
        return 0
    best = None if done.best is None or done.best_weights is None else (shown_path(done.best_weights), done.best)
    for line in training_lines(shown_path(done.weights), best, done.measured, done.recipe, done.seconds):
        say(line)
    say(pace_line(done.images_per_second, done.waiting))
    return 0


def _check(data: str, settings: dict[str, Any], as_json: bool) -> int:
    from neonext_ascend import jobs

    share = {name: value for name, value in settings.items() if name == "held_out"}
    census = jobs.check_data(data, **share, watch=watching())
    if as_json:
        put_json(census.to_json())
    else:
        say(census.line())
    for problem in census.problems:
        say(problem, quiet=as_json)
    return 2 if census.problems else 0
