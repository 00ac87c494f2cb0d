"""``python -m experiments.ablation PLAN``: do a plan's trainings, and tell what came out."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import get_args

import click

from experiments.ablation.plan import PLANS
from experiments.ablation.study import BUILD, study
from neonext_ascend.errors import NeoNextError
from neonext_ascend.training.processes import DeviceName


@click.command()
@click.argument("plan")
@click.option("--data", help="Pictures in place of the plan's own, as neonext-ascend train --data takes them.")
@click.option("--device", type=click.Choice(get_args(DeviceName)), default="auto", show_default=True)
@click.option("--keep", is_flag=True, help="Put the results into docs/.")
def main(plan: str, data: str | None, device: DeviceName, keep: bool) -> None:
    """Do the trainings of PLAN: a file in TOML, or the name of one in experiments/ablation/plans.

    What is done stays in build/experiments; the same command goes on where it stopped.
    """
    path = Path(plan) if plan.endswith(".toml") else PLANS / f"{plan}.toml"
    if not path.exists():
        known = ", ".join(sorted(file.stem for file in PLANS.glob("*.toml")))
        raise click.UsageError(f"no plan {plan}; expected a file in TOML, or {known}")
    try:
        study(path, data, device, keep)
    except NeoNextError as error:
        print(error, file=sys.stderr)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        print(f"stopped; what is done lies in {BUILD}, and the same command goes on", file=sys.stderr)
        sys.exit(130)


if __name__ == "__main__":
    main()
