"""How long the shipped cloners take to get to know a voice, and how long to speak in it.

The first speaker of the corpus: five utterances as the reference, ten utterances of others as the contents. What a
cloner takes beyond its conversion, with which it begins at once where it is not adapted, is getting to know the
reference. Writes docs/results/cloner_speed.{md,json}.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence

import torch
from cloners import CLONERS, REFERENCES, clips, contents_for
from speakers import RATE, corpus_argument, utterances

from voxveil import cloning
from voxveil.roles import Clip, Cloner

THREADS = (1, 2)
CONTENT_S = 5.0
"""What the last column is for."""


def speed(name: str, reference: Sequence[Clip], contents: Sequence[Clip]) -> dict[str, float]:
    """Seconds a reference, and the real-time factor of what follows."""
    unadapted = cloning.cloner(name, adaptation_steps=0)
    seconds(unadapted, reference, contents[:1])  # the first call allocates
    first_s, all_s = (seconds(unadapted, reference, some) for some in (contents[:1], contents))
    first_audio_s, *other_audio_s = (len(content) / RATE for content in contents)
    factor = (all_s - first_s) / sum(other_audio_s)
    adapted_s = seconds(cloning.cloner(name), reference, contents[:1])
    return {"reference_s": adapted_s - factor * first_audio_s, "conversion_real_time_factor": factor}


def seconds(cloner: Cloner, reference: Sequence[Clip], contents: Sequence[Clip]) -> float:
    started = time.perf_counter()
    cloner(reference, contents)
    return time.perf_counter() - started


def table(rows: Mapping[str, Mapping[int, Mapping[str, float]]]) -> str:
    lines = [
        "# Speed of the shipped cloners",
        "",
        f"Getting to know a reference of {REFERENCES[0]} utterances is done once; conversion is what a content costs",
        "after that. A call takes one reference, and no cloner here works on several at once: each reference needs a",
        "network or frames of its own, so five of them take five times as long.",
        "",
        f"| cloner | threads | reference, s | conversion, × real time | {CONTENT_S:g} s for 5 references, s |",
        "|---|---|---|---|---|",
    ]
    for name, by_threads in rows.items():
        for threads, found in by_threads.items():
            know_s, factor = found["reference_s"], found["conversion_real_time_factor"]
            five_s = 5 * (know_s + CONTENT_S * factor)
            lines.append(f"| {name} | {threads} | {know_s:.1f} | {factor:.3f} | {five_s:.1f} |")
    return "\n".join([*lines, "", "Again: `python benchmarks/cloner_speed.py --corpus LIBRISPEECH/test-other`", ""])


def main() -> None:
    options = corpus_argument(__doc__).parse_args()
    spoken = utterances(options.corpus)
    first = next(iter(spoken))
    reference, contents = clips(spoken[first][: REFERENCES[0]]), clips(contents_for(first, spoken))
    rows: dict[str, dict[int, dict[str, float]]] = {}
    for name in CLONERS:
        for threads in THREADS:
            torch.set_num_threads(threads)
            rows.setdefault(name, {})[threads] = speed(name, reference, contents)
            print(name, threads, rows[name][threads], flush=True)
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "cloner_speed.json").write_text(json.dumps(rows, indent=1) + "\n")
    (options.out / "cloner_speed.md").write_text(table(rows))


if __name__ == "__main__":
    main()
