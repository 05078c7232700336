"""What an audit found, as data and in plain sentences. None of them says "safe"."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from voxveil.bench.scenario import NONE


@dataclass(frozen=True)
class Attack:
    """A purifier, a cloner and the verifier that judges: accepted means that the attack got through.

    ``clean_score`` and ``clean_accepted`` are the same attack's on the clean recording; None where there is none.
    ``nearness`` makes scores of different verifiers comparable: 0 at the threshold, 1 for the enrolled voice itself.
    """

    purifier: str
    cloner: str
    verifier: str
    score: float
    threshold: float
    accepted: bool
    clean_score: float | None
    clean_accepted: bool | None
    nearness: float

    @property
    def words(self) -> str:
        """What the attacker did.

        >>> Attack("resample", "knn-vc", "DV-COS", 0.8, 0.7, True, 0.9, True, 0.3).words
        'knn-vc after resample'
        """
        what = "the recording itself" if self.cloner == NONE else self.cloner
        return what if self.purifier == NONE else f"{what} after {self.purifier}"


@dataclass(frozen=True)
class Audit:
    """All attacks on a recording. ``enrolment`` says what the speaker was enrolled with.

    ``blind`` are verifiers that take even the voice that clones are made from for the speaker.
    """

    recording: str
    clean: str | None
    enrolment: str
    attacks: tuple[Attack, ...]
    blind: tuple[str, ...]

    @property
    def passed(self) -> list[Attack]:
        """The attacks that got through."""
        return [attack for attack in self.attacks if attack.accepted]

    @property
    def worst(self) -> Attack:
        """The attack that got furthest."""
        return max(self.attacks, key=lambda attack: attack.nearness)

    def as_json(self) -> dict[str, Any]:
        """Plain data for ``json.dump``."""
        return {
            "recording": self.recording,
            "clean": self.clean,
            "enrolment": self.enrolment,
            "attacks": [asdict(attack) for attack in self.attacks],
            "passed": len(self.passed),
            "total": len(self.attacks),
            "worst": asdict(self.worst),
            "verdict": self.verdict(),
        }

    def verdict(self) -> list[str]:
        """Plain sentences: what got through, what that proves, and what it does not.

        >>> one = Attack("none", "knn-vc", "DV-COS", 0.8, 0.74, True, 0.9, True, 0.23)
        >>> print(Audit("a.wav", "b.wav", "other recordings", (one,), ()).verdict()[0])
        1 of 1 attacks got through; the worst was knn-vc, which DV-COS scored 0.80 (threshold 0.74).
        """
        worst = self.worst
        what = f"{worst.words}, which {worst.verifier} scored {worst.score:.2f} (threshold {worst.threshold:.2f})"
        count = len(self.passed)
        first = (
            f"{count} of {len(self.attacks)} attacks got through; the worst was {what}."
            if count
            else f"None of {len(self.attacks)} attacks got through; the nearest was {what}."
        )
        return [first, self._control(), *self._enrolment(), *self._blindness(), _LAST]

    def _control(self) -> str:
        if self.clean is None:
            return "Whether these attacks work at all is not known: give the clean recording with --clean."
        working = [attack for attack in self.attacks if attack.clean_accepted]
        idle = len(self.attacks) - len(working)
        if not working:
            return "None of them gets through on the clean recording either: this audit proves nothing."
        both = sum(attack.accepted for attack in working)
        said = f"On the clean recording {len(working)} of them succeed; of these {both} got through here."
        return said + (f" Another {idle} failed on clean speech too, which proves nothing." if idle else "")

    def _enrolment(self) -> Sequence[str]:
        if self.enrolment == "other recordings":
            return []
        if self.clean is not None:
            return ["The speaker was enrolled from the clean recording itself: --enrol with others is a fairer judge."]
        return [
            "Only the clones were judged, against the voice that is in the recording and may not be the speaker's any "
            "more: name other recordings of the speaker with --enrol."
        ]

    def _blindness(self) -> Sequence[str]:
        if not self.blind:
            return []
        said = ", ".join(self.blind)
        return [f"Taken for the speaker by {said}: even the voice that the clones are made from, so a pass means less."]


_LAST = "Attackers who were not tested, and any who take more time, may do better."
