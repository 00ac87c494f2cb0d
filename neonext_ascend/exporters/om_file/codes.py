"""ATC's error codes: what each means and what to do.

Codes and meanings: hicann/ge, ``base/common/error_registry/error_registry.cc``, and the ATC guides; EZ3002 and EZ3003
come from the operators' side. A code whose last four digits are 9999 is an internal error of its component.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

CODE = re.compile(r"\bE[0-9A-Z]\d{4}\b")
_FLAGS = "compare the command in the log with atc --help of this toolkit"
_GEARS = "give 2 to 100 different batch sizes of at least 1, such as --batch-gears 1,2,4,8"
_SHAPE = "leave input_shape to this program; take --batch-gears for several batch sizes"
_OPERATOR = "run neonext-ascend inspect on the ONNX file; see that the toolkit and the chip's ops package are installed"


@dataclass(frozen=True, slots=True)
class Meaning:
    """What a code says.

    Args:
        says: in words.
        remedy: what to do.
        internal: whether ATC itself failed, so that the model is not to blame.
    """

    says: str
    remedy: str
    internal: bool = False


CODES: Mapping[str, Meaning] = {
    "E10001": Meaning("a flag's value is not allowed", _FLAGS),
    "E10003": Meaning("a flag's value is not allowed", _FLAGS),
    "E10006": Meaning("a flag takes 0 or 1", _FLAGS),
    "E10009": Meaning("batch sizes, image sizes, dims and shape ranges exclude each other", "take --batch-gears alone"),
    "E10010": Meaning("--log is none of debug, info, warning, error, null", "take one of them"),
    "E10011": Meaning("a static size is not positive", "give --batch-size 1 or more, or --batch-gears"),
    "E10016": Meaning("a node name is not in the model", "see the node names with neonext-ascend inspect FILE.onnx"),
    **{code: Meaning("-1 stands where it may not", _SHAPE) for code in ("E10018", "E10019", "E10031", "E10040")},
    **{code: Meaning("more -1 than a profile has sizes", _SHAPE) for code in ("E10045", "E10046")},
    "E10035": Meaning("fewer than 2 profiles", _GEARS),
    "E10036": Meaning("more than 100 profiles", _GEARS),
    "E10038": Meaning("a profile's size is not positive", _GEARS),
    "E10039": Meaning("the same profile twice", _GEARS),
    "E10052": Meaning("the AIPP configuration is not accepted", "leave out --aipp and report this with the log"),
    "E10054": Meaning("a required flag is missing", _FLAGS),
    "E10056": Meaning("precision_mode and precision_mode_v2 exclude each other", "say it by --precision alone"),
    "E10410": Meaning("a file is absent", "see that the file named in the log exists and can be read"),
    "E10501": Meaning("an operator is not registered in this toolkit", _OPERATOR),
    "E13009": Meaning("two operators of the model share a name", "give each node a name of its own"),
    "E13010": Meaning("an operator's type is not registered in this toolkit", _OPERATOR),
    "E16002": Meaning(
        "there is no ONNX parser for an operator at this opset (8 to 18 are known)",
        "export with --opset 17, and run neonext-ascend inspect on the file",
    ),
    "E19999": Meaning("ATC failed internally", "report the log to the toolkit's vendor, or take another CANN", True),
    "EZ3002": Meaning("the chip does not support an operator with these shapes or dtypes", _OPERATOR),
    "EZ3003": Meaning("no engine of the chip supports an operator (EZ3002 in the log gives the reason)", _OPERATOR),
}
_UNKNOWN = Meaning("a code that this program does not know", "look it up in CANN's troubleshooting guide")


def meaning(code: str) -> Meaning:
    """Of one code; of an internal error of any component for ``E?9999``."""
    if code not in CODES and code.endswith("9999"):
        return CODES["E19999"]
    return CODES.get(code, _UNKNOWN)
