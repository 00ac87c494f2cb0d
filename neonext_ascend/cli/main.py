"""One command, from its words to its exit status: found lazily, and the one place where errors are printed."""

from __future__ import annotations

import contextlib
import importlib
import os
import sys
import traceback
from collections.abc import Sequence

import click

from neonext_ascend._version import __version__
from neonext_ascend.cli.terminal import complain
from neonext_ascend.errors import ArgumentError, NeoNextError, UsageError

# command -> (module in this package, one line of help), in the order of a user's work.
COMMANDS = {
    "list": ("list_models", "The models: parameters, MACs by convention, image size, published accuracy."),
    "inspect": ("inspect", "What a compiler will refuse in an ONNX file; what a model costs on a chip."),
    "export": ("export", "Export a network to a verified ONNX file with its manifest."),
    "verify": ("verify", "Check an artifact or a model against its reference."),
    "predict": ("predict", "Classify pictures with an artifact."),
    "benchmark": ("benchmark", "Latency percentiles and images a second, side by side."),
    "eval": ("eval", "Top-1 and top-5 on labelled pictures with intervals, side by side."),
    "debug": ("debug", "Where two graphs depart, node by node, and which node makes the error."),
    "serve": ("serve", "Serve artifacts over REST and gRPC: Open Inference Protocol v2."),
    "report": ("report", "One page about an artifact: parity, error by depth, range, accuracy, cost."),
    "train": ("train", "The paper's recipe, on labelled pictures, to weights for every command."),
    "doctor": ("doctor", "What is installed, what is missing, what follows from it."),
}

INTERNAL, INTERRUPTED, REFUSED_BY_SYSTEM = 70, 130, 5
_NO_MEMORY = "not enough memory; take a smaller batch or image size"


class _Commands(click.Group):
    """Imports a command's module when the command is used, so that --help stays quick."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names in the order of the table."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command itself."""
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"neonext_ascend.cli.{COMMANDS[cmd_name][0]}")
        command: click.Command = module.command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The table, without importing anything."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])


@click.group(
    cls=_Commands,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Exit status: 0 good; 1 an honest no: the numbers differ, or ATC would refuse; 2 wrong usage or input; "
    "3 a tool or device is missing; 5 the system refuses to read or write; 70 a bug of ours; 130 interrupted.",
)
@click.version_option(__version__, prog_name="neonext-ascend")
def cli() -> None:
    """NeoNeXt checkpoints to verified ONNX and OM files for Ascend NPUs."""


def run(arguments: Sequence[str] | None = None) -> int:
    """Run one command and give its exit status; nothing is raised."""
    _open_streams()
    given = list(sys.argv[1:] if arguments is None else arguments)
    try:
        for word in given:
            _check_word(word)
        # The arguments travel as the context's object: an export records them in its manifest.
        code = cli.main(args=given, prog_name="neonext-ascend", standalone_mode=False, obj=tuple(given))
        sys.stdout.flush()
        return code if isinstance(code, int) else 0
    except ArgumentError as error:
        error.argument = _option(given[0], error.argument)
        return _fail(str(error), error.exit_code)
    except NeoNextError as error:
        return _fail(str(error), error.exit_code)
    except click.ClickException as error:
        hint = f"; see {error.ctx.command_path} --help" if isinstance(error, click.UsageError) and error.ctx else ""
        return _fail(error.format_message().rstrip(".") + hint, 2)
    except (KeyboardInterrupt, click.Abort) as error:
        told = (error.__cause__ or error).args  # click raises its own from it
        return _fail("; ".join(("interrupted", *map(str, told))), INTERRUPTED)
    except (BrokenPipeError, SystemExit):  # click turns a closed pipe into an exit of its own
        return 0  # the reader has seen enough
    except OSError as error:
        where = error.filename or ("standard output: cannot write to it" if _is_clicks(error) else "the system")
        return _fail(f"{where}: {error.strerror or error}", REFUSED_BY_SYSTEM)
    except UnicodeEncodeError as error:
        return _fail(
            f"{error.object}: no file can have this name in the locale {error.encoding}; set LC_ALL=C.UTF-8", 2
        )
    except MemoryError:
        return _fail(_NO_MEMORY, REFUSED_BY_SYSTEM)
    except Exception as error:
        if "can't allocate memory" in str(error):  # torch's way to say MemoryError
            return _fail(_NO_MEMORY, REFUSED_BY_SYSTEM)
        with contextlib.suppress(OSError):
            traceback.print_exc()
        return _fail("this is a bug of neonext-ascend; please report it with the lines above", INTERNAL)


def _option(command: str, argument: str) -> str:
    """A job's argument in the words of its command."""
    found = cli.get_command(click.Context(cli), command)
    options = {param.name: param.opts[0] for param in found.params if isinstance(param, click.Option)} if found else {}
    return options.get(argument) or options.get(argument.removesuffix("s"), argument)


def _check_word(word: str) -> None:
    if "\0" in word:
        raise UsageError(f"{word[:60]}: holds a NUL character, which no name or path has")
    os.fsencode(word)


def _fail(message: str, code: int) -> int:
    complain(message)
    return code


def _is_clicks(error: OSError) -> bool:
    """Whether it was raised in click, which writes help and versions by itself."""
    *_, (frame, _) = traceback.walk_tb(error.__traceback__)
    return str(frame.f_globals.get("__name__")).startswith("click.")


def _open_streams() -> None:
    """Give a standard stream that was closed, as services do, to nobody: a file opened later would take its number."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            opened = os.open(os.devnull, os.O_RDWR)
            if opened != number:
                os.dup2(opened, number)
                os.close(opened)
            if number:  # who would read standard input is to know that it is closed
                setattr(sys, name, open(number, "w", closefd=False))  # noqa: SIM115 -- as Python's own
