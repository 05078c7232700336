"""Score against PESQ for every carrier and budget, beside white noise: the frontier.

Three clips of 6 s a speaker. ``veil`` rows mind the listener (the shipped objective) and differ in the angle at
which it is enough, the last of them are the strong setting under a quality floor; all others minimise the cosine to the
speaker alone within their budget. Writes docs/results/frontier.{md,json,png}.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace

import matplotlib as mpl
import numpy as np
import torch
from speakers import RATE, Clip, clips, corpus_argument, few

from voxveil import api, hub, loading
from voxveil.audio.levels import add_at_snr
from voxveil.metrics import quality
from voxveil.perturb.budgets import BandWeighted, GainRange, Linf, MaskingThreshold, Snr
from voxveil.perturb.carriers import Additive, Chain, Filter, GainMask, Levelled, SpectralAdditive
from voxveil.perturb.expectation import Expectation
from voxveil.perturb.objectives import EmbeddingDistance
from voxveil.perturb.solvers import adam, momentum_pgd
from voxveil.protectors.veil import EFFORT_STEPS, GRID, STRENGTHS, Veil
from voxveil.roles import Carrier, Speech
from voxveil.transforms.crop import RandomStart

CLIPS_A_SPEAKER = 3
STEPS = 40
VSMASK_WEIGHTS = {1600: 1.15, 4000: 0.85, 8000: 1.0}

Method = Callable[[Speech], Speech]


def plain(carrier: Carrier) -> Method:
    embedder = loading.embedder("ge2e")

    def protect(clean: Speech) -> Speech:
        generator = torch.Generator().manual_seed(0)
        attack = EmbeddingDistance(embedder.coarse(), embedder(clean).detach())
        objective = Expectation(attack, [RandomStart(12_800, generator)])
        # From zero an additive perturbation has no phase to follow: start with a tenth of the budget.
        amounts = adam(STEPS, 0.25, start=0.1)(objective, carrier, clean, generator)
        return carrier(amounts, clean)

    return protect


def pgd(carrier: Carrier) -> Method:
    embedder = loading.embedder("ge2e")

    def protect(clean: Speech) -> Speech:
        generator = torch.Generator().manual_seed(0)
        attack = EmbeddingDistance(embedder.coarse(), embedder(clean).detach())
        amounts = momentum_pgd(STEPS)(attack, carrier, clean, generator)
        return carrier(amounts, clean)

    return protect


def veil(**changes: float) -> Method:
    protector = Veil((loading.verifier("ge2e"),), replace(STRENGTHS["medium"], **changes))
    return lambda clean: protector(clean[:, None], seed=0)[:, 0]


def floored(floor: float) -> Method:
    protector = api.make_protector("veil", "strong", floor, "normal", "auto", ("ge2e",), "cpu")
    return lambda clean: protector(clean[:, None], seed=0)[:, 0]


def noise(snr_db: float) -> Method:
    return lambda clean: add_at_snr(clean, torch.randn(clean.shape, generator=torch.Generator().manual_seed(0)), snr_db)


def methods() -> Iterator[tuple[str, str, Method]]:
    """(family, setting, method): every point of the picture."""
    for snr_db in (50.0, 40.0, 30.0, 20.0, 13.0):
        yield "white noise", f"{snr_db:g} dB SNR", noise(snr_db)
    for epsilon in (0.0005, 0.001, 0.002, 0.005):
        yield "additive, L∞", f"ε = {epsilon:g}", plain(Additive(Linf(epsilon)))
    yield "additive, L∞, momentum PGD", "ε = 0.002", pgd(Additive(Linf(0.002)))
    for snr_db in (35.0, 28.0, 20.0):
        yield "additive, SNR", f"{snr_db:g} dB", plain(Additive(Snr(snr_db)))
    for epsilon in (0.001, 0.003):
        budget = BandWeighted(epsilon, VSMASK_WEIGHTS, RATE)
        yield "spectral, band-weighted", f"ε = {epsilon:g}", plain(SpectralAdditive(budget))
    for offset_db in (-6.0, 0.0, 6.0, 12.0):
        budget = MaskingThreshold(offset_db, RATE)
        yield "spectral, masking threshold", f"{offset_db:+g} dB", plain(SpectralAdditive(budget))
    for range_db in (6.0, 9.0, 15.0):
        equaliser = Levelled(Filter(GainRange(range_db), RATE), RATE)
        yield "static filter", f"±{range_db:g} dB", plain(equaliser)
    for range_db in (3.0, 6.0):
        mask = GainMask(GainRange(0.0), GainRange(range_db), RATE, frames_per_gain=3, stft=GRID)
        yield "time–frequency mask", f"±{range_db:g} dB", plain(mask)
    for offset_db in (-6.0, 0.0):
        both = Chain((Filter(GainRange(9.0), RATE), SpectralAdditive(MaskingThreshold(offset_db, RATE))))
        yield "filter ±9 dB, then masking threshold", f"{offset_db:+g} dB", plain(Levelled(both, RATE))
    for range_db in (3.0, 6.0):
        both_gains = GainMask(GainRange(9.0), GainRange(range_db), RATE, frames_per_gain=3, stft=GRID)
        yield "filter ±9 dB times mask", f"±{range_db:g} dB", plain(both_gains)
    for margin_degrees in (4.0, 8.0, 12.0, 20.0, 28.0):
        yield "veil", f"{margin_degrees:g}° beyond the threshold", veil(margin_degrees=margin_degrees)
    for floor in (3.8, 4.2):
        yield "veil strong under a floor", f"PESQ ≥ {floor:g}", floored(floor)


def measure(measured: list[Clip], protected: Speech, threshold: float) -> dict[str, float]:
    with torch.no_grad():
        scores = [
            float(p @ c.enrolled["ge2e"]) for p, c in zip(loading.embedder("ge2e")(protected), measured, strict=True)
        ]
    pairs = [(c.speech.double().numpy(), p.double().numpy()) for c, p in zip(measured, protected, strict=True)]
    return {
        "score": float(np.mean(scores)),
        "worst_score": max(scores),
        "accepted_percent": 100.0 * float(np.mean([s >= threshold for s in scores])),
        "pesq_wb": float(np.mean([quality.pesq(c, p, RATE) for c, p in pairs])),
        "stoi": float(np.mean([quality.stoi(c, p, RATE) for c, p in pairs])),
        "snr_db": float(np.mean([quality.snr_db(c, p) for c, p in pairs])),
        "log_spectral_distance_db": float(np.mean([quality.log_spectral_distance_db(c, p) for c, p in pairs])),
    }


def main() -> None:
    options = corpus_argument(__doc__).parse_args()
    threshold = hub.card("ge2e").thresholds["cosine"]["eer"].value
    measured = few(clips(options.corpus, {"ge2e": loading.verifier("ge2e")}), CLIPS_A_SPEAKER)
    clean = torch.stack([c.speech for c in measured])
    rows = []
    for family, setting, method in methods():
        figures = measure(measured, method(clean).detach(), threshold)
        rows.append({"family": family, "setting": setting, **figures})
        print(json.dumps(rows[-1], ensure_ascii=False), flush=True)
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "frontier.json").write_text(json.dumps(rows, indent=1, ensure_ascii=False) + "\n")
    (options.out / "frontier.md").write_text(table(rows, len(measured)))
    picture(rows, threshold).savefig(options.out / "frontier.png", dpi=130)


def table(rows: list[dict], count: int) -> str:
    lines = [
        "# The frontier: how far a voice is led away, and what it costs",
        "",
        f"{count} clips of 6 s, five speakers of LibriSpeech test-other; score: GE2E cosine to the other utterances of",
        f"the speaker, accepted at ≥ 0.74; {STEPS} steps, `veil` {EFFORT_STEPS['normal']}, against GE2E (white box).",
        "Lower scores at higher PESQ are better.",
        "",
        "![score against PESQ](frontier.png)",
        "",
        "| carrier and budget | setting | score | worst | accepted % | PESQ-wb | STOI | SNR dB | LSD dB |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {r['family']} | {r['setting']} | {r['score']:.3f} | {r['worst_score']:.3f} | {r['accepted_percent']:.0f} "
        f"| {r['pesq_wb']:.2f} | {r['stoi']:.3f} | {r['snr_db']:.1f} | {r['log_spectral_distance_db']:.1f} |"
        for r in rows
    ]
    return "\n".join([*lines, "", "Again: `python benchmarks/frontier.py --corpus LIBRISPEECH/test-other`", ""])


def picture(rows: list[dict], threshold: float) -> mpl.figure.Figure:
    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(11, 6), layout="constrained")
    markers = "osD^v<>Pp*Xh"
    for index, family in enumerate(dict.fromkeys(r["family"] for r in rows)):
        points = sorted((r["pesq_wb"], r["score"]) for r in rows if r["family"] == family)
        style = {"color": "black", "linestyle": ":"} if family == "white noise" else {}
        width = 2.5 if family == "veil" else 1.2
        axes.plot(*zip(*points, strict=True), marker=markers[index % 12], label=family, linewidth=width, **style)
    axes.axhline(threshold, color="gray", linestyle="--", linewidth=1)
    axes.text(1.02, threshold + 0.006, "accepted above this line", color="gray")
    axes.set(xlabel="PESQ-wb (4.64: unchanged)", ylabel="GE2E cosine to the enrolled speaker", xlim=(1.0, 4.7))
    figure.legend(fontsize=8, loc="outside right upper")
    axes.set_title("Further down and to the right is better")
    return figure


if __name__ == "__main__":
    main()
