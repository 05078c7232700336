"""Every verification system on speakers it never heard, beside the same network with random weights; and its speed.

All pairs of whole utterances. Throughput: six seconds a clip, in batches, on two threads; and how far the embeddings
of clips of unequal lengths, embedded together, are from those embedded one by one. Writes
docs/results/verification.{md,json,png}.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import torch
from speakers import RATE, corpus_argument

from voxveil import catalog, hub, loading
from voxveil.audio.corpus import Utterance, read_corpus, read_mono
from voxveil.roles import Embedder
from voxveil.train.recipes import EXTRACTORS
from voxveil.verify.det_plot import write_det_plot
from voxveil.verify.embedding import embed_clips
from voxveil.verify.evaluate import Evaluation, embed_all, evaluate
from voxveil.verify.scorers import cosine
from voxveil.verify.trials import all_pairs

ROUNDS = 3


def evaluations(spoken: list[Utterance]) -> dict[str, Evaluation]:
    trials, paths = all_pairs(spoken), [u.path for u in spoken]
    voices = {name: embed_all(loading.embedder(name), paths) for name in catalog.ENSEMBLE}
    found = {}
    named = {encoder for encoder, _ in catalog.SYSTEMS.values()}
    others = {name: (name, "cosine") for name in catalog.ENSEMBLE if name not in named}
    for system, (encoder, kind) in (catalog.SYSTEMS | others).items():
        found[system] = evaluate(loading.scorer(kind, encoder), voices[encoder], trials)
    return found


def random_error_rates(spoken: list[Utterance]) -> dict[str, float]:
    """Of every network as it is built, never trained; an i-vector extractor without a matrix gives nothing."""
    trials, paths = all_pairs(spoken), [u.path for u in spoken]
    rates = {}
    for name in catalog.ENSEMBLE:
        if name in EXTRACTORS:
            continue
        torch.manual_seed(0)
        network = hub.card(name).network
        encoder = catalog.part("architecture", network.architecture)(**network.size).eval()
        rates[name] = evaluate(cosine, embed_all(encoder, paths), trials).eer
    return rates


def speed(encoder: Embedder, speech: list[torch.Tensor]) -> dict[str, float]:
    six = [s[: 6 * RATE] for s in speech if len(s) >= 6 * RATE][:10]
    embed_clips(encoder, six)
    started = time.perf_counter()
    for _ in range(ROUNDS):
        embed_clips(encoder, six)
    hours_a_minute = ROUNDS * len(six) * 6 / 3600 / ((time.perf_counter() - started) / 60)
    unequal = [s[: RATE + (i % 3) * RATE] for i, s in enumerate(speech[:12])]
    together = embed_clips(encoder, unequal)
    alone = torch.cat([embed_clips(encoder, [s]) for s in unequal])
    return {"hours_a_minute": hours_a_minute, "unequal_lengths_difference": float((together - alone).abs().max())}


def main() -> None:
    options = corpus_argument(__doc__).parse_args()
    torch.set_num_threads(2)
    spoken = read_corpus(options.corpus)
    found = evaluations(spoken)
    random = random_error_rates(spoken)
    speech = [torch.as_tensor(read_mono(u.path, RATE)) for u in spoken]
    rows: dict[str, Any] = {}
    for system, evaluation in found.items():
        calibrated = loading.verifier(system).threshold
        refused, accepted = evaluation.rates_at(calibrated)
        rows[system] = {**evaluation.as_json(), "card_threshold": calibrated, "frr": refused, "far": accepted}
    speeds = {name: speed(loading.embedder(name), speech) for name in catalog.ENSEMBLE}
    options.out.mkdir(parents=True, exist_ok=True)
    text = table(rows, random, speeds, len({u.speaker for u in spoken}))
    everything = {"systems": rows, "random_eer": random, "encoders": speeds}
    (options.out / "verification.json").write_text(json.dumps(everything, indent=1) + "\n")
    (options.out / "verification.md").write_text(text)
    write_det_plot(Path(options.out / "verification.png"), found)
    print(text)


def table(rows: dict[str, Any], random: dict[str, float], speeds: dict[str, dict[str, float]], speakers: int) -> str:
    trials = next(iter(rows.values()))["trials"]
    lines = [
        "# Verification systems",
        "",
        f"All {trials} pairs of whole utterances of {speakers} speakers of LibriSpeech test-other, whom no model here",
        "was trained on. The cards' thresholds were found on the same speakers, so FRR and FAR at them are no",
        "surprise.",
        "The interval is the bootstrap's over speakers: five are few. Beside it the same network before any training.",
        "",
        "| system | EER % (95 %) | random weights % | threshold of the card | FRR % | FAR % | minDCF |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, row in rows.items():
        untrained = random.get(loading.encoder_and_scorer(name)[0])
        lines.append(
            f"| {name} | {100 * row['eer']:.2f} ({100 * row['eer_low']:.2f}–{100 * row['eer_high']:.2f}) "
            f"| {'–' if untrained is None else f'{100 * untrained:.1f}'} | {row['card_threshold']:.3f} "
            f"| {100 * row['frr']:.2f} | {100 * row['far']:.2f} | {row['min_dcf']:.3f} |"
        )
    lines += [
        "",
        "![detection error trade-off](verification.png)",
        "",
        "Throughput on two threads, clips of 6 s, and the largest difference of an entry between clips of unequal",
        "lengths embedded together and one by one:",
        "",
        "| encoder | hours of speech a minute | unequal lengths, difference |",
        "|---|---|---|",
    ]
    lines += [f"| {n} | {s['hours_a_minute']:.2f} | {s['unequal_lengths_difference']:.1e} |" for n, s in speeds.items()]
    return "\n".join([*lines, "", "Again: `python benchmarks/verification.py --corpus LIBRISPEECH/test-other`", ""])


if __name__ == "__main__":
    main()
