"""Another program, run to its end or stopped with everything that it started."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from voxveil.audio.recording import cause
from voxveil.errors import ProgramError

_TAIL_BYTES = 8_192
_MOST_LINES, _MOST_CHARACTERS = 3, 300


MOST_OUTPUT_BYTES = 2**26
"""A program that prints more than this is not saying anything; it is filling the disk."""

_POLL_S = 0.02


def run(title: str, command: Sequence[str], folder: Path, scratch: Path, timeout_s: float, stdin: bytes = b"") -> str:
    """Runs ``command`` in ``folder`` without a shell; gives its last words.

    The program reads ``stdin``, has ``scratch`` for its temporary files, and what it says goes to a file there. It
    leads a process group of its own, which is killed as a whole when the program ends, when ``timeout_s`` seconds are
    over, and on any exception such as Ctrl-C (the command line makes one of SIGTERM).

    Args:
        title: How errors call the program.
        command: The program and its arguments; a relative program is looked up in ``folder``.
        folder: Its working directory.
        scratch: A private folder; who calls removes it.
        timeout_s: In seconds.
        stdin: What it reads.

    Raises:
        ProgramError: It cannot be started, takes too long, prints more than 64 MiB, or ends with an error; its last
            words are in the sentence.

    >>> import sys, tempfile
    >>> with tempfile.TemporaryDirectory() as scratch:
    ...     run("The toy", [sys.executable, "-c", "print('hello')"], Path(), Path(scratch), timeout_s=60.0)
    'hello'
    """
    said, given = scratch / "said.txt", scratch / "given.txt"
    # Through files instead of pipes: no thread has to feed them, and a program that reads nothing breaks nothing.
    given.write_bytes(stdin)
    with given.open("rb") as source, said.open("wb") as file:
        try:
            process = subprocess.Popen(
                command,
                cwd=folder,
                env=os.environ | {"TMPDIR": str(scratch)},
                stdin=source,
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        except (OSError, ValueError) as error:
            raise ProgramError(f"{title} cannot be run: {command[0]}, in {folder}: {cause(error)}.") from error
    try:
        code = _end(process, title, timeout_s, said)
    finally:
        _kill(process)
    words = last_words(_tail(said))
    if code:
        how = f"ended with code {code}" if code > 0 else f"was ended by signal {-code}"
        raise ProgramError(f"{title} {how}{_quoted(words)}.")
    return words


def _end(process: subprocess.Popen[bytes], title: str, timeout_s: float, said: Path) -> int:
    deadline = time.monotonic() + timeout_s
    while (code := process.poll()) is None:
        if time.monotonic() > deadline:
            raise ProgramError(f"{title} took longer than {timeout_s:g} s{_quoted(_tail(said))}.")
        if said.stat().st_size > MOST_OUTPUT_BYTES:
            raise ProgramError(f"{title} printed more than {MOST_OUTPUT_BYTES >> 20} MiB{_quoted(_tail(said))}.")
        time.sleep(_POLL_S)
    return code


def last_words(said: str) -> str:
    r"""The end of what a program printed: its last lines that are not empty, in one line of bounded length.

    >>> last_words("Traceback …\n\n  File x\nValueError: no speech\n\n")
    'Traceback …; File x; ValueError: no speech'
    """
    # A progress bar goes back to the start of its line: only what stands there in the end was read by anybody.
    lines = [line.rstrip().rsplit("\r", 1)[-1].strip() for line in said.split("\n")]
    words = "; ".join([line for line in lines if line][-_MOST_LINES:])
    # Escape sequences would reach the reader's terminal.
    return "".join(c if c.isprintable() else " " for c in words)[-_MOST_CHARACTERS:].strip().rstrip(".")


def _quoted(words: str) -> str:
    return f"; its last words: {last_words(words)}" if words else " and said nothing"


def _tail(path: Path) -> str:
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - _TAIL_BYTES))
        return file.read().decode(errors="replace")


def _kill(process: subprocess.Popen[bytes]) -> None:
    # The group outlives its leader for as long as anybody is in it: what the program left running ends here as well.
    # Nobody is left to kill after most good ends; macOS calls that forbidden.
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
