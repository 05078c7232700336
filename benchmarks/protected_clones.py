"""Clones of protected speech: does a verifier take them for the speaker? Cloners are always unknown to ``veil``.

Runs the grid protected_clones.toml: every shipped cloner, five protected reference utterances each, beside clones of
clean speech, of noise of equal PESQ, and of somebody else. Stopped, it goes on where it was. Writes
docs/results/protected_clones.md.
"""

from __future__ import annotations

from pathlib import Path

from speakers import corpus_argument

from voxveil.bench.doubts import doubts
from voxveil.bench.export import rows_of
from voxveil.bench.grid import read_grid
from voxveil.bench.rates import not_computed, rates_of
from voxveil.bench.run import run
from voxveil.bench.tables import markdown
from voxveil.cli.progress import bar


def main() -> None:
    parser = corpus_argument(__doc__)
    parser.add_argument("--run", type=Path, default=Path("protected-clones.run"), help="folder of the run")
    options = parser.parse_args()
    grid = read_grid(Path(__file__).with_suffix(".toml"))
    with bar(grid.name) as progress:
        run(grid, options.corpus, options.run, on_cell=lambda done, cells, said: progress(done / cells, said))
    rates = rates_of(options.run)
    speakers = len({row["speaker"] for row in rows_of(options.run)})
    table = markdown("Clones of protected speech", rates, not_computed(options.run), doubts(rates, speakers))
    again = "Again: `python benchmarks/protected_clones.py --corpus LIBRISPEECH/test-other`"
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "protected_clones.md").write_text(f"{table}\n{again}\n")


if __name__ == "__main__":
    main()
