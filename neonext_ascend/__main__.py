"""The console script, which is ``python -m neonext_ascend`` as well: a command, whenever it is asked to end."""

import os
import signal
import sys
from collections.abc import Callable
from importlib.machinery import ExtensionFileLoader
from threading import get_ident
from typing import Any

_WISHES = (signal.SIGINT, signal.SIGTERM)


def main() -> None:
    """Run the command; asked to end (``docker stop``), it ends as by Ctrl-C, with what it has started."""
    for name in ("create_module", "exec_module"):
        setattr(ExtensionFileLoader, name, _whole(getattr(ExtensionFileLoader, name)))
    code = 130
    try:
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        from neonext_ascend.cli.main import run  # takes longer than all else before a command begins

        code = run()
    except KeyboardInterrupt:  # there is no command yet, or it was asked a second time
        print("error: interrupted", file=sys.stderr)
    _leave()
    sys.exit(code)


def _whole(load: Callable[..., Any]) -> Callable[..., Any]:
    """Begin a native module undisturbed: an exception in the midst of one's C++ aborts the process."""

    def loaded(*given: Any) -> Any:
        if (os.getpid(), get_ident()) != here:  # another thread hears no signal, and a worker has handlers of torch's
            return load(*given)
        asked: list[int] = []
        # Blocked instead, one would come through another thread.
        held = [(number, signal.signal(number, lambda number, _: asked.append(number))) for number in _WISHES]
        try:
            return load(*given)
        finally:
            for wish, handler in held:
                signal.signal(wish, handler)
            if asked:
                signal.raise_signal(asked[0])

    here = os.getpid(), get_ident()
    return loaded


def _leave() -> None:
    """Nothing is left to be tidied up but Python itself, which would tell where in that it was."""
    while True:
        try:
            for number in _WISHES:
                if signal.getsignal(number) is signal.default_int_handler:
                    signal.signal(number, signal.SIG_DFL)
            return
        except KeyboardInterrupt:
            continue


if __name__ == "__main__":
    main()
