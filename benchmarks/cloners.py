"""Do the shipped cloners clone? Acceptance by speaker verification, beside clones of somebody else.

Five speakers of the corpus, none of them heard in training. Reference: each speaker's first five utterances (and the
first alone); contents: ten utterances of the other four, whole ones of at most 8 s; judges: the speaker as enrolled
from his other utterances. "Another's": the same clones, judged as each of the four speakers whose reference they were
not made from. Word error rates where a recogniser is installed (extra ``asr``), beside the transcript where the corpus
has LibriSpeech's. Writes docs/results/cloners.{md,json,png}.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from itertools import chain, zip_longest
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from cloner_picture import picture
from cloner_table import table
from cloner_words import Utterance, Words, words
from speakers import RATE, corpus_argument, utterances
from torch import Tensor

from voxveil import cloning, loading
from voxveil.metrics import quality
from voxveil.roles import Clip, Cloner

CLONERS = ("knn-vc", "adain-vc", "autovc")
JUDGES = ("DV-COS", "ECAPA-COS")
REFERENCES = (5, 1)
CONTENTS = 10
RECOGNISED = 2
"""Of so many contents a speaker the words are counted: a recogniser takes as long as all the rest."""
LONGEST_S = 8.0
ENROL_FROM = 5

Spoken = Mapping[str, Sequence[Utterance]]
Clones = Mapping[str, list[Clip]]


def contents_for(speaker: str, spoken: Spoken) -> list[Utterance]:
    """Whole utterances, since a transcript says what is in the whole of one; the other speakers take turns."""
    others = [found[ENROL_FROM:] for name, found in spoken.items() if name != speaker]
    short = [[one for one in found if len(one[1]) <= LONGEST_S * RATE] for found in others]
    return [one for one in chain(*zip_longest(*short)) if one is not None][:CONTENTS]


def clips(found: Sequence[Utterance]) -> list[Clip]:
    return [clip for _, clip in found]


def enrolled(spoken: Spoken) -> dict[str, dict[str, Tensor]]:
    found: dict[str, dict[str, Tensor]] = {}
    for judge in JUDGES:
        embed = loading.verifier(judge).embedder
        with torch.no_grad():
            voices = {s: torch.cat([embed(clip[None]) for clip in clips(u[ENROL_FROM:])]) for s, u in spoken.items()}
        found[judge] = {speaker: F.normalize(voice.mean(0), dim=0) for speaker, voice in voices.items()}
    return found


def mos(sounds: list[Clip]) -> float | None:
    """DNSMOS (overall), where the package speechmos is installed."""
    try:
        from speechmos import dnsmos
    except ImportError:
        return None
    peaks = [clip.numpy() / max(1.0, float(clip.abs().max())) for clip in sounds]
    return float(np.mean([dnsmos.run(sound, RATE)["ovrl_mos"] for sound in peaks]))


def judged(clones: Clones, enrolment: Mapping[str, Mapping[str, Tensor]]) -> dict[str, dict[str, float]]:
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


def recognised(contents: Spoken) -> list[Utterance]:
    return list(chain(*(found[:RECOGNISED] for found in contents.values())))


def row(clones: Clones, contents: Spoken, enrolment: Mapping[str, Any], understood: Words | None) -> dict[str, Any]:
    said = list(chain(*contents.values()))
    made = [clone for speaker in contents for clone in clones[speaker]]
    read = recognised(contents)
    read_by_clones = list(chain(*(clones[speaker][:RECOGNISED] for speaker in contents)))
    pairs = [(c.double().numpy(), m.double().numpy()) for c, m in zip(clips(said), made, strict=True)]
    return {
        "judges": judged(clones, enrolment),
        "stoi": float(np.mean([quality.stoi(content, clone, RATE) for content, clone in pairs])),
        "word_errors_percent": None if understood is None else understood.errors_percent(read, read_by_clones),
        "dnsmos": mos(made),
        "content_dnsmos": mos(clips(said)),
    }


def cloned(cloner: Cloner, spoken: Spoken, contents: Spoken, references: int) -> dict[str, list[Clip]]:
    return {speaker: cloner(clips(u[:references]), clips(contents[speaker])) for speaker, u in spoken.items()}


def main() -> None:
    options = corpus_argument(__doc__).parse_args()
    spoken = utterances(options.corpus)
    contents = {speaker: contents_for(speaker, spoken) for speaker in spoken}
    enrolment = enrolled(spoken)
    understood = words(options.corpus, recognised(contents))
    first = next(iter(spoken))
    seen = {"content": contents[first][0][1], "reference (one of five utterances)": spoken[first][0][1]}
    rows: dict[str, dict[str, Any]] = {}
    for name in CLONERS:
        cloner = cloning.cloner(name)
        rows[name] = {}
        for count in REFERENCES:
            clones = cloned(cloner, spoken, contents, count)
            seen.setdefault(f"clone by {name}", clones[first][0])
            rows[name][str(count)] = row(clones, contents, enrolment, understood)
            print(name, count, json.dumps(rows[name][str(count)]), flush=True)
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "cloners.json").write_text(json.dumps(rows, indent=1) + "\n")
    (options.out / "cloners.md").write_text(table(rows, JUDGES, REFERENCES))
    picture(seen).savefig(options.out / "cloners.png", dpi=80)


if __name__ == "__main__":
    main()
