"""``voxveil``: the commands, and what happens when something goes wrong.

Exit codes are those of ``docs/errors.md``. Heavy modules are imported inside the commands that need them, so that
``voxveil --help`` answers at once.
"""

from __future__ import annotations

import signal
import sys
import threading
from types import FrameType
from typing import Annotated

import typer

from voxveil import __version__
from voxveil.cli import audit, bench, clone, measure, models, protect, train, verify
from voxveil.cli.complaint import complain
from voxveil.errors import VoxveilError

app = typer.Typer(
    name="voxveil",
    help="Keep a voice from being cloned, and know how far to trust that.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("protect")(protect.command)
app.command("measure")(measure.command)
app.command("audit")(audit.command)
app.command("train")(train.command)
app.command("clone")(clone.command)
app.add_typer(bench.app, name="bench")
app.add_typer(verify.app, name="verify")
app.add_typer(models.app, name="models")


SIGNAL_AGAIN_S = 0.05


class _Stopped(BaseException):
    """A signal asked for the end; no handler of errors may mistake it for one."""


def _version(wanted: bool) -> bool:
    if wanted:
        print(f"voxveil {__version__}")
        raise typer.Exit
    return wanted


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    pass


def _stop(number: int, frame: FrameType | None) -> None:
    raise _Stopped(number)


def _unraisable(report: sys.UnraisableHookArgs) -> None:
    # Python drops what is raised in a finaliser, an end that somebody asked for, too: that is asked for again.
    if isinstance(report.exc_value, _Stopped):
        threading.Timer(SIGNAL_AGAIN_S, signal.raise_signal, report.exc_value.args).start()
    else:
        sys.__unraisablehook__(report)


def run() -> None:
    """The entry point: one sentence and a documented exit code for whatever goes wrong, never a traceback.

    With VOXVEIL_DEBUG=1 in the environment the traceback of an error is shown.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        # A shell that starts a job in the background has it ignore Ctrl-C, and so it stays.
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _stop)
    sys.unraisablehook = _unraisable
    try:
        app()
    except _Stopped as stopped:
        # The stack is unwound by now, so half-written files are gone.
        _end("Interrupted: nothing half-written is left.", 128 + stopped.args[0])
    except VoxveilError as error:
        _end(str(error), error.exit_code)
    except Exception as error:
        _end(f"Something went wrong inside Voxveil ({type(error).__name__}: {error}); please report it.", 1)


def _end(sentence: str, code: int) -> None:
    complain(sentence)
    sys.exit(code)
