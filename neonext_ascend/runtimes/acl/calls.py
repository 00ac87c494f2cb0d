"""pyACL's calls, each checked: what it returns, what a failure means, and what to do about it, in one table.

pyACL returns in three forms: a bare code, a bare value, or ``(value, code)``; code 0 is success. A null pointer
is a failure too. Signatures: the pyACL API reference (hiascend.com, application development, Python).
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from neonext_ascend.errors import ArtifactError, NeoNextError, ToolchainError

REPEAT_INITIALIZE = 100002  # ACL_ERROR_REPEAT_INITIALIZE in acl_base.h: somebody in this process has done it
_MESSAGE_LENGTH = 300

# "nonzero": pointers, sizes, counts and names, where 0 or nothing is a failure as None is.
Form = Literal["code", "value", "nonzero", "value, code", "nonzero, code"]


@dataclass(frozen=True, slots=True)
class Call:
    """How one call answers, and what its failure is.

    Args:
        form: of what it returns.
        error: raised on failure.
        remedy: what to do then.
        accepts: codes beside 0 that are no failure.
    """

    form: Form
    error: type[NeoNextError]
    remedy: str
    accepts: tuple[int, ...] = ()


_DEVICE = "see neonext-ascend doctor for driver and device, and whether another process holds the device"
_MEMORY = "the device's memory may be full: end other processes on it (npu-smi info) or take smaller batch gears"
_HOST = "this machine's memory may be full; end other processes"
_OM = "the OM may be damaged or for another SoC or CANN: export it again on this machine's CANN"
_RUN = "see npu-smi info for the device's state and CANN's log (~/ascend/log) for the reason"
_FREE = "the device may keep what was not released until this process ends; end it before running again"
_PYACL = (
    "this pyACL answers otherwise than its reference says: take the acl module of this CANN (source its set_env.sh)"
)

CALLS: Mapping[str, Call] = {
    "acl.init": Call("code", ToolchainError, _DEVICE, accepts=(REPEAT_INITIALIZE,)),
    "acl.rt.set_device": Call("code", ToolchainError, _DEVICE),
    "acl.rt.create_context": Call("nonzero, code", ToolchainError, _DEVICE),
    "acl.rt.set_context": Call("code", ToolchainError, _RUN),
    "acl.mdl.load_from_file": Call("value, code", ArtifactError, _OM),
    "acl.mdl.create_desc": Call("nonzero", ToolchainError, _HOST),
    "acl.mdl.get_desc": Call("code", ArtifactError, _OM),
    "acl.mdl.get_num_inputs": Call("nonzero", ArtifactError, _OM),
    "acl.mdl.get_num_outputs": Call("nonzero", ArtifactError, _OM),
    "acl.mdl.get_input_name_by_index": Call("nonzero", ArtifactError, _OM),
    "acl.mdl.get_input_index_by_name": Call("value, code", ArtifactError, _OM),
    "acl.mdl.get_input_dims": Call("value, code", ArtifactError, _OM),
    "acl.mdl.get_output_dims": Call("value, code", ArtifactError, _OM),
    "acl.mdl.get_input_data_type": Call("value", ArtifactError, _OM),
    "acl.mdl.get_output_data_type": Call("value", ArtifactError, _OM),
    "acl.mdl.get_input_size_by_index": Call("nonzero", ArtifactError, _OM),
    "acl.mdl.get_output_size_by_index": Call("nonzero", ArtifactError, _OM),
    "acl.mdl.create_dataset": Call("nonzero", ToolchainError, _HOST),
    "acl.rt.malloc": Call("nonzero, code", ToolchainError, _MEMORY),
    "acl.rt.malloc_host": Call("nonzero, code", ToolchainError, _HOST),
    "acl.create_data_buffer": Call("nonzero", ToolchainError, _HOST),
    "acl.mdl.add_dataset_buffer": Call("nonzero, code", ToolchainError, _HOST),
    "acl.util.bytes_to_ptr": Call("nonzero", ToolchainError, _PYACL),
    "acl.util.numpy_to_ptr": Call("nonzero", ToolchainError, _PYACL),
    "acl.util.ptr_to_bytes": Call("value", ToolchainError, _PYACL),
    "acl.util.ptr_to_numpy": Call("value", ToolchainError, _PYACL),
    "acl.mdl.set_dynamic_batch_size": Call("code", ArtifactError, _OM),
    "acl.rt.memcpy": Call("code", ToolchainError, _RUN),
    "acl.mdl.execute": Call("code", ToolchainError, _RUN),
    "acl.mdl.get_cur_output_dims": Call("value, code", ToolchainError, _RUN),
    "acl.destroy_data_buffer": Call("code", ToolchainError, _FREE),
    "acl.rt.free": Call("code", ToolchainError, _FREE),
    "acl.rt.free_host": Call("code", ToolchainError, _FREE),
    "acl.mdl.destroy_dataset": Call("code", ToolchainError, _FREE),
    "acl.mdl.unload": Call("code", ToolchainError, _FREE),
    "acl.mdl.destroy_desc": Call("code", ToolchainError, _FREE),
    "acl.rt.destroy_context": Call("code", ToolchainError, _FREE),
    "acl.rt.reset_device": Call("code", ToolchainError, _FREE),
    "acl.finalize": Call("code", ToolchainError, _FREE),
}


class AclCalls:
    """Calls by name; anything but success is an error in words.

    Args:
        acl: the module.
        what: they are made for, the OM's path: messages begin with it.
    """

    def __init__(self, acl: Any, what: str) -> None:
        self._acl, self._what = acl, what

    def has(self, name: str) -> bool:
        """Whether this pyACL has the call; its versions differ."""
        return self._find(name) is not None

    def __call__(self, name: str, *args: Any) -> Any:
        """Make one call.

        Args:
            name: a row of :data:`CALLS`.
            args: passed on.

        Returns:
            The value without its code; the code where there is no value.

        Raises:
            ToolchainError, ArtifactError: it failed, as the table says.
        """
        call = CALLS[name]
        function = self._find(name)
        if function is None:
            raise ToolchainError(f"{self._what}: this pyACL has no {name}; {_PYACL}")
        try:
            answer = function(*args)
        except Exception as error:  # what a C extension raises is its own affair
            raise call.error(
                f"{self._what}: {name} raised {type(error).__name__}: {_one_line(error)}; {call.remedy}"
            ) from None
        return self._check(name, call, answer)

    def soc_name(self) -> str | None:
        """The device's SoC as ``acl.get_soc_name`` tells it; ``None`` where it does not: nothing depends on it."""
        try:
            name = self._acl.get_soc_name()
        except Exception:
            return None
        return name if isinstance(name, str) and name else None

    def _check(self, name: str, call: Call, answer: Any) -> Any:
        value, code = answer, 0
        if call.form == "code":
            code = answer
        elif call.form.endswith(", code"):
            if not (isinstance(answer, tuple) and len(answer) == 2):
                raise ToolchainError(f"{self._what}: {name} returned {answer!r:.80}; expected a pair; {_PYACL}")
            value, code = answer
        if not isinstance(code, int):
            raise ToolchainError(f"{self._what}: {name} returned {answer!r:.80}; expected a code; {_PYACL}")
        if code != 0 and code not in call.accepts:
            raise call.error(f"{self._what}: {name} failed with code {code}{self._reason()}; {call.remedy}")
        if value is None or (call.form.startswith("nonzero") and not value):
            raise call.error(f"{self._what}: {name} returned {value!r}{self._reason()}; {call.remedy}")
        return value

    def _find(self, name: str) -> Any:
        found = self._acl
        for part in name.split(".")[1:]:
            found = getattr(found, part, None)
        return found

    def _reason(self) -> str:
        """ACL's own words on the last failure of this thread; the reference advises to ask each time."""
        try:
            text = self._acl.get_recent_err_msg()
        except Exception:
            return ""
        return f" ({_one_line(text)})" if isinstance(text, str) and text.strip() else ""


def import_acl(what: str) -> Any:
    """The module ``acl``.

    Args:
        what: it is needed for; messages begin with it.

    Raises:
        ToolchainError: it is missing, cannot be loaded, or is another package of that name.
    """
    missing = (
        "pyACL comes with the CANN toolkit: source its set_env.sh (/usr/local/Ascend/ascend-toolkit/set_env.sh, from "
        "CANN 8.5 /usr/local/Ascend/cann/set_env.sh); for Docker see docs/ascend.md"
    )
    try:
        acl = importlib.import_module("acl")
    except Exception as error:  # a C extension without its libraries raises OSError and others beside ImportError
        raise ToolchainError(
            f"{what}: running an OM needs the Python module acl: {_one_line(error)}; {missing}"
        ) from None
    if not (hasattr(acl, "rt") and hasattr(acl, "mdl")):
        raise ToolchainError(f"{what}: the Python module acl here is not pyACL; {missing}")
    return acl


def _one_line(text: object) -> str:
    return " ".join(str(text).split())[:_MESSAGE_LENGTH]
