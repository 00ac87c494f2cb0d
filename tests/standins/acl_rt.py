"""``acl.rt`` of the stand-in: devices, contexts, memory."""

from __future__ import annotations

import threading

from tests.standins.acl_state import STATE, Misuse, Refused, Thing, api, dropped

DEVICES = 2
POISON = b"\xa5"


@api("acl.rt.set_device", "code")
def set_device(device_id: int) -> None:
    STATE.need_init()
    if not 0 <= device_id < DEVICES:
        raise Refused(107001, f"there is no device {device_id}")
    STATE.devices.add(device_id)
    STATE.stuck.discard(("device", device_id))


@api("acl.rt.reset_device", "code", ends="device")
def reset_device(device_id: int) -> None:
    STATE.need_init()
    if device_id not in STATE.devices:
        raise Misuse(f"device {device_id} is not set")
    left = [thing for thing in STATE.alive("context") if thing.content == device_id]
    if left:
        raise Misuse(f"reset_device before {', '.join(map(str, left))}")
    STATE.devices.discard(device_id)


@api("acl.rt.create_context", "value, code")
def create_context(device_id: int) -> int:
    STATE.need_init()
    if device_id not in STATE.devices:
        raise Misuse(f"set_device {device_id} comes first")
    context = STATE.make("context", content=device_id)
    STATE.current[threading.get_ident()] = context
    return context


@api("acl.rt.set_context", "code")
def set_context(context: int) -> None:
    STATE.need_init()
    STATE.current[threading.get_ident()] = STATE.get("context", context).address


@api("acl.rt.destroy_context", "code", ends="context")
def destroy_context(context: int) -> None:
    STATE.need_init()
    STATE.get("context", context)
    STATE.none_alive("destroy_context", "model", "device memory", "host memory", context=context)
    STATE.end("context", context)


@api("acl.rt.malloc", "value, code")
def malloc(size: int, policy: int) -> int:
    if policy not in (0, 1, 2):
        raise Misuse(f"policy {policy}")
    return _memory("device memory", size)


@api("acl.rt.malloc_host", "value, code")
def malloc_host(size: int) -> int:
    return _memory("host memory", size)


@api("acl.rt.free", "code", ends="device memory")
def free(dev_ptr: int) -> None:
    STATE.need_context()
    STATE.get("device memory", dev_ptr)
    if users := [buffer for buffer in STATE.alive("data buffer") if buffer.content == dev_ptr]:
        raise Misuse(f"free before {users[0]}")
    STATE.end("device memory", dev_ptr)


@api("acl.rt.free_host", "code", ends="host memory")
def free_host(host_ptr: int) -> None:
    STATE.need_context()
    STATE.end("host memory", host_ptr)


@api("acl.rt.memcpy", "code")
def memcpy(dst: int, dest_max: int, src: int, count: int, kind: int) -> None:
    STATE.need_context()
    if kind not in (1, 2):
        raise Misuse(f"kind {kind}; expected 1, host to device, or 2, device to host")
    target = STATE.get("device memory" if kind == 1 else "host memory", dst)
    source = _host_source(src) if kind == 1 else STATE.get("device memory", src)
    if not 0 < count <= dest_max <= target.size:
        raise Misuse(f"{count} bytes into {target} of {target.size}, said to have {dest_max}")
    if count > source.written:
        raise Misuse(f"{count} bytes from {source}, of which {source.written} hold data")
    target.content[:count] = bytes(source.content[:count])
    target.written = max(target.written, count)


def _memory(kind: str, size: int) -> int:
    context = STATE.need_context()
    if not size > 0:
        raise Misuse(f"{size} bytes")
    return STATE.make(kind, size=size, context=context, content=bytearray(POISON * size))


def _host_source(address: int) -> Thing:
    thing = STATE.things.get(address)
    if thing is None or thing.kind != "pointer":
        return STATE.get("host memory", address)
    if dropped(thing):
        raise Misuse("the bytes behind a host pointer are gone")
    view = memoryview(thing.content).cast("B")
    return Thing("pointer", address, view.nbytes, content=view, written=view.nbytes)
