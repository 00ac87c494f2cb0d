"""What is wrong with labelled pictures, before anything is learnt from them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from neonext_ascend.jobs.checking import checked
from neonext_ascend.jobs.watching import SILENT, Watch
from neonext_ascend.spec import Bounds
from neonext_ascend.training.sources.census import Census, take_census
from neonext_ascend.training.sources.opening import open_source


@checked
def check_data(
    data: str | Path,
    *,
    held_out: Annotated[float, Bounds(ge=0, le=0.999999)] = 0.1,
    watch: Watch = SILENT,
) -> Census:
    """Decode every picture of a data set and count what is missing, corrupt or empty.

    Args:
        data: as of :func:`~neonext_ascend.jobs.training.running.train`.
        held_out: share of each class that is held out where the data has no part for it.
        watch: told of the progress.

    Raises:
        UsageError: it is no data set.
        FileAccessError: it cannot be read.
    """
    with watch.working("checking the data") as tell:
        return take_census(open_source(str(data), held_out, 0), whole=True, tell=tell)
