"""Runs on Ray: workers, machines, the whole run and the whole cluster are lost, and the table stays the same."""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch
from running import DATA, ENVIRONMENT, command, one_sentence, voxveil
from tiny import tiny_card

from voxveil.bench import cluster
from voxveil.bench.cluster import Cluster
from voxveil.bench.export import rows_of
from voxveil.bench.grid import read_grid
from voxveil.bench.run import RESULTS, run
from voxveil.bench.store import Store
from voxveil.errors import ProgramError

pytestmark = [
    pytest.mark.skipif(find_spec("ray") is None, reason="needs the extra 'cluster'"),
    pytest.mark.skipif(not Path("/proc/self").exists(), reason="finds Ray's processes in /proc"),
    # Ray's own, about itself.
    pytest.mark.filterwarnings(
        "ignore::FutureWarning:ray", "ignore::ResourceWarning", "ignore::DeprecationWarning:ray"
    ),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture(autouse=True)
def _own_clusters_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ray reads these when it is imported; without them it leaves a token in the home folder."""
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    monkeypatch.setenv("RAY_AUTH_TOKEN", secrets.token_hex(32))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    card = tiny_card(tmp_path)
    file = tmp_path / "g.toml"
    file.write_text(
        f'corpus = "{DATA}"\nspeakers = 2\nreferences = 1\ncontents = 1\nclip_s = 2\n[parts]\n'
        f'protection = [{{ name = "veil", against = ["{card}"], effort = "fast", strength = "light" }}]\n'
        f'purification = ["none", "resample"]\ncloner = ["none", "knn-vc"]\nverifier = ["{card}"]\n'
    )
    return file


@pytest.fixture
def machines(_own_clusters_only: None) -> Iterator[Any]:
    """A cluster of two machines with one CPU each, as far as Ray can tell."""
    from ray.cluster_utils import Cluster as Machines

    machines = Machines(True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    machines.add_node(num_cpus=1)
    yield machines
    machines.shutdown()


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """As every worker has: the number of threads decides the last digits."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def _whole(file: Path, place: Path) -> list[dict[str, object]]:
    run(read_grid(file), None, place)
    return rows_of(place)


def _when(done: int, call: Callable[[], object]) -> Callable[[int, int, str], None]:
    calls = [call]

    def on_cell(finished: int, cells: int, words: str) -> None:
        if finished >= done and calls:
            calls.pop()()

    return on_cell


def test_a_machine_and_then_the_cluster_goes_away(
    machines: Any, file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster, "PATIENCE_S", 1.0)
    grid, wanted = read_grid(file), _whole(file, tmp_path / "whole")
    lost = _when(4, lambda: machines.remove_node(machines.worker_nodes.copy().pop(), allow_graceful=False))
    assert run(grid, None, tmp_path / "a", on_cell=lost, execute=Cluster(2, machines.address)).computed == 16
    assert rows_of(tmp_path / "a") == wanted
    gone = _when(3, machines.head_node.kill_gcs_server)
    with pytest.raises(ProgramError, match="went away: all finished cells are kept") as raised:
        run(grid, None, tmp_path / "b", on_cell=gone, execute=Cluster(1, machines.address))
    assert one_sentence(f"voxveil: {raised.value}\n")
    kept = len(Store(tmp_path / "b" / RESULTS).finished())
    assert 3 <= kept < 16
    assert _whole(file, tmp_path / "b") == wanted


def test_workers_and_the_run_are_killed(file: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    environment = ENVIRONMENT | {key: value for key, value in os.environ.items() if key.startswith("RAY_")}
    started = subprocess.Popen(command("bench", "run", file, "-o", out, "--workers", 2), env=environment)
    seen: set[int] = set()
    _wait(lambda: _finished(out) >= 2)
    seen |= _below(started.pid)
    os.kill(next(pid for pid in sorted(seen) if _title(pid).startswith("ray::Hands")), signal.SIGKILL)
    known = _finished(out)
    _wait(lambda: _finished(out) > known)
    seen |= _below(started.pid)
    started.kill()
    started.wait()
    _wait(lambda: not any(_title(pid) for pid in seen))  # nobody is left behind
    assert 3 <= _finished(out) < 16
    assert _whole(file, out) == _whole(file, tmp_path / "whole")


def test_a_cluster_that_is_not_there(file: Path, tmp_path: Path) -> None:
    ended = voxveil("bench", "run", file, "-o", tmp_path / "r", "--workers", 1, "--address", "127.0.0.1:1")
    assert ended.code == 7 and one_sentence(ended.err) and "No Ray cluster answers at 127.0.0.1:1" in ended.err


def _wait(there: Callable[[], bool]) -> None:
    until = time.monotonic() + 120
    while not there():
        assert time.monotonic() < until
        time.sleep(0.02)


def _finished(out: Path) -> int:
    return len(Store(out / RESULTS).finished()) if (out / RESULTS).exists() else 0


def _title(pid: int) -> str:
    """The words of a running process; empty for one that ended."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    except OSError:
        return ""


def _below(pid: int) -> set[int]:
    """All processes that ``pid`` started, and those started."""
    try:
        children = {int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()}
    except OSError:
        return set()
    return children.union(*map(_below, children))
