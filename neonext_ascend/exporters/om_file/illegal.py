"""The table of what ATC refuses of its flags, looked up before it starts.

Which code says what: hicann/ge, ``base/common/error_registry/error_registry.cc`` and the checks in
``atc_ir_common.cc``, for the combinations that its guides call illegal.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from neonext_ascend.machine.chips import Soc

MIN_GEARS, MAX_GEARS = 2, 100
# Only one of them may be given; the last is an older form of a range in input_shape.
DYNAMIC = ("dynamic_batch_size", "dynamic_image_size", "dynamic_dims", "input_shape_range")


@dataclass(frozen=True, slots=True)
class Call:
    """The flags as ATC would see them, by name without dashes."""

    flags: Mapping[str, str]
    soc: Soc
    quantised: bool

    @property
    def shapes(self) -> list[list[str]]:
        """The dimensions of each input in ``input_shape``."""
        inputs = self.flags.get("input_shape", "").split(";")
        return [one.rpartition(":")[2].replace(" ", "").split(",") for one in inputs if one]

    @property
    def dynamic(self) -> list[str]:
        """Which of the mutually exclusive flags are given."""
        return [name for name in DYNAMIC if name in self.flags]

    @property
    def profiles(self) -> list[list[str]]:
        """Each profile's sizes."""
        batches = [[n] for n in self.flags.get("dynamic_batch_size", "").split(",") if n]
        others = [self.flags.get(name, "") for name in ("dynamic_image_size", "dynamic_dims")]
        return batches + [one.replace(" ", "").split(",") for text in others for one in text.split(";") if one]

    def free(self) -> list[list[int]]:
        """The positions of -1 in each input."""
        return [[i for i, size in enumerate(shape) if size == "-1"] for shape in self.shapes]


@dataclass(frozen=True, slots=True)
class Illegal:
    """One thing that ATC refuses.

    ``code`` is ATC's, ``None`` where no source names one; ``found`` tells whether a call has it.
    """

    code: str | None
    says: str
    remedy: str
    found: Callable[[Call], bool]


def _given(name: str) -> Callable[[Call], bool]:
    return lambda call: name in call.flags


def _beyond(name: str, *values: str) -> Callable[[Call], bool]:
    return lambda call: name in call.flags and call.flags[name] not in values


_BATCH, _IMAGE, _DIMS = (_given(name) for name in DYNAMIC[:3])


def _more_free(call: Call, count: Callable[[list[int]], int]) -> bool:
    """Whether there are more -1 (largest or sum over the inputs) than a profile of dynamic_dims has sizes."""
    return _DIMS(call) and count([len(free) for free in call.free()]) > len(call.profiles[0])


def _ranged(call: Call) -> bool:
    sizes = [size for shape in call.shapes for size in shape]
    return not set(call.dynamic) - {"input_shape_range"} and (
        "input_shape_range" in call.flags or any("~" in size or size == "-1" for size in sizes)
    )


def _not_positive(call: Call) -> bool:
    # A bare -1 is a fully dynamic dimension, 1~10 a range.
    bounds = [bound for shape in call.shapes for size in shape if size != "-1" for bound in size.split("~")]
    return any(not bound.isdecimal() or int(bound) < 1 for bound in bounds)


_GEARS = "give 2 to 100 different batch sizes, such as --batch-gears 1,2,4,8"
_FREE = "leave input_shape to this program, which sets -1 for the batch alone"
# In ATC's own order: the first that is found is the one that it names.
ILLEGAL: tuple[Illegal, ...] = (
    Illegal("E10001", "auto_tune_mode is no longer taken", "leave it out", _given("auto_tune_mode")),
    Illegal("E10010", "log is none of debug, info, warning, error, null", "take one of them",
            _beyond("log", "debug", "info", "warning", "error", "null")),
    Illegal("E10001", "op_debug_level is none of 0 to 4", "take one of them", _beyond("op_debug_level", *"01234")),
    Illegal("E10006", "deterministic is neither 0 nor 1", "take one of them", _beyond("deterministic", "0", "1")),
    Illegal("E10001", "input_format is none of NCHW, NCDHW, ND, which an ONNX file may have", "leave it out",
            _beyond("input_format", "NCHW", "NCDHW", "ND")),
    Illegal("E10056", "precision_mode and precision_mode_v2 exclude each other", "say it by --precision",
            lambda call: {"precision_mode", "precision_mode_v2"} <= call.flags.keys()),
    Illegal("E10001", "dynamic_dims and AIPP exclude each other", "take batch gears with AIPP",
            lambda call: _DIMS(call) and "insert_op_conf" in call.flags),
    Illegal("E10009", "batch sizes, image sizes, dims and shape ranges exclude each other", "take batch gears alone",
            lambda call: len(call.dynamic) > 1),
    Illegal("E10040", "a range (~) in input_shape and dynamic profiles exclude each other", _FREE,
            lambda call: bool(call.profiles) and any("~" in size for shape in call.shapes for size in shape)),
    Illegal(None, "a quantised model has a static shape only", "leave the batch gears out",
            lambda call: call.quantised and (bool(call.dynamic) or _ranged(call))),
    Illegal("EZ3002", "this chip takes no dynamic shapes of a free range", "take a static batch or batch gears",
            lambda call: _ranged(call) and not call.soc.shape_ranges),
    Illegal("E10031", "dynamic_batch_size needs -1 for N, but the batch is static",
            "export the ONNX file with a dynamic batch, or leave the gears out",
            lambda call: _BATCH(call) and not any(0 in free for free in call.free())),
    Illegal("E10018", "with dynamic_batch_size N alone may be -1", _FREE,
            lambda call: _BATCH(call) and any(0 in free and free != [0] for free in call.free())),
    Illegal("E10019", "with dynamic_image_size H and W alone may be -1", _FREE,
            lambda call: _IMAGE(call) and [free for free in call.free() if free] != [[2, 3]]),
    Illegal("E10001", "dynamic_dims needs input_format=ND", "take batch gears",
            lambda call: _DIMS(call) and call.flags.get("input_format") != "ND"),
    Illegal("E10001", "dynamic_dims needs a -1 in input_shape", "take batch gears",
            lambda call: _DIMS(call) and not any(call.free())),
    Illegal("E10046", "an input has more -1 than a profile of dynamic_dims has sizes", _FREE,
            lambda call: _more_free(call, max)),
    Illegal("E10045", "the inputs together have more -1 than a profile of dynamic_dims has sizes", _FREE,
            lambda call: _more_free(call, sum)),
    Illegal("E10011", "a static size must be a positive whole number", "give a batch size of at least 1",
            _not_positive),
    Illegal("E10003", "dynamic_batch_size holds something else than digits", _GEARS,
            lambda call: _BATCH(call) and not call.flags["dynamic_batch_size"].replace(",", "").isdecimal()),
    Illegal("E10035", f"fewer than {MIN_GEARS} profiles", _GEARS,
            lambda call: bool(call.profiles) and len(call.profiles) < MIN_GEARS),
    Illegal("E10036", f"more than {MAX_GEARS} profiles", _GEARS, lambda call: len(call.profiles) > MAX_GEARS),
    Illegal("E10038", "a profile's size must be greater than 0", _GEARS,
            lambda call: any(not size.isdecimal() or int(size) < 1 for one in call.profiles for size in one)),
    Illegal("E10039", "the same profile twice", _GEARS,
            lambda call: len({tuple(one) for one in call.profiles}) < len(call.profiles)),
)  # fmt: skip


def find_illegal(call: Call) -> Illegal | None:
    """The first of :data:`ILLEGAL` that a call has."""
    return next((rule for rule in ILLEGAL if rule.found(call)), None)
