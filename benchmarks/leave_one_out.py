"""Does a protection reach a speaker encoder that it did not know? Every encoder in turn is left out, and judges.

``veil`` against all encoders of the ensemble but one, judged by that one, as it is and after an attacker has equalised
back. Beside it, against the same encoders: the published protections at their strongest, scaled down clip by clip to
the PESQ of ``veil`` at strength "strong", and white noise that is scaled likewise. Those that attack a converter use
none of the judges, but to choose a target, and are made once. Two encoders have a cousin in the ensemble (the same kind
of network, another front end, other weights), so ``veil`` is also made without both. Writes
docs/results/leave_one_out.{md,json,png}.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure
from speakers import RATE, Clip, batches, clips, corpus_argument, ensemble, few
from torch import Tensor

from voxveil import catalog, loading
from voxveil.bench.rates import interval
from voxveil.errors import ModelUnavailableError
from voxveil.metrics import quality
from voxveil.perturb.quality_floor import largest_share
from voxveil.protectors.order import EffortName, Order, StrengthName
from voxveil.roles import Protector
from voxveil.transforms.equalise_back import EqualiseBack
from voxveil.verify.verifier import Verifier

CLIP = 4
"""Which clip of every speaker. The settings of ``veil`` were chosen on the first three, the fourth had no say."""

PUBLISHED = ("attackvc", "antifake", "voiceguard", "clearmask")
ON_CONVERTERS = {"attackvc-mel": {}, "voicecloak": {"without": ["identity"]}}
"""Published protections that attack a converter, and their settings: without any speaker encoder."""
NOISE = "white noise"
OURS, OURS_MEDIUM = "veil", "veil, medium"
OURS_KNOWN, OURS_FAMILY = "veil, judge known", "veil, family left out"
CONVERTERS_JOB = ("converters",)
FAMILIES = (("resnetse34l", "resnetse34v2"), ("ivector", "ivector-lfcc"))
SHARES = (0.25, 0.0625, 0.015625)
"""Of what a published protection does, for the picture."""

Trial = dict[str, str | float]


def order(victims: Sequence[Verifier], effort: EffortName, strength: StrengthName = "strong") -> Order:
    return Order(tuple(victims), strength, effort)


def protected(method: str, ordered: Order, clean: Tensor, **settings: object) -> Tensor:
    protector: Protector = catalog.part("method", method)(ordered, **settings)
    return protector(clean[:, None], seed=0)[:, 0].detach()


def pesq_of(clean: Tensor, changed: Tensor) -> Tensor:
    pairs = zip(clean.double().numpy(), changed.double().numpy(), strict=True)
    return torch.tensor([quality.pesq(c, p, RATE) for c, p in pairs])


def of_pesq(clean: Tensor, changed: Tensor, wanted: Tensor) -> Tensor:
    """As much of the change as leaves every clip the PESQ that is wanted."""

    def shared(share: Tensor) -> Tensor:
        return clean + share[:, None] * (changed - clean)

    return shared(largest_share(shared, lambda x: pesq_of(clean, x) - wanted, 0.0, len(clean), rounds=10))


def versions(victims: Sequence[Verifier], clean: Tensor) -> Iterator[tuple[str, Tensor]]:
    """What is judged, by name: nothing, ours, and what others and noise make of the same PESQ."""
    yield "clean", clean
    ours = protected("veil", order(victims, "normal"), clean)
    yield OURS, ours
    yield OURS_MEDIUM, protected("veil", order(victims, "normal", "medium"), clean)
    wanted = pesq_of(clean, ours)
    noise = clean + clean.std() * torch.randn(clean.shape, generator=torch.Generator().manual_seed(0))
    others = {method: protected(method, order(victims, "fast"), clean) for method in PUBLISHED}
    for name, changed in (others | {NOISE: noise}).items():
        yield from shares(name, clean, changed, wanted)


def shares(name: str, clean: Tensor, changed: Tensor, wanted: Tensor) -> Iterator[tuple[str, Tensor]]:
    """The change at the PESQ that is wanted, and less and less of it."""
    yield name, of_pesq(clean, changed, wanted)
    for share in SHARES:
        yield f"{name}, {share:g} of it", clean + share * (changed - clean)


def on_converters(verifiers: Sequence[Verifier], clean: Tensor) -> Iterator[tuple[str, Tensor]]:
    """What protections make that attack a converter, at the PESQ of ``veil`` that knows all."""
    ours = protected("veil", order(verifiers, "normal"), clean)
    yield OURS_KNOWN, ours
    wanted = pesq_of(clean, ours)
    for method, settings in ON_CONVERTERS.items():
        try:
            converter = loading.converter(catalog.ATTACKED[method])
        except ModelUnavailableError as error:
            print(method, "is left out:", error, flush=True)
            continue
        ordered = Order(tuple(verifiers), "strong", "normal", converter=lambda loaded=converter: loaded)
        yield from shares(method, clean, protected(method, ordered, clean, **settings), wanted)


def trials(judges: Mapping[str, Verifier], version: str, clean: Tensor, made: Tensor, group: list[Clip]) -> list[Trial]:
    """What each judge says of every clip, as it is and equalised back."""
    found: list[Trial] = []
    costs = pesq_of(clean, made)
    clear = [quality.stoi(c, m, RATE) for c, m in zip(clean.double().numpy(), made.double().numpy(), strict=True)]
    washed = EqualiseBack(RATE)(made)
    for name, judge in judges.items():
        enrolled = torch.stack([clip.enrolled[name] for clip in group])
        with torch.no_grad():
            said, washed_said = (judge.scorer(enrolled, judge.embedder(x)).tolist() for x in (made, washed))
        for clip, cost, stoi, score, after in zip(group, costs.tolist(), clear, said, washed_said, strict=True):
            row = {"judge": name, "version": version, "speaker": clip.speaker, "threshold": judge.threshold}
            found.append({**row, "pesq_wb": cost, "stoi": stoi, "score": score, "equalised_back": after})
    return found


def left_out(corpus: Path, names: tuple[str, ...]) -> list[Trial]:
    """All trials with the encoders ``names`` left out and judging.

    Whole families meet ``veil`` only. All encoders judge what is made against converters.
    """
    torch.set_num_threads(1)
    verifiers = ensemble()
    judges = verifiers if names == CONVERTERS_JOB else {name: verifiers[name] for name in names}
    victims = [verifier for name, verifier in verifiers.items() if name not in names]
    found: list[Trial] = []
    for group in batches(few(clips(corpus, judges), CLIP)[CLIP - 1 :: CLIP], size=5):
        clean = torch.stack([clip.speech for clip in group])
        if names == CONVERTERS_JOB:
            made = on_converters(victims, clean)
        elif len(names) == 1:
            made = versions(victims, clean)
        else:
            made = iter([(OURS_FAMILY, protected("veil", order(victims, "normal"), clean))])
        for version, speech in made:
            found += trials(judges, version, clean, speech, group)
    print(*names, flush=True)
    return found


def main() -> None:
    parser = corpus_argument(__doc__)
    parser.add_argument("--workers", type=int, default=1, help="processes of one thread each")
    options = parser.parse_args()
    jobs = [*((name,) for name in catalog.ENSEMBLE), *FAMILIES, CONVERTERS_JOB]
    with ProcessPoolExecutor(options.workers, get_context("spawn")) as pool:
        found = [row for rows in pool.map(partial(left_out, options.corpus), jobs) for row in rows]
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "leave_one_out.json").write_text(json.dumps(found, indent=0) + "\n")
    (options.out / "leave_one_out.md").write_text(text(found))
    picture(found).savefig(options.out / "leave_one_out.png", dpi=130)


def of(found: list[Trial], version: str, judge: str | None = None) -> list[Trial]:
    return [row for row in found if row["version"] == version and judge in (None, row["judge"])]


def accepted_percent(rows: list[Trial], score: str = "score") -> float:
    return 100.0 * float(np.mean([row[score] >= row["threshold"] for row in rows]))


def accepted(rows: list[Trial], score: str = "score") -> str:
    """The share in percent, and its 95 % interval over speakers."""
    low, high = interval([(str(row["speaker"]), row[score] >= row["threshold"]) for row in rows])
    return f"{accepted_percent(rows, score):.0f} [{100 * low:.0f}, {100 * high:.0f}]"


def mean(rows: list[Trial], figure: str) -> float:
    return float(np.mean([row[figure] for row in rows]))


HEADS = {
    "clean": "clean",
    NOISE: NOISE,
    **{name: f"`{name}`" for name in (*PUBLISHED, *ON_CONVERTERS)},
    OURS: "**`veil`**",
    OURS_MEDIUM: "`veil`, medium",
    OURS_KNOWN: "`veil`, judge known",
}
"""What the tables show of the versions, and what they call it."""


def table(found: list[Trial], score: str) -> list[str]:
    heads = {version: head for version, head in HEADS.items() if of(found, version)}
    lines = [f"| judge | {' | '.join(heads.values())} |", f"|---|{'---|' * len(heads)}"]
    for judge in (*catalog.ENSEMBLE, None):
        cells = [accepted(of(found, version, judge), score) for version in heads]
        lines.append(f"| {judge or '**all**'} | {' | '.join(cells)} |")
    for figure, head in (("pesq_wb", "PESQ-wb"), ("stoi", "STOI")):
        digits = 2 if figure == "pesq_wb" else 3
        costs = [f"{mean(of(found, version), figure):.{digits}f}" for version in heads]
        lines.append(f"| {head} | {' | '.join(costs)} |")
    return [*lines, ""]


def family_table(found: list[Trial]) -> list[str]:
    lines = ["| judge | cousin known | cousin left out, too | … equalised back | PESQ-wb |", "|---|---|---|---|---|"]
    for judge in [name for family in FAMILIES for name in family]:
        alone, both = of(found, OURS, judge), of(found, OURS_FAMILY, judge)
        cells = [accepted(alone), accepted(both), accepted(both, "equalised_back"), f"{mean(both, 'pesq_wb'):.2f}"]
        lines.append(f"| {judge} | {' | '.join(cells)} |")
    return [*lines, ""]


def text(found: list[Trial]) -> str:
    lines = [
        "# Leave one out: encoders that the protection did not know",
        "",
        f"{len(of(found, 'clean', 'ge2e'))} clips of five speakers of LibriSpeech test-other, strength strong; of each",
        "speaker the fourth, as the settings of `veil` were chosen on the first three. Every encoder in turn is left",
        "out of what is attacked, and judges: clips in a hundred that it takes for the speaker [95 % interval over",
        "speakers]. White noise and the published protections (effort fast, against the same encoders) are scaled,",
        "clip by clip, to the PESQ that `veil` has there; those that attack a converter (`attackvc-mel`, `voicecloak`",
        "without its loss on speaker encoders; effort normal) use no encoder, but that all together choose the target",
        "of `attackvc-mel`, and are scaled to the PESQ of the `veil` that knows all.",
        "",
        *table(found, "score"),
        "After an attacker has equalised back:",
        "",
        *table(found, "equalised_back"),
        "`resnetse34l` and `resnetse34v2`, `ivector` and `ivector-lfcc` are cousins: the same kind of network with",
        "another front end and weights of its own, all trained on the same hour of speech. Without its cousin, too:",
        "",
        *family_table(found),
        "![acceptance against PESQ](leave_one_out.png)",
        "",
        "Again: `python benchmarks/leave_one_out.py --corpus LIBRISPEECH/test-other --workers 2`",
        "",
    ]
    return "\n".join(lines)


def picture(found: list[Trial]) -> Figure:
    """Acceptance by encoders that were not known against PESQ, a line a protection."""
    figure = Figure(figsize=(6.5, 4.2), layout="constrained")
    axes = figure.subplots()

    def line(names: Sequence[str], label: str, style: str) -> None:
        rows = [of(found, name) for name in names]
        points = sorted((mean(trials, "pesq_wb"), accepted_percent(trials)) for trials in rows)
        axes.plot(*zip(*points, strict=True), style, label=label)

    for name in (NOISE, *(name for name in (*PUBLISHED, *ON_CONVERTERS) if of(found, name))):
        line(["clean", name, *(f"{name}, {s:g} of it" for s in SHARES)], name, "o-")
    line([OURS, OURS_MEDIUM], "veil", "s-k")
    axes.set(xlabel="PESQ-wb", ylabel="accepted by an encoder that was left out, %", ylim=(-3, 103))
    axes.legend()
    axes.grid(alpha=0.3)
    return figure


if __name__ == "__main__":
    main()
