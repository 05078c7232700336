"""Do the shipped cloners clone? Acceptance by speaker verification, beside clones of somebody else.

Five speakers of the corpus, none of them heard in training. Reference: each speaker's first five utterances (and the
first alone); contents: ten utterances of the other four, their first 6 s; judges: the speaker as enrolled from his
other utterances. "Another's": the same clones, judged as each of the four speakers whose reference they were not made
from. Writes docs/results/cloners.{md,json}.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from speakers import CLIP_S, RATE, corpus_argument, utterances
from torch import Tensor

from voxveil import cloning, loading
from voxveil.metrics import quality
from voxveil.roles import Clip, Cloner

CLONERS = ("knn-vc", "adain-vc")
JUDGES = ("DV-COS", "ECAPA-COS")
REFERENCES = (5, 1)
CONTENTS = 10
ENROL_FROM = 5

Voices = Mapping[str, list[Clip]]


def contents_for(speaker: str, spoken: Voices) -> list[Clip]:
    others = [name for name in spoken if name != speaker]
    chosen = [spoken[others[i % len(others)]][ENROL_FROM + i // len(others)] for i in range(CONTENTS)]
    return [clip[: round(CLIP_S * RATE)] for clip in chosen]


def enrolled(spoken: Voices) -> dict[str, dict[str, Tensor]]:
    found: dict[str, dict[str, Tensor]] = {}
    for judge in JUDGES:
        embed = loading.verifier(judge).embedder
        with torch.no_grad():
            means = {s: torch.cat([embed(c[None]) for c in clips[ENROL_FROM:]]).mean(0) for s, clips in spoken.items()}
        found[judge] = {speaker: F.normalize(mean, dim=0) for speaker, mean in means.items()}
    return found


def mos(clips: list[Clip]) -> float | None:
    """DNSMOS (overall), where the package speechmos is installed."""
    try:
        from speechmos import dnsmos
    except ImportError:
        return None
    peaks = [clip.numpy() / max(1.0, float(clip.abs().max())) for clip in clips]
    return float(np.mean([dnsmos.run(sound, RATE)["ovrl_mos"] for sound in peaks]))


def judged(clones: Voices, enrolment: Mapping[str, Mapping[str, Tensor]]) -> dict[str, dict[str, float]]:
    found = {}
    for judge, voices in enrolment.items():
        verifier = loading.verifier(judge)
        own, others = [], []
        for speaker, made in clones.items():
            with torch.no_grad():
                vectors = torch.cat([verifier.embedder(clone[None]) for clone in made])
            for name, voice in voices.items():
                (own if name == speaker else others).extend((vectors @ voice).tolist())
        found[judge] = {
            "threshold": verifier.threshold,
            "score": float(np.mean(own)),
            "accepted_percent": 100.0 * float(np.mean(np.array(own) >= verifier.threshold)),
            "others_accepted_percent": 100.0 * float(np.mean(np.array(others) >= verifier.threshold)),
        }
    return found


def row(cloner: Cloner, spoken: Voices, references: int, enrolment: Mapping[str, Any]) -> dict[str, Any]:
    contents = {speaker: contents_for(speaker, spoken) for speaker in spoken}
    started = time.perf_counter()
    clones = {speaker: cloner(clips[:references], contents[speaker]) for speaker, clips in spoken.items()}
    took_s = time.perf_counter() - started
    pairs = [(c, m) for speaker in spoken for c, m in zip(contents[speaker], clones[speaker], strict=True)]
    return {
        "judges": judged(clones, enrolment),
        "stoi": float(np.mean([quality.stoi(c.double().numpy(), m.double().numpy(), RATE) for c, m in pairs])),
        "dnsmos": mos([made for _, made in pairs]),
        "content_dnsmos": mos([content for content, _ in pairs]),
        "seconds_a_reference": took_s / len(spoken),
        "real_time_factor": took_s / sum(len(content) / RATE for content, _ in pairs),
    }


def table(rows: Mapping[str, Mapping[str, Any]]) -> str:
    head = [f"{judge} (another's)" for judge in JUDGES]
    lines = [
        "# The shipped cloners",
        "",
        "Share of clones that a verifier accepts as the speaker of the reference, at the threshold of its equal error",
        "rate, and in brackets as one of the four other speakers. Five speakers of LibriSpeech test-other × ten",
        "contents of the others (6 s at most); enrolment from utterances that are not in the reference. STOI is the",
        "clone's against the content. Adaptation to the reference is in the time, once for ten contents; one thread.",
        "",
        f"| cloner | utterances | {' | '.join(head)} | STOI | DNSMOS (content) | s a reference | × real time |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, by_count in rows.items():
        for count, found in by_count.items():
            shares = [
                f"{j['accepted_percent']:.0f} % ({j['others_accepted_percent']:.0f} %)"
                for j in found["judges"].values()
            ]
            heard = "–" if found["dnsmos"] is None else f"{found['dnsmos']:.2f} ({found['content_dnsmos']:.2f})"
            lines.append(
                f"| {name} | {count} | {' | '.join(shares)} | {found['stoi']:.2f} | {heard} "
                f"| {found['seconds_a_reference']:.0f} | {found['real_time_factor']:.2f} |"
            )
    command = "python benchmarks/cloners.py --corpus LIBRISPEECH/test-other"
    return "\n".join([*lines, "", f"Again: `{command}`", ""])


def main() -> None:
    options = corpus_argument(__doc__).parse_args()
    torch.set_num_threads(1)
    spoken = {speaker: [clip for _, clip in found] for speaker, found in utterances(options.corpus).items()}
    enrolment = enrolled(spoken)
    rows: dict[str, dict[str, Any]] = {}
    for name in CLONERS:
        for count in REFERENCES:
            rows.setdefault(name, {})[str(count)] = row(cloning.cloner(name), spoken, count, enrolment)
            print(name, count, json.dumps(rows[name][str(count)]), flush=True)
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "cloners.json").write_text(json.dumps(rows, indent=1) + "\n")
    (options.out / "cloners.md").write_text(table(rows))


if __name__ == "__main__":
    main()
