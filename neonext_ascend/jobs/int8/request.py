"""What is asked of an int8 file, and the usage errors that need no network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from neonext_ascend.cost.choice import LayoutChoice
from neonext_ascend.errors import UsageError
from neonext_ascend.exporters.int8.qdq import check_qdq_opset
from neonext_ascend.jobs.checking import checked_fields
from neonext_ascend.machine.chips import Soc, find_soc
from neonext_ascend.precision.int8.calibrators import Calibrator
from neonext_ascend.precision.int8.deciding import Rounding
from neonext_ascend.spec import FileDtype


@dataclass(frozen=True, slots=True)
class Int8Request:
    """Int8, in the words of the command's options.

    Args:
        calibration: a folder of pictures such as the network will see; in a folder for each class, or with a label
            file, their classes are counted too.
        calibrator: how far int8 reaches.
        anyway: take pictures that the check refuses.
        balance: move powers of two between channels and the weights that read them.
        rounding: of weights: to the nearest integers, or by AdaRound, which takes minutes.
        sensitivity: measure what each layer costs by itself.
        deploy: write the vendor's deploy form for this chip as well; an OM's own chip needs no word here.
    """

    calibration: str | Path
    calibrator: Calibrator = "mse"
    anyway: bool = False
    balance: bool = True
    rounding: Rounding = "nearest"
    sensitivity: bool = False
    deploy: str | None = None


@dataclass(frozen=True, slots=True)
class Int8Plan:
    """A checked request; ``soc`` is the deploy form's chip, ``None`` where none is asked for."""

    request: Int8Request
    soc: Soc | None

    @property
    def folder(self) -> Path:
        """Of the pictures."""
        return Path(self.request.calibration)


def int8_plan(
    request: Int8Request | None,
    dtype: FileDtype,
    *,
    layout: LayoutChoice,
    opset: int,
    rows: int | None,
    soc: Soc | None,
    others: Sequence[str] = (),
) -> Int8Plan | None:
    """The plan; ``None`` where int8 is not asked for.

    Args:
        request: of int8.
        dtype: of the file.
        layout, opset, rows: of the graph; ``None`` rows are a free batch.
        soc: of an OM.
        others: options that were given and belong to other dtypes.

    Raises:
        UsageError: options that do not fit together.
    """
    if dtype != "int8":
        if request is not None:
            raise UsageError("--calibration: is of int8; give --dtype int8 with it")
        return None
    if request is None:
        raise UsageError(
            "--dtype int8: needs --calibration FOLDER, with some hundred pictures such as the network will see"
        )
    if others:
        raise UsageError(f"{others[0]}: is of half precision; int8 keeps layers in fp16 by --gate and --max-drop")
    if layout == "chnw":
        raise UsageError(
            "--layout chnw: its constants are the first operands, and int8 takes the second alone; take nchw"
        )
    check_qdq_opset(opset)
    request = checked_fields(request)
    if request.deploy is not None:
        soc = find_soc(request.deploy)
    if soc is not None and rows is None:
        raise UsageError("--batch-size dynamic: the deploy form has a static shape only; give its batch size")
    return Int8Plan(request, soc)
