"""The rates of a run as tables: Markdown for people, LaTeX for papers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from voxveil.bench.paper import Paper, Words
from voxveil.bench.rates import Rate
from voxveil.bench.scenario import NONE

Missing = Sequence[tuple[tuple[str, ...], str]]
"""(parts in words, why there is no number)."""
Cell = Callable[[Rate], str]
Column = tuple[str, str, Mapping[Words, str] | None]
"""(heading, verifier, what stands there by cell); None: the rates themselves."""

HEAD = "accepted in percent [95 % interval over speakers]"


def grid_of(
    rates: Sequence[Rate], missing: Missing, cell: Cell, paper: Paper | None = None
) -> tuple[list[str], list[list[str]]]:
    """(headings, rows): a row a protection and what stands between it and the verifier, a column a verifier.

    What a paper measured with the same verifier stands in columns beside it, and so does the defence success rate
    where it is known; predicted opinions stand before the verifiers.

    >>> rate = Rate(("veil", "none", "none", "knn-vc", "DV-COS"), 20.0, 10.0, 30.0, 0.5, 0.7, 10, 4.0)
    >>> grid_of([rate], [], plain)
    (['protection', 'PESQ', 'attack', 'DV-COS'], [['veil', '4.00', 'knn-vc', '20 [10, 30]']])
    """
    found = {rate.parts: cell(rate) for rate in rates}
    found |= dict(missing)
    opinions = {rate.parts[:-1]: rate.opinions for rate in rates}
    asked = list(dict.fromkeys(name for said in opinions.values() for name in said))
    costs = {rate["protection"]: rate.pesq_wb for rate in rates}
    verifiers = list(dict.fromkeys(parts[-1] for parts in found))
    columns = [column for verifier in verifiers for column in _columns(verifier, rates, paper)]
    rows = []
    for chain in dict.fromkeys(parts[:-1] for parts in found):
        cost = costs.get(chain[0])
        attack = " → ".join(part for part in chain[1:] if part != NONE) or "–"
        judged = [(reported or found).get((*chain, verifier), "–") for _, verifier, reported in columns]
        heard = [f"{opinions[chain][name]:.2f}" if chain in opinions else "–" for name in asked]
        rows.append([chain[0], "–" if cost is None else f"{cost:.2f}", attack, *heard, *judged])
    headings = [*map(str.upper, asked), *(heading for heading, _, _ in columns)]
    return ["protection", "PESQ", "attack", *headings], rows


def _columns(verifier: str, rates: Sequence[Rate], paper: Paper | None) -> list[Column]:
    columns: list[Column] = [(verifier, verifier, None)]
    defended = {
        rate.parts: f"{rate.defended_percent:.0f}"
        for rate in rates
        if rate["verifier"] == verifier and rate.defended_percent is not None
    }
    if defended:
        columns.append((f"{verifier}, DSR %", verifier, defended))
    for measure, numbers in {} if paper is None else paper.numbers.items():
        of_verifier = {parts: f"{number:.6g}" for parts, number in numbers.items() if parts[-1] == verifier}
        if of_verifier:
            columns.append((f"{verifier}, the paper's {measure}", verifier, of_verifier))
    return columns


def plain(rate: Rate) -> str:
    """A rate and its interval."""
    return f"{rate.accepted_percent:.0f} [{rate.low_percent:.0f}, {rate.high_percent:.0f}]"


def beside(paper: Paper | None) -> list[str]:
    """The sentence that says whose numbers stand beside ours; none without a paper.

    >>> beside(Paper("Somebody 2025, table 1", {"accepted %": {}}))
    ["The paper's numbers are those of Somebody 2025, table 1: other speech, other weights."]
    """
    return [] if paper is None else [f"The paper's numbers are those of {paper.source}: other speech, other weights."]


def markdown(
    name: str, rates: Sequence[Rate], missing: Missing, doubts: Sequence[str], paper: Paper | None = None
) -> str:
    """The whole report in Markdown.

    >>> print(markdown("mine", [], [], ["Nothing was computed."]))
    # mine
    <BLANKLINE>
    Clones and recordings that each verifier takes for the speaker: accepted in percent [95 % interval over speakers].
    <BLANKLINE>
    - Nothing was computed.
    <BLANKLINE>
    | protection | PESQ | attack |
    |---|---|---|
    <BLANKLINE>
    """
    headings, rows = grid_of(rates, missing, plain, paper)
    said = [*doubts, *beside(paper)]
    lines = [f"# {name}", "", f"Clones and recordings that each verifier takes for the speaker: {HEAD}.", ""]
    lines += [*(f"- {sentence}" for sentence in said), *([""] if said else [])]
    lines += ["| " + " | ".join(headings) + " |", "|" + "---|" * len(headings)]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows), ""])


def latex(name: str, rates: Sequence[Rate], missing: Missing, paper: Paper | None = None) -> str:
    r"""The table in LaTeX (booktabs).

    >>> print(latex("a_b", [], []).splitlines()[1])
    \begin{tabular}{lll}
    """
    headings, rows = grid_of(rates, missing, _in_latex, paper)
    lines = [
        f"% {name}: {HEAD}; needs booktabs",
        *(f"% {sentence}" for sentence in beside(paper)),
        rf"\begin{{tabular}}{{lll{'r' * (len(headings) - 3)}}}",
        r"\toprule",
        " & ".join(map(_escaped, headings)) + r" \\",
        r"\midrule",
        *(" & ".join([*map(_escaped, row[:3]), *row[3:]]) + r" \\" for row in rows),
        r"\bottomrule",
        r"\end{tabular}",
    ]
    return "\n".join([*lines, ""])


def _in_latex(rate: Rate) -> str:
    return rf"{rate.accepted_percent:.0f} {{\footnotesize[{rate.low_percent:.0f}, {rate.high_percent:.0f}]}}"


def _escaped(text: str) -> str:
    special = {"&": r"\&", "%": r"\%", "_": r"\_", "#": r"\#", "→": r"$\to$", "–": "--"}
    return "".join(special.get(sign, sign) for sign in text)
