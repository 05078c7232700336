"""Decisions and error rates for people: short tables and plain sentences."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from voxveil.verification import Decision
from voxveil.verify.evaluate import Evaluation
from voxveil.verify.trials import Trial, recordings, speakers

FEW_SPEAKERS = 10


def decision_lines(decisions: Sequence[Decision]) -> list[str]:
    r"""What every system says of every probe; the last sentence never says "safe".

    >>> said = [Decision("DV-COS", "a.wav", 0.81, 0.74, True), Decision("ECAPA-COS", "a.wav", 0.1, 0.25, False)]
    >>> print("\n".join(decision_lines(said)))
    a.wav
      system         score  threshold
      DV-COS         0.810      0.740  accepted
      ECAPA-COS      0.100      0.250  refused
    Accepted in 1 of 2 comparisons; every threshold errs now and then, and systems that were not asked may differ.
    """
    width = _width(one.system for one in decisions)
    out: list[str] = []
    shown = None
    for one in decisions:
        if one.probe != shown:
            out += [one.probe, f"  {'system':<{width}}{'score':>9}{'threshold':>11}"]
            shown = one.probe
        said = "accepted" if one.accepted else "refused"
        out.append(f"  {one.system:<{width}}{one.score:>9.3f}{one.threshold:>11.3f}  {said}")
    accepted, of = sum(one.accepted for one in decisions), len(decisions)
    return [
        *out,
        f"Accepted in {accepted} of {of} comparison{'s' if of > 1 else ''}; every threshold errs now and then, and "
        "systems that were not asked may differ.",
    ]


def evaluation_lines(
    trials: Sequence[Trial], found: Mapping[str, Evaluation], thresholds: Mapping[str, float | None]
) -> list[str]:
    r"""What was judged, then one line a system.

    ``thresholds`` are those to whose rates the columns FRR and FAR belong; None leaves them out.

    >>> import numpy as np
    >>> from pathlib import Path
    >>> from voxveil.audio.corpus import Utterance
    >>> ann, bob = Utterance("ann", Path("1.wav")), Utterance("bob", Path("2.wav"))
    >>> one = Evaluation(np.array([0.9, 0.7]), np.array([0.1, 0.8]), 0.5, 0.25, 0.75, 0.5, {})
    >>> judged = [Trial(True, ann, ann)] * 2 + [Trial(False, ann, bob)] * 2
    >>> print("\n".join(evaluation_lines(judged, {"DV-COS": one, "RN-COS": one}, {"DV-COS": 0.75, "RN-COS": None})))
    2 speakers, 2 recordings, 4 trials: 2 of one speaker, 2 of two
      system       threshold   EER %   95 % interval   FRR %   FAR %  minDCF
      DV-COS           0.750   50.00  25.00 to 75.00   50.00   50.00   0.500
      RN-COS               –   50.00  25.00 to 75.00       –       –   0.500
    With fewer than ten speakers the intervals are too narrow.
    """
    width = _width(found)
    same = sum(trial.same for trial in trials)
    people = len(speakers(trials))
    out = [
        f"{people} speakers, {len(recordings(trials))} recordings, {len(trials)} trials: "
        f"{same} of one speaker, {len(trials) - same} of two",
        f"  {'system':<{width}}{'threshold':>11}{'EER %':>8}{'95 % interval':>16}{'FRR %':>8}{'FAR %':>8}{'minDCF':>8}",
    ]
    for name, one in found.items():
        threshold = thresholds[name]
        at = f"{'–':>11}" if threshold is None else f"{threshold:>11.3f}"
        rates = (None, None) if threshold is None else one.rates_at(threshold)
        interval = f"{100 * one.eer_low:.2f} to {100 * one.eer_high:.2f}"
        errors = "".join(f"{'–':>8}" if rate is None else f"{100 * rate:>8.2f}" for rate in rates)
        out.append(f"  {name:<{width}}{at}{100 * one.eer:>8.2f}{interval:>16}{errors}{one.min_dcf:>8.3f}")
    if people < FEW_SPEAKERS:
        out.append("With fewer than ten speakers the intervals are too narrow.")
    return out


def _width(names: Iterable[str]) -> int:
    return 2 + max(9, *map(len, names))
