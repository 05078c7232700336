"""``voxveil``: the commands, and what happens when something goes wrong.

Exit codes are those of ``docs/errors.md``. Heavy modules are imported inside the commands that need them, so that
``voxveil --help`` answers at once.
"""

from __future__ import annotations

import os
import signal
import sys
import traceback
from types import FrameType

import typer

from voxveil import __version__
from voxveil.cli import measure, models, protect
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
app.add_typer(models.app, name="models")

INTERRUPTED = 130
TERMINATED = 143


def _version(wanted: bool) -> None:
    if wanted:
        print(f"voxveil {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: bool = typer.Option(False, "--version", callback=_version, is_eager=True, help="Show the version."),
) -> None:
    pass


def _terminate(number: int, frame: FrameType | None) -> None:
    raise SystemExit(TERMINATED)


def run() -> None:
    """The entry point: one sentence and a documented exit code for whatever goes wrong, never a traceback.

    With VOXVEIL_DEBUG=1 in the environment the traceback of an error is shown.
    """
    # A polite kill unwinds the stack, so that half-written files are removed.
    signal.signal(signal.SIGTERM, _terminate)
    try:
        app()
    except KeyboardInterrupt:
        _end("Interrupted: nothing half-written is left.", INTERRUPTED)
    except VoxveilError as error:
        _end(str(error), error.exit_code)
    except Exception as error:
        _end(f"Something went wrong inside Voxveil ({type(error).__name__}: {error}); please report it.", 1)


def _end(sentence: str, code: int) -> None:
    if os.environ.get("VOXVEIL_DEBUG") == "1":
        traceback.print_exc()
    print(f"voxveil: {sentence}", file=sys.stderr)
    sys.exit(code)
