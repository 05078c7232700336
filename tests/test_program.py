"""Programs beside ours: what they say is passed on, and none outlives the call."""

from __future__ import annotations

import signal
import sys
import time
from pathlib import Path

import pytest

from voxveil.clone import program
from voxveil.clone.program import run
from voxveil.errors import ProgramError

# A child in the background writes on until somebody ends it.
CHILD = "(while :; do echo alive >> beats; sleep 0.02; done) & while [ ! -s beats ]; do sleep 0.01; done; "


def shell(script: str, folder: Path, timeout_s: float = 60.0, stdin: bytes = b"") -> str:
    return run("sh", ["sh", "-c", script], folder, folder, timeout_s, stdin)


def still(folder: Path) -> bool:
    """Whether nobody writes any more. Killed processes may finish the write that they are in."""
    time.sleep(0.1)
    before = (folder / "beats").stat().st_size
    time.sleep(0.4)
    return before > 0 and (folder / "beats").stat().st_size == before


def test_it_gets_its_arguments_folder_and_input_as_they_are(tmp_path):
    words = ["two words", "$HOME", "-x", "*", "`id`", ""]
    code = "import sys, pathlib; pathlib.Path('got').write_text(repr(sys.argv[1:]) + sys.stdin.read())"
    run("It", [sys.executable, "-c", code, *words], tmp_path, tmp_path, 60.0, b"from us")
    assert (tmp_path / "got").read_text() == repr(words) + "from us"


def test_it_need_not_read_what_it_is_given(tmp_path):
    assert shell("echo done", tmp_path, stdin=bytes(2**21)) == "done"


def test_much_input_arrives(tmp_path):
    shell("cat > got", tmp_path, stdin=b"x" * 2**21)
    assert (tmp_path / "got").stat().st_size == 2**21


def test_without_input_it_finds_an_end_and_no_terminal(tmp_path):
    shell("cat > got; ! [ -t 0 ]", tmp_path)
    assert (tmp_path / "got").read_bytes() == b""


@pytest.mark.parametrize(
    ("script", "sentence"),
    [
        (
            "echo first; echo Second. Third. >&2; echo; exit 4",
            "ended with code 4; its last words: first; Second. Third.",
        ),
        ("exit 5", "ended with code 5 and said nothing."),
        ("kill -9 $$", "was ended by signal 9 and said nothing."),
        (
            r"printf 'a\033]0;evil\007b\rc\377'; exit 1",
            "ended with code 1; its last words: c\N{REPLACEMENT CHARACTER}.",
        ),
        (r"printf 'x\033[2Jy'; exit 1", "ended with code 1; its last words: x [2Jy."),
    ],
)
def test_failures_carry_the_last_words(tmp_path, script, sentence):
    with pytest.raises(ProgramError) as caught:
        shell(script, tmp_path)
    assert str(caught.value) == f"sh {sentence}"


def test_of_many_words_the_last_are_kept(tmp_path):
    with pytest.raises(ProgramError) as caught:
        shell("yes word | head -c 1000000; yes x | head -c 1000 | tr -d '\\n'; echo end; exit 1", tmp_path)
    assert str(caught.value).endswith("xxxend.")
    assert 300 < len(str(caught.value)) < 400


def test_a_program_that_prints_without_end_is_ended(tmp_path, monkeypatch):
    monkeypatch.setattr(program, "MOST_OUTPUT_BYTES", 2**20)
    with pytest.raises(ProgramError, match=r"^yes printed more than 1 MiB; its last words: y"):
        run("yes", ["yes"], tmp_path, tmp_path, 60.0)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["no-such-program"], "no such file or directory."),
        (["/etc/passwd"], "permission denied."),
        (["sh", "-c", "nul\0l"], "embedded null byte."),
    ],
)
def test_what_cannot_be_run_is_named(tmp_path, arguments, sentence):
    with pytest.raises(ProgramError) as caught:
        run("It", arguments, tmp_path, tmp_path, 60.0)
    assert str(caught.value) == f"It cannot be run: {arguments[0]}, in {tmp_path}: {sentence}"


def test_a_folder_that_is_missing_is_named(tmp_path):
    with pytest.raises(ProgramError, match=r"^sh cannot be run: sh, in .*missing: no such file or directory\.$"):
        run("sh", ["sh", "-c", "exit 0"], tmp_path / "missing", tmp_path, 60.0)


def test_it_is_ended_with_its_children_when_it_takes_too_long(tmp_path):
    start = time.monotonic()
    with pytest.raises(ProgramError, match=r"^sh took longer than 0\.5 s and said nothing\.$"):
        shell(CHILD + "trap '' TERM; sleep 600", tmp_path, timeout_s=0.5)
    assert time.monotonic() - start < 30.0
    assert still(tmp_path)


@pytest.mark.parametrize("code", [0, 3])
def test_what_it_leaves_in_the_background_is_ended(tmp_path, code):
    if code:
        with pytest.raises(ProgramError, match="code 3"):
            shell(CHILD + "exit 3", tmp_path)
    else:
        shell(CHILD + "exit 0", tmp_path)
    assert still(tmp_path)


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, RuntimeError])
def test_an_interruption_ends_it_with_its_children(tmp_path, error):
    def interrupt(*_: object) -> None:
        raise error

    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        with pytest.raises(error):
            shell(CHILD + "sleep 0.3; kill -ALRM $PPID; sleep 600", tmp_path)
    finally:
        signal.signal(signal.SIGALRM, before)
    assert still(tmp_path)
