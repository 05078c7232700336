"""How long `voxveil bench run benchmarks/smoke.toml` takes, and how long when there is nothing left to compute.

Writes docs/results/smoke_speed.{md,json}.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HOME = Path(__file__).parent
AGAIN = 3


def run_s(out: Path) -> tuple[float, int]:
    """Seconds from the command to its end, and how many cells it computed."""
    words = ["-m", "voxveil", "bench", "run", str(HOME / "smoke.toml"), "-o", str(out), "--json"]
    started = time.perf_counter()
    done = subprocess.run([sys.executable, *words], check=True, stdout=subprocess.PIPE)
    return time.perf_counter() - started, json.loads(done.stdout)["computed"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=HOME.parent / "docs" / "results")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        runs = [run_s(Path(folder, "run")) for _ in range(1 + AGAIN)]
    lines = [
        "# The smoke grid",
        "",
        "`voxveil bench run benchmarks/smoke.toml`, from the command to its end, imports included.",
        "",
        "| run | cells computed | s |",
        "|---|---|---|",
        *(f"| {number + 1} | {computed} | {seconds:.1f} |" for number, (seconds, computed) in enumerate(runs)),
        "",
        "Again: `python benchmarks/smoke_speed.py`",
        "",
    ]
    rows = [{"seconds": seconds, "computed": computed} for seconds, computed in runs]
    (options.out / "smoke_speed.json").write_text(json.dumps(rows, indent=1) + "\n")
    (options.out / "smoke_speed.md").write_text("\n".join(lines))


if __name__ == "__main__":
    main()
