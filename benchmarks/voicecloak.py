"""VoiceCloak against the converter that it attacks: each of its losses left out, beside white noise of equal PESQ.

One clip a speaker is protected, and is then all that DiffVC hears of him: as in the paper it is not adapted. Contents:
the other speakers' clips. The attacked speaker encoders are the ensemble's but those of the judges, which score the
clones beside the speaker's other utterances. Writes docs/results/voicecloak.{md,json}.
"""

from __future__ import annotations

import json
import time
from argparse import Namespace
from collections.abc import Mapping, Sequence
from functools import partial
from statistics import fmean
from typing import Any, get_args

import numpy as np
import torch
from speakers import RATE, Clip, clips, corpus_argument, few
from torch import Tensor
from voicecloak_table import table

from voxveil import catalog, cloning, loading
from voxveil.bench.rates import interval
from voxveil.errors import VoxveilError
from voxveil.metrics import mos, quality
from voxveil.metrics.defence import PUBLISHED_THRESHOLD, defence_success_rate
from voxveil.metrics.noise_control import noise_of_equal_quality
from voxveil.protectors.order import EffortName, Order
from voxveil.roles import Cloner

JUDGES = ("DV-COS", "ECAPA-COS")
PAPERS_JUDGE = "ECAPA-COS"
"""Of the judges, the kind that the paper has: an ECAPA-TDNN."""
VICTIMS = tuple(
    name for name in catalog.ENSEMBLE if name not in [loading.encoder_and_scorer(judge)[0] for judge in JUDGES]
)
CLONER = "diffvc"
LOSSES = ("identity", "context", "score", "semantics")
ALL, CLEAN, NOISE = "all losses", "clean", "white noise of equal PESQ"
VERSIONS = {CLEAN: None, NOISE: None, ALL: ()} | {f"without {loss}": (loss,) for loss in LOSSES}
CONTENTS = 2

Row = dict[str, Any]


def pesq(clean: Tensor, changed: Tensor) -> float:
    return quality.pesq(clean.double().numpy(), changed.double().numpy(), RATE)


def protected(clean: Tensor, effort: EffortName, without: Sequence[str]) -> Tensor:
    victims = tuple(loading.verifier(name) for name in VICTIMS)
    order = Order(victims, "medium", effort, converter=partial(loading.converter, catalog.ATTACKED["voicecloak"]))
    return catalog.part("method", "voicecloak")(order, without)(clean[None, None], seed=0)[0, 0].detach()


def noisy(clean: Tensor, wanted_pesq: float) -> Tensor:
    pair = [clean.double().numpy()]
    (found,), _ = noise_of_equal_quality(pair, lambda c, n: quality.pesq(c, n, RATE), wanted_pesq, seed=0)
    return torch.as_tensor(found, dtype=torch.float32)


def opinion(clone: Tensor) -> dict[str, float | None]:
    """NISQA where its weights can be had, and DNSMOS where its package is."""
    sound, found = clone.double().numpy(), {}
    for name, judge in (("nisqa", mos.nisqa), ("dnsmos", mos.dnsmos_overall)):
        try:
            found[name] = judge(sound, RATE)
        except VoxveilError as error:
            print(f"{name}: {error}", flush=True)
            found[name] = None
    return found


def trials(version: str, clip: Clip, heard: Tensor, contents: Sequence[Tensor], cloner: Cloner) -> list[Row]:
    """What the judges say of every clone from what the attacker heard."""
    rows = []
    for clone in cloner([heard], contents):
        scores = {}
        for name in JUDGES:
            judge = loading.verifier(name)
            with torch.no_grad():
                scores[name] = float(judge.scorer(clip.enrolled[name][None], judge.embedder(clone[None])))
        rows.append({"version": version, "speaker": clip.speaker, "scores": scores, **opinion(clone)})
    return rows


def of_clip(clip: Clip, contents: Sequence[Tensor], effort: EffortName, cloner: Cloner) -> list[Row]:
    """All versions of one clip, each with its cost and the seconds that it took."""
    wanted_pesq, rows = 0.0, []
    for version in (ALL, *(name for name in VERSIONS if name != ALL)):
        started = time.process_time()
        without = VERSIONS[version]
        if without is not None:
            heard = protected(clip.speech, effort, without)
        else:
            heard = clip.speech if version == CLEAN else noisy(clip.speech, wanted_pesq)
        took_s = None if without is None else time.process_time() - started
        cost = pesq(clip.speech, heard)
        wanted_pesq = cost if version == ALL else wanted_pesq
        change = float((heard - clip.speech).abs().max())
        costs = {"pesq_wb": cost, "greatest_change": change, "protecting_s": took_s}
        found = [{**row, **costs} for row in trials(version, clip, heard, contents, cloner)]
        print(json.dumps(found), flush=True)
        rows += found
    return rows


def summary(rows: Sequence[Row]) -> dict[str, Any]:
    scores = np.array([row["scores"][PAPERS_JUDGE] for row in rows])
    low, high = interval([(row["speaker"], row["scores"][PAPERS_JUDGE] < PUBLISHED_THRESHOLD) for row in rows])
    opinions = {
        name: None if rows[0][name] is None else fmean(row[name] for row in rows) for name in ("nisqa", "dnsmos")
    }
    heard = None if rows[0]["nisqa"] is None else np.array([row["nisqa"] for row in rows])
    return {
        "clones": len(rows),
        "pesq_wb": fmean(row["pesq_wb"] for row in rows),
        "scores": {name: fmean(row["scores"][name] for row in rows) for name in JUDGES},
        "accepted_percent": {name: 100.0 * accepted(name, rows) for name in JUDGES},
        "below_percent": 100.0 * float(np.mean(scores < PUBLISHED_THRESHOLD)),
        "below_interval_percent": [100.0 * low, 100.0 * high],
        **opinions,
        "defended_percent": None if heard is None else 100.0 * defence_success_rate(scores, heard),
        "protecting_s": None if rows[0]["protecting_s"] is None else fmean(row["protecting_s"] for row in rows),
    }


def accepted(judge: str, rows: Sequence[Row]) -> float:
    threshold = loading.verifier(judge).threshold
    return fmean(row["scores"][judge] >= threshold for row in rows)


def measured(options: Namespace) -> Mapping[str, Any]:
    samples = round(options.seconds * RATE)
    judges = {name: loading.verifier(name) for name in JUDGES}
    chosen = few(clips(options.corpus, judges), 1)
    cut = [Clip(clip.speaker, clip.path, clip.speech[:samples], clip.enrolled) for clip in chosen]
    cloner = cloning.cloner(CLONER, adaptation_steps=0)
    rows = []
    for index, clip in enumerate(cut):
        others = [*chosen[index + 1 :], *chosen[:index]]
        rows += of_clip(clip, [other.speech for other in others[:CONTENTS]], options.effort, cloner)
    return {
        "seconds": options.seconds,
        "effort": options.effort,
        "victims": VICTIMS,
        "versions": {name: summary([row for row in rows if row["version"] == name]) for name in VERSIONS},
        "clones": rows,
    }


def main() -> None:
    parser = corpus_argument(__doc__)
    parser.add_argument("--effort", choices=get_args(EffortName), default="thorough", help="50, 25 or 10 steps")
    parser.add_argument("--seconds", type=float, default=6.0, help="of every clip, at most 6")
    options = parser.parse_args()
    found = measured(options)
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "voicecloak.json").write_text(json.dumps(found, indent=1) + "\n")
    (options.out / "voicecloak.md").write_text(table(found))


if __name__ == "__main__":
    main()
