"""An audit as one HTML page that needs nothing else."""

from __future__ import annotations

from html import escape
from pathlib import Path

from voxveil.bench.audit_verdict import Attack, Audit
from voxveil.bench.page import STYLE, document

_STYLE = STYLE + "td.through { font-weight: bold; background: #d003; }\ntd.idle { opacity: .6; }\n"


def page(audit: Audit) -> str:
    """The verdict, and a table with a row an attack and a column a verifier.

    >>> attack = Attack("none", "knn-vc", "DV-COS", 0.8, 0.74, True, 0.9, True, 0.23)
    >>> "<h1>a.wav</h1><p>1 of 1 attacks" in page(Audit("a.wav", "b.wav", "other recordings", (attack,), ()))
    True
    """
    name = Path(audit.recording).name
    first, *others = (f"<p>{escape(sentence)}</p>" for sentence in audit.verdict())
    verifiers = list(dict.fromkeys((attack.verifier, attack.threshold) for attack in audit.attacks))
    head = "".join(f"<th scope=col>{escape(v)}<br>accepts from {threshold:.2f}</th>" for v, threshold in verifiers)
    rows: dict[str, list[Attack]] = {}
    for attack in audit.attacks:
        rows.setdefault(attack.words, []).append(attack)
    lines = "".join(
        f"<tr><th scope=row>{escape(words)}</th>{''.join(map(_cell, attacks))}</tr>" for words, attacks in rows.items()
    )
    table = f"<table><thead><tr><th scope=col>attack</th>{head}</tr></thead><tbody>{lines}</tbody></table>"
    return document(f"Audit of {name}", "".join([f"<h1>{escape(name)}</h1>", first, *others, table]), _STYLE)


def _cell(attack: Attack) -> str:
    said = f"{attack.score:.2f} {'got through' if attack.accepted else 'stopped'}"
    if attack.clean_score is not None:
        said += f"<br>clean {attack.clean_score:.2f} {'got through' if attack.clean_accepted else 'stopped'}"
    kind = "through" if attack.accepted else "idle" if attack.clean_accepted is False else ""
    return f'<td class="{kind}">{said}</td>'
