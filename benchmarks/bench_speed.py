"""What `voxveil bench run` costs beyond its stations, what two workers bring, and whether kills change the table.

Grids with the synthetic voices of the tests. A larger one runs in process (the runner's own time), on one worker and on
two (cells a minute). A smaller one runs on two workers of which some are killed at random moments, and with the whole
run killed at random moments and started again until it ends. All tables are compared with those made in process, to the
last digit. Writes docs/results/bench_speed.{md,json} after every
part. Needs the extra 'cluster', and a machine with two cores to itself: how much of them it got stands in the table.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

# One thread, as every worker has.
os.environ["OMP_NUM_THREADS"] = "1"

from voxveil.bench.cluster import Cluster
from voxveil.bench.export import rows_of
from voxveil.bench.grid import read_grid
from voxveil.bench.run import run

HOME = Path(__file__).parent
GRID = """
name = "speed"
corpus = "{corpus}"
speakers = 2
references = {references}
contents = {contents}
clip_s = {clip_s}
[parts]
protection = [
  {{ name = "veil", strength = "light", effort = "fast", against = ["ge2e"] }},
  {{ name = "veil", effort = "fast", against = ["ge2e"] }},
]
purification = ["none", "equalise-back", "resample"]
cloner = ["none", "knn-vc"]
verifier = ["DV-COS", "ECAPA-COS"]
"""
LARGER = {"references": 1, "contents": 6, "clip_s": 6}
SMALLER = {"references": 1, "contents": 1, "clip_s": 4}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=HOME.parent / "docs" / "results")
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    draw = random.Random(options.seed)
    with tempfile.TemporaryDirectory() as folder:
        larger, smaller = (grid_file(Path(folder, f"{n}.toml"), size) for n, size in enumerate((LARGER, SMALLER)))
        figures: dict[str, Any] = {}

        def killed(kill: Callable[..., dict[str, Any]], place: str) -> dict[str, Any]:
            return kill(smaller, Path(folder, place), options.kills, draw, figures["small_two_workers"]["seconds"])

        for name, part in (
            ("in_process", lambda: timed(larger, Path(folder, "0"), 0)),
            ("one_worker", lambda: timed(larger, Path(folder, "1"), 1)),
            ("two_workers", lambda: timed(larger, Path(folder, "2"), 2)),
            ("small_in_process", lambda: timed(smaller, Path(folder, "3"), 0)),
            ("small_two_workers", lambda: timed(smaller, Path(folder, "4"), 2)),
            ("killed_run", lambda: killed(killed_run, "5")),
            ("killed_workers", lambda: killed(killed_workers, "6")),
        ):
            shares = cores_to_ourselves()
            figures[name] = part() | {"cores_percent": shares}
            print(name, {key: value for key, value in figures[name].items() if key != "rows"}, flush=True)
            write(options.out, figures)


def grid_file(path: Path, size: dict[str, int]) -> Path:
    path.write_text(GRID.format(corpus=HOME.parent / "tests" / "data", **size))
    return path


def cores_to_ourselves() -> list[float]:
    """How much of a core each of two busy processes gets, in percent."""
    with ProcessPoolExecutor(2) as both:
        return sorted(both.map(spin, range(2)))


def spin(_: int) -> float:
    began, own = time.perf_counter(), time.process_time()
    while time.perf_counter() - began < 3.0:
        pass
    return round(100 * (time.process_time() - own) / (time.perf_counter() - began))


def timed(file: Path, out: Path, workers: int) -> dict[str, Any]:
    """One run, by itself; ``working_s`` leaves out how long Ray and its workers take to start."""
    said: list[tuple[float, str]] = []
    how = {"execute": Cluster(workers)} if workers else {}
    ran = run(read_grid(file), None, out, on_cell=lambda *now: said.append((time.perf_counter(), now[2])), **how)
    ended = time.perf_counter()
    working = next(when for when, words in said if words != "starting workers")
    numbers = {"cells": ran.cells, "seconds": ran.seconds, "stations_s": ran.stations_s, "working_s": ended - working}
    return numbers | {"rows": rows_of(out)}


def started(file: Path, out: Path) -> subprocess.Popen[bytes]:
    words = ["-m", "voxveil", "bench", "run", str(file), "-o", str(out), "--workers", "2"]
    return subprocess.Popen([sys.executable, *words], stdout=subprocess.DEVNULL)


def killed_workers(file: Path, out: Path, kills: int, draw: random.Random, run_s: float) -> dict[str, Any]:
    """One run after the other, till so many workers were killed; the last runs to its end. All tables are compared."""
    done, ends = 0, []
    while done < kills:
        place = out.with_name(f"{out.name}-{len(ends)}")
        process = started(file, place)
        while process.poll() is None:
            wait(process, draw.uniform(0.0, run_s / 2))
            workers = list(hands(process.pid))
            if workers and done < kills and process.poll() is None:
                os.kill(draw.choice(workers), signal.SIGKILL)
                done += 1
        ends.append(table_of(process, place))
    return {"kills": done, "runs": len(ends), "rows": one(ends)}


def killed_run(file: Path, out: Path, kills: int, draw: random.Random, run_s: float) -> dict[str, Any]:
    """A run, killed and started again; where it ended before it was killed so often, another. All are compared."""
    done, ends = 0, []
    while True:
        place = out.with_name(f"{out.name}-{len(ends)}")
        process = started(file, place)
        if done < kills:
            wait(process, draw.uniform(0.0, run_s))
            if process.poll() is None:
                process.kill()
                process.wait()
                done += 1
                continue
        ends.append(table_of(process, place))
        if done == kills:
            return {"kills": done, "runs": len(ends), "rows": one(ends)}


def table_of(process: subprocess.Popen[bytes], place: Path) -> list[dict[str, Any]]:
    if process.wait():
        raise SystemExit(f"A run ended with {process.returncode}.")
    return rows_of(place)


def one(tables: list[list[dict[str, Any]]]) -> list[dict[str, Any]]:
    """The table that all are; none if they differ."""
    return tables[0] if all(table == tables[0] for table in tables) else []


def wait(process: subprocess.Popen[bytes], seconds: float) -> None:
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        return


def hands(pid: int) -> Iterator[int]:
    """The workers among all processes below ``pid``."""
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        if Path(f"/proc/{pid}/cmdline").read_bytes().startswith(b"ray::Hands"):
            yield pid
    except OSError:
        return
    for child in children:
        yield from hands(int(child))


TITLES = {"in_process": "in process", "one_worker": "one worker", "two_workers": "two workers"}


def write(out: Path, figures: dict[str, Any]) -> None:
    out.mkdir(parents=True, exist_ok=True)
    shown = {}
    for name, part in figures.items():
        wanted = figures["in_process" if name in TITLES else "small_in_process"]["rows"]
        numbers = {key: value for key, value in part.items() if key != "rows"}
        shown[name] = numbers | {"same_table": part["rows"] == wanted}
    (out / "bench_speed.json").write_text(json.dumps(shown, indent=1) + "\n")
    (out / "bench_speed.md").write_text(table(shown))


def table(shown: dict[str, Any]) -> str:
    lines = [
        "# The runner of the benchmark",
        "",
        f"{shown['in_process']['cells']} cells on the synthetic voices of the tests, one thread each. The last "
        "column is how much of a core each of two busy processes got just before.",
        "",
        "| run | s in all | s of it after the start of Ray | cells a minute then | same table | cores (%) |",
        "|---|---|---|---|---|---|",
    ]
    for name, title in TITLES.items():
        if (part := shown.get(name)) is not None:
            pace = 60 * part["cells"] / part["working_s"]
            lines.append(
                f"| {title} | {part['seconds']:.1f} | {part['working_s']:.1f} | {pace:.0f} "
                f"| {yes(part['same_table'])} | {cores(part)} |"
            )
    alone = shown["in_process"]
    lines += ["", f"Beyond its stations the runner took {100 * (alone['seconds'] / alone['stations_s'] - 1):.1f} %."]
    if "two_workers" in shown:
        one, two = shown["one_worker"], shown["two_workers"]
        lines.append(
            f"Two workers did {one['working_s'] / two['working_s']:.2f} times the cells a minute of one; with the "
            f"start of Ray counted, {one['seconds'] / two['seconds']:.2f} times."
        )
    for name, what in (("killed_run", "The whole run"), ("killed_workers", "A worker")):
        if (part := shown.get(name)) is not None:
            lines += [
                "",
                f"{what} was killed (`kill -9`) {part['kills']} times at random moments, over {part['runs']} runs on "
                f"two workers, each of {shown['small_in_process']['cells']} cells in about "
                f"{shown['small_two_workers']['seconds']:.0f} s; the table at the end is the same: "
                f"{yes(part['same_table'])}. Cores (%): {cores(part)}.",
            ]
    return "\n".join([*lines, "", "Again: `python benchmarks/bench_speed.py`", ""])


def yes(same: bool) -> str:
    return "yes" if same else "**no**"


def cores(part: dict[str, Any]) -> str:
    return " and ".join(f"{share:.0f}" for share in part["cores_percent"])


if __name__ == "__main__":
    main()
