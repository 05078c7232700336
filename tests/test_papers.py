"""The papers' tables as grid files: they read, what is not built is true, and the numbers stand beside ours."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from running import DATA, one_sentence

from voxveil.bench.grid import Grid, read_grid
from voxveil.bench.parts import known, known_settings
from voxveil.bench.rates import paper_beside
from voxveil.bench.report import write_report
from voxveil.bench.run import RESULTS, run
from voxveil.bench.scenario import STATIONS
from voxveil.errors import VoxveilError

PAPERS = sorted((Path(__file__).parents[1] / "benchmarks" / "papers").glob("*.toml"))
KNOWN = {station: known(station) for station in STATIONS}
WITHOUT_NUMBERS = {
    "de-antifake-figure-7",
    "de-antifake-figure-8",
    "speech-enhancement-transfer",
    "speech-enhancement-wer-de-rpr",
    "vsmask-figure-9",
    "vsmask-table-2",
    "vsmask-table-3",
}


@pytest.fixture(scope="module")
def grids() -> dict[str, Grid]:
    return {path.stem: read_grid(path) for path in PAPERS}


def test_every_table_that_was_asked_for_is_there(grids: dict[str, Grid]) -> None:
    wanted = {f"voxstructor-table-{n}" for n in (*range(2, 8), *range(10, 17))}
    wanted |= {f"vsmask-table-{n}" for n in (1, 2, 3)} | {"vsmask-figure-7", "vsmask-figure-9"}
    wanted |= {f"de-antifake-table-{n}" for n in (1, 2, 5, 7)} | {"de-antifake-figure-7", "de-antifake-figure-8"}
    wanted |= {"voicecloak-table-1-libritts", "voicecloak-table-1-vctk", *(f"voicecloak-table-{n}" for n in (2, 3, 4))}
    assert wanted | {"speech-enhancement-transfer", "speech-enhancement-wer-de-rpr"} == set(grids)
    assert {name for name, grid in grids.items() if grid.name != name} == set()
    assert {name for name, grid in grids.items() if grid.paper is None} == WITHOUT_NUMBERS


@pytest.mark.parametrize("name", [path.stem for path in PAPERS])
def test_what_is_not_built_is_said_and_nothing_else(name: str, grids: dict[str, Grid]) -> None:
    grid = grids[name]
    missing = {part.name for station in STATIONS for part in grid.parts[station] if part.name not in KNOWN[station]}
    assert set(grid.not_built) == missing
    assert len(grid.not_built) == len(missing)


def test_built_parts_are_asked_for_what_they_can_be_told(grids: dict[str, Grid]) -> None:
    for grid in grids.values():
        for station in STATIONS:
            for part in grid.parts[station]:
                if part.name not in grid.not_built:
                    assert {key for key, _ in part.settings} <= set(known_settings(station, part.name))


def test_the_numbers_are_percents_of_cells(grids: dict[str, Grid]) -> None:
    papers = {name: grid.paper for name, grid in grids.items() if grid.paper is not None}
    for name, paper in papers.items():
        cells = set(grids[name].words())
        for measure, numbers in paper.numbers.items():
            assert numbers and set(numbers) <= cells
            if measure.endswith("%"):
                assert all(0.0 <= number <= 100.0 for number in numbers.values())
    # Spot checks, read off the papers.
    accepted = papers["voxstructor-table-3"].numbers["accepted %"]
    assert len(accepted) == 17 * 4
    assert accepted[("none", "none", "none", "sv2tts", "XV-COS (criterion far1)")] == 46.492
    assert papers["voxstructor-table-2"].numbers["accepted %"][("none",) * 4 + ("RN-COS",)] == pytest.approx(98.977)
    phonepure = ("antifake (effort thorough)", "none", "phonepure", "sv2tts", "DV-COS")
    assert papers["de-antifake-table-1"].numbers["accepted %"][phonepure] == 74.4
    duta = ("voicecloak (effort thorough)", "none", "none", "duta-vc", "ecapa-voxceleb")
    assert papers["voicecloak-table-4"].numbers["DSR %"][duta] == 73.92


def test_the_same_cell_has_the_same_number_in_two_tables(grids: dict[str, Grid]) -> None:
    """Tables 5, 6 and 7 repeat the first column of table 3; so do 14 to 16 that of 13."""

    def column(table: int, cloner: str) -> list[float]:
        paper = grids[f"voxstructor-table-{table}"].paper
        assert paper is not None
        return [number for parts, number in paper.numbers["accepted %"].items() if parts[3] == cloner]

    first = column(3, "voxstructor")
    assert len(first) == 17
    assert column(5, "voxstructor (loss L1)") == column(6, "voxstructor (network dense)") == first
    assert column(4, "voxstructor (corpus voxceleb)") == column(4, "voxstructor (template enrolled)") == first
    another = column(13, "voxstructor (template another)")
    assert column(4, "voxstructor (template another)") == another
    assert column(14, "voxstructor (loss L1, template another)") == another
    # The paper itself prints 89.209 in table 7 for what is 89.208 in table 3.
    assert column(7, "voxstructor") == pytest.approx(first, abs=0.0011)


HEAD = f'corpus = "{DATA}"\nspeakers = 2\nreferences = 1\ncontents = 1\nclip_s = 2\nnot_built = ["waveguard"]\n'
PARTS = '[parts]\npurification = ["none", "waveguard"]\nverifier = ["XV-COS"]\n'


def test_a_paper_stands_beside_what_was_measured_here(tmp_path: Path) -> None:
    (tmp_path / "g.toml").write_text(
        HEAD + PARTS + '[paper]\nsource = "Somebody & al. 2025, table 1"\n'
        'columns = ["protection", "purification", "accepted %", "NISQA"]\n'
        'rows = [["none", "none", 95.5, 4], ["none", "waveguard", 12, ""]]\n'
    )
    run(read_grid(tmp_path / "g.toml"), None, tmp_path / "run")
    text, latex, page = (path.read_text() for path in write_report(tmp_path / "run", tmp_path / "report"))
    assert "| XV-COS | XV-COS, the paper's accepted % | XV-COS, the paper's NISQA |" in text
    assert "| waveguard | not built | 12 | – |" in text
    assert any(line.endswith("| 95.5 | 4 |") for line in text.splitlines())
    assert "Somebody & al. 2025, table 1" in text and "% The paper's numbers" in latex
    assert r"& 95.5 & 4 \\" in latex and r"\begin{tabular}{lllrrr}" in latex
    assert "<td>95.5</td><td>4</td>" in page and "Somebody &amp; al." in page


def test_a_run_from_before_papers_still_reports(tmp_path: Path) -> None:
    (tmp_path / "g.toml").write_text(HEAD + PARTS)
    run(read_grid(tmp_path / "g.toml"), None, tmp_path / "run")
    assert paper_beside(tmp_path / "run") is None
    with closing(sqlite3.connect(tmp_path / "run" / RESULTS)) as database, database:
        database.execute("""UPDATE run SET grid = json_remove(grid, '$.paper')""")
    assert paper_beside(tmp_path / "run") is None


@pytest.mark.parametrize(
    ("paper", "sentence"),
    [
        ('columns = ["verifier", "x"]\nrows = [["DV-COS", 1]]', "is no cell of its grid"),
        ('columns = ["purification", "x"]\nrows = [["waveguard", 1], ["waveguard", 2]]', "is there twice"),
        ('columns = ["purification", "x"]\nrows = [["waveguard"]]', "is no grid file"),
        ('columns = ["purification", "x"]\nrows = [["waveguard", "many"]]', "is no grid file"),
        ('columns = ["x"]', "is no grid file .*'rows'"),
        ('columns = ["x"]\nrows = []\ncolour = "red"', "is no grid file .*'colour'"),
    ],
)
def test_a_paper_that_does_not_fit_its_grid_is_named(paper: str, sentence: str, tmp_path: Path) -> None:
    (tmp_path / "g.toml").write_text(f'{HEAD}{PARTS}[paper]\nsource = "S"\n{paper}\n')
    with pytest.raises(VoxveilError, match=sentence) as raised:
        read_grid(tmp_path / "g.toml")
    assert one_sentence(f"voxveil: {raised.value}\n")


def test_a_verifier_judges_at_the_threshold_that_a_grid_names(tmp_path: Path) -> None:
    from voxveil import loading
    from voxveil.bench.parts import verifier

    (tmp_path / "g.toml").write_text('[parts]\nverifier = ["XV-COS", { name = "XV-COS", criterion = "far1" }]\n')
    plain, strict = read_grid(tmp_path / "g.toml").parts["verifier"]
    assert verifier(plain, "cpu").threshold == loading.threshold("XV-COS", "eer")
    assert verifier(strict, "cpu").threshold == loading.threshold("XV-COS", "far1")
    assert verifier(strict, "cpu").threshold != verifier(plain, "cpu").threshold
