"""What ``voicecloak.py`` measured, as a page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from voxveil.metrics.defence import PUBLISHED_QUALITY, PUBLISHED_THRESHOLD
from voxveil.protectors.voicecloak import EFFORT_STEPS, EPSILON

NONE = "–"
PAPERS = (
    "| none | 76.49 % | 3.96 | – | – |",
    "| random noise, ± 0.002 | 55.20 % | 3.72 | 16.0 % | 3.37 |",
    "| all losses | 11.40 % | 2.36 | 71.4 % | 3.22 |",
)


def table(found: Mapping[str, Any]) -> str:
    effort, versions = found["effort"], found["versions"]
    speakers = len({row["speaker"] for row in found["clones"]})
    columns = {name: [cells[name] for cells in map(_cells, versions.values())] for name in _cells(versions["clean"])}
    rated = versions["clean"]["nisqa"] is not None
    command = f"python benchmarks/voicecloak.py --corpus LIBRISPEECH/test-other --effort {effort}"
    lines = [
        "# VoiceCloak against DiffVC, and each of its losses",
        "",
        f"{speakers} clips of {found['seconds']:g} s, one a speaker of LibriSpeech test-other, protected by",
        f"`voicecloak` at strength medium (ε {EPSILON['medium']:g}) and effort {effort} ({EFFORT_STEPS[effort]} steps;",
        "the paper has 50), away from the speaker. Attacked: the shipped DiffVC, which is small and clones badly, and",
        f"the encoders {', '.join(found['victims'])}, none of them a judge. The attacker",
        "hears the one clip, his DiffVC is not adapted to it, and he makes it say two clips of other speakers.",
        "",
        "Scores are mean cosines of the clones and the speaker as enrolled from his other utterances; in brackets the",
        "share that is accepted at the threshold of equal error. The share below the paper's threshold is by",
        "ECAPA-COS, our small ECAPA-TDNN; in brackets its 95 % interval over speakers. Opinions are on the clones.",
        "",
        f"| protection | {' | '.join(columns)} |",
        "|---" * (len(columns) + 1) + "|",
        *(f"| {' | '.join(cells)} |" for cells in zip(versions, *columns.values(), strict=True)),
        "",
        *([] if rated else ["NISQA's weights could not be had here: there is no success rate as the paper has it."]),
        *_usable(found["clones"]),
        "Seconds are of one core, beside other work on the machine.",
        "",
        "The paper's own numbers (Q. Hu et al., arXiv 2505.12332, table 1; LibriTTS, DiffVC as published, WavLM",
        "attacked, another ECAPA-TDNN as the judge). Success: a clone that",
        f"scores below {PUBLISHED_THRESHOLD:g} and sounds worse than {PUBLISHED_QUALITY:g} in NISQA.",
        "The same question, not the same experiment:",
        "",
        "| protection | accepted | NISQA | success | PESQ |",
        "|---|---|---|---|---|",
        *PAPERS,
        "",
        f"Again: `{command} --seconds {found['seconds']:g}`",
        "",
    ]
    return "\n".join(lines)


def _cells(row: Mapping[str, Any]) -> dict[str, str]:
    """What stands in the columns for one version; opinions only where somebody was there to have them."""
    low, high = row["below_interval_percent"]
    share = f"{row['below_percent']:.0f} % [{low:.0f}, {high:.0f}]"
    judged = {name: f"{score:.3f} ({row['accepted_percent'][name]:.0f} %)" for name, score in row["scores"].items()}
    opinions = {name.upper(): f"{row[name]:.2f}" for name in ("nisqa", "dnsmos") if row[name] is not None}
    success = {} if row["defended_percent"] is None else {"success": f"{row['defended_percent']:.0f} %"}
    took = NONE if row["protecting_s"] is None else f"{row['protecting_s']:.0f}"
    costs = {"PESQ-wb": f"{row['pesq_wb']:.2f}"}
    return costs | judged | {f"below {PUBLISHED_THRESHOLD:g}": share} | opinions | success | {"s a clip": took}


def _usable(clones: Sequence[Mapping[str, Any]]) -> list[str]:
    if clones[0]["dnsmos"] is None or any(clone["dnsmos"] >= PUBLISHED_QUALITY for clone in clones):
        return []
    return [f"No clone reaches {PUBLISHED_QUALITY:g} in DNSMOS, not of clean speech either: there was little to spoil."]
