"""What a run cannot show: a benchmark has to be able to fail, and to say so in words."""

from __future__ import annotations

from collections.abc import Sequence

from voxveil.bench.rates import Rate
from voxveil.bench.scenario import NONE, STATIONS

LEAST_GAP_PERCENT = 50.0
"""A verifier that accepts clean speech hardly more often than somebody else's tells nobody apart."""

LEAST_EFFECT_PERCENT = 10.0
FEW_SPEAKERS = 5


def doubts(rates: Sequence[Rate], speakers: int) -> list[str]:
    """Sentences on verifiers that tell nobody apart, cloners that do not clone, and parts that do nothing.

    >>> def row(protection, percent):
    ...     return Rate((protection, "none", "none", "none", "DV-COS"), percent, 0, 0, 0.5, 0.7, 10, None)
    >>> doubts([row("none", 90.0), row("another-speaker", 85.0), row("veil", 88.0)], speakers=9)[0]
    'DV-COS accepts 90 % of clean speech and 85 % of somebody else: it tells nobody apart, and its rows mean nothing.'
    """
    found = {rate.parts: rate for rate in rates}
    said = [*_verifiers(found), *_purifiers(found), *_cloners(found), *_protections(found)]
    if speakers < FEW_SPEAKERS:
        said.append(f"There are {speakers} speakers: intervals of so few are too narrow, and prove nothing.")
    return said


def _attack(rate: Rate) -> tuple[str, ...]:
    return rate.parts[1:]


def _at(found: dict[tuple[str, ...], Rate], protection: str, attack: tuple[str, ...]) -> Rate | None:
    return found.get((protection, *attack))


def _verifiers(found: dict[tuple[str, ...], Rate]) -> list[str]:
    said = []
    for verifier in dict.fromkeys(rate["verifier"] for rate in found.values()):
        bare = (NONE,) * (len(STATIONS) - 2) + (verifier,)
        clean, other = _at(found, NONE, bare), _at(found, "another-speaker", bare)
        if clean and other and clean.accepted_percent - other.accepted_percent < LEAST_GAP_PERCENT:
            said.append(
                f"{verifier} accepts {clean.accepted_percent:.0f} % of clean speech and {other.accepted_percent:.0f} % "
                "of somebody else: it tells nobody apart, and its rows mean nothing."
            )
    return said


def _purifiers(found: dict[tuple[str, ...], Rate]) -> list[str]:
    place = STATIONS.index("purification")
    changed: dict[str, bool] = {}
    for parts, rate in found.items():
        without = found.get((*parts[:place], NONE, *parts[place + 1 :]))
        if parts[place] != NONE and without:
            changed[parts[place]] = changed.get(parts[place], False) or rate.score != without.score
    return [
        f"{name} purifies nothing: every score is what it is without it." for name, did in changed.items() if not did
    ]


def _cloners(found: dict[tuple[str, ...], Rate]) -> list[str]:
    said = []
    for rate in found.values():
        if rate["protection"] == NONE and rate["cloner"] != NONE and rate.parts[1:3] == (NONE, NONE):
            other = _at(found, "another-speaker", _attack(rate))
            if other and rate.accepted_percent - other.accepted_percent < LEAST_GAP_PERCENT:
                said.append(
                    f"Clones by {rate['cloner']} from clean speech pass {rate['verifier']} in "
                    f"{rate.accepted_percent:.0f} % of trials, those of somebody else in "
                    f"{other.accepted_percent:.0f} %: where it does not clone, no protection can stop it."
                )
    return said


def _protections(found: dict[tuple[str, ...], Rate]) -> list[str]:
    said = []
    for protection in dict.fromkeys(rate["protection"] for rate in found.values()):
        noise = f"noise-of-equal-pesq ({protection})"
        gains, over_noise = [], []
        for rate in found.values():
            clean, noisy = _at(found, NONE, _attack(rate)), _at(found, noise, _attack(rate))
            if rate["protection"] == protection and clean and noisy:
                gains.append(clean.accepted_percent - rate.accepted_percent)
                over_noise.append(noisy.accepted_percent - rate.accepted_percent)
        if gains and max(gains) < LEAST_EFFECT_PERCENT:
            said.append(f"{protection} protects from nothing here: no row falls by {LEAST_EFFECT_PERCENT:.0f} points.")
        elif over_noise and max(over_noise) < LEAST_EFFECT_PERCENT:
            said.append(f"{protection} does no better than noise that costs a listener as much.")
    return said
