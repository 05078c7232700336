"""What the stations do to the speech; the work that cells share is done once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

from voxveil import __version__
from voxveil.audio.resample import resample
from voxveil.bench import parts as made
from voxveil.bench.grid import ANOTHER_SPEAKER, NOISE
from voxveil.bench.kept_audio import Clips, Keeper
from voxveil.bench.scenario import NONE, STATIONS, Part, Slice, key_of
from voxveil.bench.speech import SAMPLE_RATE, SENTENCES, Speech
from voxveil.metrics import quality
from voxveil.metrics.noise_control import noise_of_equal_quality
from voxveil.roles import Clip
from voxveil.verify.verifier import Verifier

BATCH = 8
REMEMBERED = 4
"""So many stations' clips stay in memory; what they are made from, and the noise beside them, is among these."""

Row = dict[str, Any]
"""What one cell says of one utterance."""


@dataclass(frozen=True)
class Cost:
    """What a protection costs a listener, a clip."""

    pesq_wb: float
    stoi: float
    snr_db: float


class Worker:
    """Holds the models and the speech; every number depends on the scenario alone, not on what was asked before.

    Clips are 16-bit samples after every station, as files between defender and attacker are.
    """

    def __init__(self, speech: Speech, seed: int, device: str, kept: Keeper, asked: Sequence[str] = ()) -> None:
        self.speech, self.seed, self.device, self.kept, self.asked = speech, seed, device, kept, tuple(asked)
        self.protector = lru_cache(maxsize=2)(lambda part: made.protector(part, device))
        self.cloner = lru_cache(maxsize=4)(lambda part: made.cloner(part, device))
        self.verifier: Callable[[Part], Verifier] = lru_cache(maxsize=16)(lambda part: made.verifier(part, device))
        self.clips = lru_cache(maxsize=REMEMBERED)(self._clips)
        self.costs = lru_cache(maxsize=REMEMBERED)(self._costs)
        self.opinions = lru_cache(maxsize=REMEMBERED)(self._opinions)
        self.enrolled = lru_cache(maxsize=16)(self._enrolled)

    def rows(self, parts: tuple[Part, ...]) -> list[Row]:
        """One row an utterance of the cell ``parts``."""
        chain, verifier = parts[:-1], self.verifier(parts[-1])
        probes, voices, costs = self.clips(chain), self.enrolled(parts[-1]), self.costs(parts[0])
        heard = self.opinions(without_idle_end(chain))
        cloned = chain[-1].name != NONE
        rows: list[Row] = []
        for speaker, spoken in probes.items():
            takes = (self.speech.contents if cloned else self.speech.references)[speaker]
            mean = _mean(costs[speaker])
            for index, (take, clip) in enumerate(zip(takes, spoken, strict=True)):
                score = float(verifier.score(voices[speaker], clip[None].to(self.device)))
                cost = mean if cloned else costs[speaker][index]
                rows.append(
                    {
                        "speaker": speaker,
                        "utterance": take.name,
                        "score": score,
                        "threshold": verifier.threshold,
                        "accepted": score >= verifier.threshold,
                        "pesq_wb": None if cost is None else cost.pesq_wb,
                        "stoi": None if cost is None else cost.stoi,
                        "snr_db": None if cost is None else cost.snr_db,
                        **heard[speaker][index],
                    }
                )
        return rows

    def keep_clean(self) -> None:
        """Leaves the references as they were, which no station makes, with what is kept."""
        clean = {speaker: [_as_file(clip) for clip in spoken] for speaker, spoken in self.clips(()).items()}
        self.kept.write(audio_key(self.speech.slice, (), self.seed), clean)

    def _clips(self, chain: tuple[Part, ...]) -> Clips:
        """What comes out of the last station of ``chain``, for every speaker."""
        if not chain:
            return {speaker: [take.clip for take in takes] for speaker, takes in self.speech.references.items()}
        *before, part = chain
        if part.name == NONE:
            return self.clips(tuple(before))
        key = audio_key(self.speech.slice, chain, self.seed)
        found = self.kept.read(key)
        if found is None:
            found = {
                speaker: [_as_file(clip) for clip in clips]
                for speaker, clips in self._passed(STATIONS[len(before)], part, tuple(before)).items()
            }
            self.kept.write(key, found)
        return found

    def _passed(self, station: str, part: Part, before: tuple[Part, ...]) -> Clips:
        if part.name == NOISE:
            return self._noise(dict(part.settings)["of"])
        if part.name == ANOTHER_SPEAKER:
            names = self.speech.speakers
            clean = self.clips(())
            return {name: clean[other] for name, other in zip(names, names[1:] + names[:1], strict=True)}
        if station == "protection":
            protector = self.protector(part)
            return self._in_batches(self.clips(()), lambda batch: protector(batch[:, None], self.seed)[:, 0])
        if station == "cloner":
            return self._cloned(part, self.clips(before))
        transform = made.transform(station, part, self.seed)
        return self._in_batches(self.clips(before), transform)

    def _cloned(self, part: Part, references: Clips) -> Clips:
        cloner = self.cloner(part)
        clones: Clips = {}
        for speaker, reference in references.items():
            heard = [self._at(clip, SAMPLE_RATE, cloner.sample_rate) for clip in reference]
            takes = self.speech.contents[speaker]
            said = [
                SENTENCES[index % len(SENTENCES)]
                if cloner.takes == "text"
                else self._at(take.clip, SAMPLE_RATE, cloner.sample_rate)
                for index, take in enumerate(takes)
            ]
            clones[speaker] = [
                self._at(clone, cloner.sample_rate, SAMPLE_RATE).cpu() for clone in cloner(heard, said, self.seed)
            ]
        return clones

    def _noise(self, of: Part) -> Clips:
        clean, protected = self.clips(()), self.clips((of,))
        sounds = {speaker: [_sound(clip) for clip in clips] for speaker, clips in clean.items()}
        noisy: Clips = {}
        for speaker, spoken in sounds.items():
            target = np.mean([_pesq(c, _sound(p)) for c, p in zip(spoken, protected[speaker], strict=True)])
            made_noisy, _ = noise_of_equal_quality(spoken, _pesq, float(target), self.seed)
            noisy[speaker] = [torch.as_tensor(sound, dtype=torch.float32) for sound in made_noisy]
        return noisy

    def _in_batches(self, clips: Clips, work: Callable[[Tensor], Tensor]) -> Clips:
        """``work`` on clips of equal length together, whoever speaks."""
        out: Clips = {speaker: list(spoken) for speaker, spoken in clips.items()}
        places = [(speaker, index) for speaker, spoken in clips.items() for index in range(len(spoken))]
        by_length: dict[int, list[tuple[str, int]]] = {}
        for speaker, index in places:
            by_length.setdefault(len(clips[speaker][index]), []).append((speaker, index))
        for same in by_length.values():
            for first in range(0, len(same), BATCH):
                chosen = same[first : first + BATCH]
                batch = torch.stack([clips[speaker][index] for speaker, index in chosen]).to(self.device)
                for (speaker, index), clip in zip(chosen, work(batch).detach().cpu(), strict=True):
                    out[speaker][index] = clip
        return out

    def _costs(self, protection: Part) -> dict[str, list[Cost | None]]:
        """What the protection costs, clip by clip; nothing where somebody else speaks."""
        clean, protected = self.clips(()), self.clips((protection,))
        other = protection.name == ANOTHER_SPEAKER
        return {
            speaker: [None if other else _cost(c, p) for c, p in zip(spoken, protected[speaker], strict=False)]
            for speaker, spoken in clean.items()
        }

    def _opinions(self, chain: tuple[Part, ...]) -> dict[str, list[dict[str, float]]]:
        """What listeners would say of every clip that comes out of ``chain``, by whom was asked."""
        predict = {name: made.opinion(name) for name in self.asked}
        return {
            speaker: [{name: ask(_sound(clip), SAMPLE_RATE) for name, ask in predict.items()} for clip in spoken]
            for speaker, spoken in self.clips(chain).items()
        }

    def _enrolled(self, verifier: Part) -> dict[str, Tensor]:
        judge = self.verifier(verifier)
        return {
            speaker: judge.enrol([take.clip[None].to(self.device) for take in takes])
            for speaker, takes in self.speech.enrolment.items()
        }

    def _at(self, clip: Clip, rate: int, wanted: int) -> Clip:
        if rate == wanted:
            return clip.to(self.device)
        moved = resample(clip[None].double().cpu().numpy(), rate, wanted)[0]
        return torch.as_tensor(moved, dtype=torch.float32, device=self.device)


def audio_key(speech: Slice, chain: Sequence[Part], seed: int) -> str:
    """The key of what comes out of the stations that ``chain`` fills, one or more.

    Stations that do nothing at the end are left out: what passes them is what went in.
    """
    doing = without_idle_end(chain)
    return key_of(speech, doing, seed, made.weights_of(doing), __version__)


def without_idle_end(chain: Sequence[Part]) -> tuple[Part, ...]:
    """``chain`` up to its last station that does something.

    >>> [part.name for part in without_idle_end([Part("none"), Part("telephone"), Part("none")])]
    ['none', 'telephone']
    """
    doing = list(chain)
    while doing and doing[-1].name == NONE:
        doing.pop()
    return tuple(doing)


def _as_file(clip: Clip) -> Clip:
    return (clip.cpu() * 32_768.0).round().clamp(-32_768.0, 32_767.0) / 32_768.0


def _sound(clip: Clip) -> quality.Sound:
    return clip.double().numpy()


def _pesq(clean: quality.Sound, other: quality.Sound) -> float:
    return quality.pesq(clean, other, SAMPLE_RATE)


def _cost(clean: Clip, protected: Clip) -> Cost:
    pair = _sound(clean), _sound(protected)
    return Cost(_pesq(*pair), quality.stoi(*pair, SAMPLE_RATE), quality.snr_db(*pair))


def _mean(costs: Sequence[Cost | None]) -> Cost | None:
    there = [cost for cost in costs if cost is not None]
    if len(there) < len(costs):
        return None
    means = np.mean([[cost.pesq_wb, cost.stoi, cost.snr_db] for cost in there], axis=0)
    return Cost(*map(float, means))
