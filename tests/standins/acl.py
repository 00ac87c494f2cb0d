"""A stand-in for pyACL's module ``acl``: strict about order, pointers, sizes and forms of return; not the vendor's.

It loads what the stand-in atc writes. Beside pyACL's names it has :func:`reset`, :func:`configure`, :func:`leaks`,
:func:`fail_at`, :func:`fail_on` and the list ``calls``. A call against the contract is answered with a code, as
the library would, and kept: :func:`leaks` shows it.
"""

from __future__ import annotations

import os
from types import SimpleNamespace

from tests.standins import acl_mdl as mdl
from tests.standins import acl_rt as rt
from tests.standins import acl_util
from tests.standins.acl_state import REPEATED, STATE, How, Misuse, Refused, State, api

__all__ = ["mdl", "rt", "util"]
calls = STATE.calls
util = SimpleNamespace()


def reset() -> None:
    """Forget everything: as a new process on a machine with Ascend310P3."""
    fresh = State(calls=STATE.calls)
    fresh.calls.clear()
    STATE.__dict__.update(fresh.__dict__)
    configure()


def configure(soc: str | None = os.environ.get("STANDIN_SOC", "Ascend310P3"), pointers: str = "bytes") -> None:
    """The machine.

    Args:
        soc: of the device; ``None`` where ``get_soc_name`` does not know.
        pointers: ``bytes`` or, as in older releases, ``numpy``.
    """
    STATE.soc = soc
    names = ("bytes_to_ptr", "ptr_to_bytes") if pointers == "bytes" else ("numpy_to_ptr", "ptr_to_numpy")
    util.__dict__.clear()
    util.__dict__.update({name: getattr(acl_util, name) for name in names})


def fail_at(number: int, how: How = "code") -> None:
    """Let the call of this number in ``calls`` fail: with a code, an exception, or nothing in place of its answer."""
    STATE.faults.append((number, how))


def fail_on(name: str, how: How = "code") -> None:
    """Let the next call of this name fail."""
    STATE.faults.append((name, how))


def leaks() -> list[str]:
    """What is still held, and every call against the contract."""
    held = [str(thing) for thing in STATE.things.values() if thing.kind != "pointer"]
    held += [f"device {device}" for device in sorted(STATE.devices)]
    held += ["initialised"] if STATE.initialised else []
    return held + [f"misuse: {words}" for words in STATE.misuse]


@api("acl.init", "code")
def init(config_path: str | None = None) -> None:
    if STATE.initialised:
        raise Refused(REPEATED, "initialised already")
    STATE.initialised = True


@api("acl.finalize", "code", ends="initialised")
def finalize() -> None:
    STATE.need_init()
    kinds = ("context", "model", "desc", "dataset", "data buffer", "device memory", "host memory")
    STATE.none_alive("finalize", *kinds)
    if set_devices := [device for device in STATE.devices if ("device", device) not in STATE.stuck]:
        raise Misuse(f"finalize before reset_device {set_devices}")
    STATE.initialised = False
    STATE.stuck.discard(("initialised", None))


@api("acl.get_soc_name", "value", failed=None)
def get_soc_name() -> str | None:
    return STATE.soc


def get_recent_err_msg() -> str:
    """The last failure's words, once."""
    message, STATE.message = STATE.message, ""
    return message


@api("acl.create_data_buffer", "value")
def create_data_buffer(data: int, size: int) -> int:
    STATE.need_init()
    memory = STATE.get("device memory", data)
    if not 0 < size <= memory.size:
        raise Misuse(f"a buffer of {size} bytes over {memory} of {memory.size}")
    return STATE.make("data buffer", size=size, content=data)


@api("acl.destroy_data_buffer", "code", ends="data buffer")
def destroy_data_buffer(data_buffer: int) -> None:
    STATE.need_init()
    STATE.end("data buffer", data_buffer)


configure()
