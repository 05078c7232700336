"""Programs of others are run, bounded and cleaned up after, and what they leave is speech or an error that says why."""

from __future__ import annotations

import _thread
import os
import re
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
import torch
from torch import Tensor

from voxveil.cards.record import record
from voxveil.clone import program
from voxveil.clone.description import Description, description, names, parse_description
from voxveil.clone.exchange import PAUSE_S
from voxveil.clone.external import ExternalCloner
from voxveil.errors import BadInputError, ProgramError

RATE = 16_000
DOCS = Path(__file__).parents[1] / "docs" / "other-cloners.md"
STARTED = """
import os, pathlib, signal, subprocess, sys, time
def note(name):
    part = pathlib.Path(name + ".part")
    part.write_text(str(os.getpid()))
    part.rename(name)
"""


@pytest.fixture(autouse=True)
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder for temporary files that has to be empty in the end."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    return folder


@pytest.fixture
def cloner(tmp_path: Path) -> Callable[..., ExternalCloner]:
    """Makes a cloner of a program's text; its arguments are reference, content, output, output folder, seed."""

    def make(text: str, **changes: object) -> ExternalCloner:
        checkout = tmp_path / "checkout"
        checkout.mkdir(exist_ok=True)
        (checkout / "clone.py").write_text(text)
        command = ("{python}", "-S", "clone.py", "{reference}", "{content}", "{output}", "{output_folder}", "{seed}")
        toy = Description("toy", "The toy", "Nobody", "CC0", "nowhere", "speech", RATE, command, timeout_s=30.0)
        return ExternalCloner(replace(toy, **changes), checkout)

    return make


@pytest.fixture
def clip(speech: Tensor) -> Tensor:
    return speech[0, : RATE // 2]


COPY = "import shutil, sys\nshutil.copy(sys.argv[2], sys.argv[3])\n"


def quantised(clip: Tensor) -> Tensor:
    return (clip * 32768).round() / 32768


def alive(pid: int) -> bool:
    """Whether the process runs; one that is dead and not yet collected by its adopter does not."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"


def dies(pid: int) -> bool:
    until = time.monotonic() + 2.0
    while alive(pid) and time.monotonic() < until:
        time.sleep(0.01)
    return not alive(pid)


def test_reference_and_content_go_over_and_the_clone_comes_back(cloner, clip, speech, scratch):
    told: list[float] = []
    both = cloner("import shutil, sys\nshutil.copy(sys.argv[1], sys.argv[3])\n")
    first, second = both([clip, clip[:1000]], [clip, speech[1]], progress=told.append)
    pause = torch.zeros(round(PAUSE_S * RATE))
    assert torch.equal(first, quantised(torch.cat([clip, pause, clip[:1000]])))
    assert torch.equal(second, first)
    assert told == [0.5, 1.0]
    assert torch.equal(cloner(COPY)([speech[1]], [clip])[0], quantised(clip))
    assert not list(scratch.iterdir())


def test_words_and_seed_go_over_as_they_are(cloner, clip, tmp_path):
    """No shell reads them, and placeholders in the words are words."""
    text = "--say \"$HOME\"; {seed} * 'x' > y"
    program_text = (
        "import pathlib, shutil, sys\npathlib.Path('said').write_text('|'.join(sys.argv[3:]))\n"
        + COPY.replace("argv[2]", "argv[1]").replace("argv[3]", "argv[2]")
    )
    command = ("{python}", "-S", "clone.py", "{reference}", "{output}", "--text={text}", "s={seed}")
    cloner(program_text, takes="text", command=command)([clip], [text], seed=7)
    assert (tmp_path / "checkout" / "said").read_text() == f"--text={text}|s=7"


def test_a_program_may_choose_the_name(cloner, clip):
    named = "import shutil, sys\nshutil.copy(sys.argv[2], sys.argv[4] + '/vc_1.wav')\nopen(sys.argv[4] + '/log', 'w')\n"
    assert torch.equal(cloner(named, output="vc_*.wav")([clip], [clip])[0], quantised(clip))
    with pytest.raises(ProgramError, match=r"The toy left 2 files \* where one was expected"):
        cloner(named, output="*")([clip], [clip])


@pytest.mark.parametrize("rate", [8_000, 22_050, 48_000])
def test_other_rates_and_channels_are_converted(cloner, tmp_path, clip, rate):
    time_s = np.arange(rate) / rate
    tone = 0.4 * np.sin(2 * np.pi * 440 * time_s)
    sf.write(tmp_path / "other.wav", np.stack([tone, 0.5 * tone], 1), rate, subtype="FLOAT")
    given = cloner(f"import shutil, sys\nshutil.copy({str(tmp_path / 'other.wav')!r}, sys.argv[3])\n")([clip], [clip])[
        0
    ]
    expected = 0.75 * 0.4 * torch.sin(2 * torch.pi * 440 * torch.arange(RATE) / RATE)
    assert given.shape == (RATE,) and given.dtype == torch.float32
    middle = slice(RATE // 10, -RATE // 10)
    assert (given - expected)[middle].abs().max() < 1e-3


def wav(*samples: float) -> str:
    """A program that writes these samples as a float WAV file by hand."""
    data = f"struct.pack('<{len(samples)}f', *map(float, {[str(s) for s in samples]}))"
    return (
        f"import struct, sys\ndata = {data}\n"
        "head = struct.pack('<4sI4s4sIHHIIHH4sI', b'RIFF', 36 + len(data), b'WAVE', b'fmt ', 16, 3, 1, 16000, 64000, 4,"
        " 32, b'data', len(data))\nopen(sys.argv[3], 'wb').write(head + data)\n"
    )


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("print('Done!')", "The toy left no output; its last words: Done!."),
        ("import sys; open(sys.argv[3], 'w')", "The toy failed: its output is empty."),
        ("import sys; open(sys.argv[3], 'w').write('no sound at all')", "The toy failed: its output "),
        (wav(0.1, float("nan"), 0.1), "The toy failed: its output "),
        (wav(*[0.0] * 100), "The toy gave silence."),
        (wav(*[0.5] * 100), "The toy gave silence."),
        ("raise ValueError('no\\x1b[31m speech')", "; ValueError: no [31m speech."),
        ("import os; os.kill(os.getpid(), 9)", "The toy was ended by signal 9 and said nothing."),
        (
            "import sys; sys.stderr.write('10%\\r90%\\r100%\\n\\n'); sys.exit(3)",
            "The toy ended with code 3; its last words: 100%.",
        ),
    ],
)
def test_whatever_is_no_clone_is_an_error_that_says_why(cloner, clip, scratch, text, sentence):
    with pytest.raises(ProgramError, match=re.escape(sentence)) as raised:
        cloner(text)([clip], [clip])
    said = str(raised.value)
    assert raised.value.exit_code == 7
    assert said.endswith(".") and len(said) < 400 and said.isprintable() and str(scratch) not in said
    assert not list(scratch.iterdir())


def test_a_program_may_print_without_bound(cloner, clip):
    """50 MB: only the end is read."""
    flood = "import sys\nfor _ in range(50): sys.stdout.write('x' * 1_000_000)\nprint('\\nenough')\n"
    read = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(program, "last_words", lambda said: read.append(len(said)) or said.strip().rpartition("\n")[2])
        assert torch.equal(cloner(flood + COPY)([clip], [clip])[0], quantised(clip))
        with pytest.raises(ProgramError, match="enough"):
            cloner(flood + "sys.exit(1)")([clip], [clip])
    assert max(read) < 10_000


GRANDCHILD = (
    "import signal, time\n"
    "signal.signal(signal.SIGTERM, signal.SIG_IGN)\nsignal.signal(signal.SIGHUP, signal.SIG_IGN)\n"
    f"{STARTED}note('grandchild')\ntime.sleep(60)"
)
FAMILY = STARTED + (
    "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
    f"subprocess.Popen([sys.executable, '-S', '-c', {GRANDCHILD!r}])\n"
    "note('child')\nwhile not os.path.exists('grandchild'): time.sleep(0.01)\n"
)


def family(checkout: Path) -> list[int]:
    return [int((checkout / name).read_text()) for name in ("child", "grandchild")]


@pytest.mark.parametrize("end", ["hangs", "ends", "fails"])
def test_no_process_outlives_the_call(cloner, clip, scratch, end):
    rest = {"hangs": "time.sleep(60)", "ends": COPY, "fails": "sys.exit(1)"}[end]
    stubborn = cloner(FAMILY + rest, timeout_s=5.0 if end == "hangs" else 30.0)
    before = time.monotonic()
    if end == "ends":
        assert len(stubborn([clip], [clip])) == 1
    else:
        with pytest.raises(ProgramError, match="took longer than 5 s" if end == "hangs" else "ended with code 1"):
            stubborn([clip], [clip])
    assert time.monotonic() - before < 20.0
    assert all(dies(pid) for pid in family(stubborn.checkout))
    assert not list(scratch.iterdir())


def test_an_interrupt_stops_the_program(cloner, clip, scratch):
    stubborn = cloner(FAMILY + "time.sleep(60)")

    def interrupt() -> None:
        while not (stubborn.checkout / "grandchild").exists():
            time.sleep(0.01)
        _thread.interrupt_main()

    threading.Thread(target=interrupt, daemon=True).start()
    with pytest.raises(KeyboardInterrupt):
        stubborn([clip], [clip])
    assert all(dies(pid) for pid in family(stubborn.checkout))
    assert not list(scratch.iterdir())


def test_its_temporary_files_are_removed_with_it(cloner, clip, scratch):
    leaves = "import tempfile\nprint(tempfile.mkstemp()[1])\nraise SystemExit(1)\n"
    with pytest.raises(ProgramError, match=re.escape(str(scratch))):
        cloner(leaves)([clip], [clip])
    assert not list(scratch.iterdir())


def test_a_program_that_is_not_there_is_named(cloner, clip, tmp_path, scratch):
    nothing = cloner("")
    for command in (("no-such-program", "x"), ("./clone.py",), ("{python}", "nul\0")):
        with pytest.raises(ProgramError, match="The toy cannot be run") as raised:
            replace(nothing, description=replace(nothing.description, command=command))([clip], [clip])
        assert command[0] in str(raised.value) or sys.executable in str(raised.value)
    with pytest.raises(ProgramError, match="no/such/folder is none"):
        replace(nothing, checkout=Path("no/such/folder"))
    assert not list(scratch.iterdir())


def test_what_it_does_not_take_is_not_sent(cloner, clip):
    untouched = cloner("raise SystemExit(1)")
    silence = torch.zeros(100)
    for reference, content in ([[clip], "text"], [[], clip], [[silence], clip], [[clip], silence]):
        with pytest.raises(BadInputError, match="The toy"):
            untouched(reference, [content])
    assert untouched([clip], []) == []


def toml(tmp_path: Path, **changes: str) -> Path:
    lines = {
        "name": '"mine"',
        "title": '"Mine"',
        "paper": '"P"',
        "licence": '"L"',
        "source": '"S"',
        "takes": '"speech"',
        "sample_rate": "16000",
        "command": '["{python}", "{here}/x.py", "{reference}", "{content}", "{output}"]',
    } | changes
    path = tmp_path / "mine.toml"
    path.write_text("".join(f"{key} = {value}\n" for key, value in lines.items() if value))
    return path


def test_a_description_of_ones_own(tmp_path):
    mine = description(str(toml(tmp_path)))
    assert mine.command[1] == f"{tmp_path}/x.py"
    assert mine.arguments({"reference": "{content}", "content": "c"})[2:] == ["{content}", "c", "{output}"]


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"sample_rate": '"fast"'}, "sample_rate: 'fast' is not a whole number"),
        ({"sample_rate": "100"}, "sample_rate: not between"),
        ({"takes": '"music"'}, "takes: 'music' is not speech or text"),
        ({"takes": '"text"'}, r"command: nothing is said with \{text\}"),
        ({"timeout_s": "0"}, "timeout_s: not a positive"),
        ({"timeout_s": "inf"}, "timeout_s: not a positive"),
        ({"timeout_s": "nan"}, "timeout_s: not a positive"),
        ({"output": '"../*.wav"'}, "output: not a pattern"),
        ({"output": '"/tmp/*.wav"'}, "output: not a pattern"),
        ({"output": '""'}, "output: not a pattern"),
        ({"command": "[]"}, "command: names no program"),
        ({"command": '["x", "{voice}"]'}, r"command: unknown placeholder \{voice\}"),
        ({"command": '["x", "{reference}", "{output}"]'}, r"command: nothing is said with \{content\}"),
        ({"command": '["x", "{reference}", "{content}"]'}, "command: neither"),
        ({"name": '"other"'}, "name is 'other'"),
        ({"licence": ""}, "missing licence"),
        ({"shell": "true"}, "unknown shell"),
        ({"title": "]"}, "Invalid value"),
    ],
)
def test_a_malformed_description_is_named_with_its_field(tmp_path, changes, complaint):
    path = toml(tmp_path, **changes)
    with pytest.raises(BadInputError, match=complaint) as raised:
        description(str(path))
    assert str(path) in str(raised.value)


def test_a_description_that_cannot_be_read(tmp_path):
    with pytest.raises(BadInputError, match=r"cannot be read \(No such file"):
        description(str(tmp_path / "none.toml"))
    (tmp_path / "bytes.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(BadInputError, match=r"bytes\.toml does not describe a cloner"):
        description(str(tmp_path / "bytes.toml"))


def test_a_record_is_read_by_its_types():
    with pytest.raises(ValueError, match="it: not a table"):
        record(Description, [], "it")


@pytest.mark.parametrize("name", names())
def test_the_ready_descriptions(name):
    ready = description(name)
    commit = ready.source.rpartition(" ")[2]
    assert re.fullmatch("[0-9a-f]{8}", commit) and commit in DOCS.read_text()
    scripts = [argument for argument in ready.command if argument.startswith(os.sep)]
    assert all(Path(script).is_file() for script in scripts)


def test_the_example_in_the_documentation(cloner, clip):
    example = re.search("```toml\n(.*?)```", DOCS.read_text(), re.DOTALL)
    assert example is not None
    mine = parse_description(example[1], "my-cloner")
    checkout = cloner("").checkout
    speaks = "import shutil, sys\nshutil.copy(sys.argv[2], sys.argv[5] + '/speech_1.wav')\n"
    (checkout / "synthesise.py").write_text(speaks)
    assert torch.equal(ExternalCloner(mine, checkout)([clip], ["- Hello."])[0], quantised(clip))
