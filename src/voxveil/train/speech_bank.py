"""All training speech in memory, and random crops of it: every speed of a speaker counts as another speaker.

T. Ko, V. Peddinti, D. Povey, S. Khudanpur, "Audio Augmentation for Speech Recognition", Interspeech 2015 (speed);
H. Yamamoto et al., "Speaker Augmentation and Bandwidth Extension for Deep Speaker Embedding", Interspeech 2019: a voice
played faster is higher and has a shorter vocal tract, so it belongs to somebody else.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy.typing import NDArray
from torch import Generator, Tensor

SAMPLE_RATE = 16_000
_FULL_SCALE = 32_767.0


class SpeechBank:
    """Utterances of speakers 0, 1, … at 16 kHz as 16-bit samples one after the other, 115 MB an hour.

    ``utterances`` are mono, within ±1 and not empty, and are read one by one; ``speakers`` names who speaks in each.
    The speakers' numbers follow the order of their names. ``speeds`` are playing speeds; speaker s at speed k is class
    s + k · speakers. The samples lie on ``device``, and what is random is drawn on the CPU: a seed means the same
    crops wherever they are made.

    Raises ``ValueError`` if there are more or fewer names than utterances.

    >>> bank = SpeechBank([np.ones(100, np.float32), np.zeros(90, np.float32)], ["ann", "bob"], speeds=(1.0, 1.25))
    >>> speech, classes = bank.crops(4, 50, Generator().manual_seed(0))
    >>> speech.shape, bank.classes, bool((classes < 4).all())
    (torch.Size([4, 50]), 4, True)
    """

    def __init__(
        self,
        utterances: Iterable[NDArray[np.float32]],
        speakers: Sequence[str],
        speeds: tuple[float, ...] = (1.0,),
        device: torch.device | None = None,
    ) -> None:
        numbers = {name: number for number, name in enumerate(sorted(set(speakers)))}
        samples, lengths = bytearray(), []
        # It grows in place: utterances that are kept and joined in the end take twice the memory.
        for clip, _ in zip(utterances, speakers, strict=True):
            samples += np.round(_FULL_SCALE * clip.clip(-1.0, 1.0)).astype(np.int16).tobytes()
            lengths.append(len(clip))
        self.speeds = speeds
        self.speakers = len(numbers)
        self._samples = torch.frombuffer(samples, dtype=torch.int16).to(device)
        self._lengths = torch.tensor(lengths)
        self._starts = torch.cumsum(self._lengths, 0) - self._lengths
        owner = torch.tensor([numbers[speaker] for speaker in speakers])
        # Utterances in the order of their speakers: one speaker's are then a range.
        self._order = torch.argsort(owner, stable=True)
        self._counts = torch.bincount(owner)

    @property
    def classes(self) -> int:
        """Speakers times speeds."""
        return self.speakers * len(self.speeds)

    @property
    def seconds(self) -> float:
        """How long all utterances last, at 16 kHz."""
        return float(self._lengths.sum()) / SAMPLE_RATE

    def fingerprint(self) -> str:
        """64 hexadecimal digits that change with every sample, with who speaks where, and with the speeds."""
        digest = hashlib.sha256(self._samples.cpu().numpy().data)
        digest.update(repr([self.speeds, *(t.tolist() for t in (self._lengths, self._order, self._counts))]).encode())
        return digest.hexdigest()

    def crops(
        self, count: int, samples: int, generator: Generator
    ) -> tuple[Float[Tensor, "count samples"], Int[Tensor, " count"]]:
        """``count`` crops of equally probable speakers and speeds on the bank's device, and their classes on the CPU.

        An utterance that is too short for a crop is repeated.
        """
        speaker = torch.randint(self.speakers, (count,), generator=generator)
        pick = (torch.rand(count, generator=generator) * self._counts[speaker]).long()
        utterance = self._order[(torch.cumsum(self._counts, 0) - self._counts)[speaker] + pick]
        # One speed for every k-th crop keeps the batch in few Fourier transforms.
        turn = torch.randint(len(self.speeds), (1,), generator=generator)
        speed = (torch.arange(count) + turn) % len(self.speeds)
        where = torch.rand(count, generator=generator)
        speech = torch.empty(count, samples, device=self._samples.device)
        # Only the speeds that came up: some libraries refuse a Fourier transform of no crops.
        for index in sorted(set(speed.tolist())):
            mine = torch.nonzero(speed == index)[:, 0]
            read = self._read(utterance[mine], where[mine], round(samples * self.speeds[index]))
            speech[mine.to(speech.device)] = stretched(read, samples)
        return speech, speaker + speed * self.speakers

    def _read(self, utterance: Tensor, where: Tensor, samples: int) -> Tensor:
        lengths = self._lengths[utterance]
        first = (where * (lengths - samples + 1).clamp_min(1)).long()
        # These few numbers travel to the device; the place of every sample is found there.
        device = self._samples.device
        starts, first, lengths = (part.to(device)[:, None] for part in (self._starts[utterance], first, lengths))
        within = (first + torch.arange(samples, device=device)) % lengths
        return self._samples[starts + within].float() / _FULL_SCALE


def stretched(speech: Float[Tensor, "batch time"], samples: int) -> Float[Tensor, "batch samples"]:
    """``speech`` played in ``samples`` samples: a Fourier series of the crop, read at other times.

    Every frequency is multiplied by length / ``samples``; what would lie above half the sample rate is left out. The
    series takes the crop for periodic, so the first and the last few samples bend towards each other.

    >>> tone = torch.sin(2 * torch.pi * 5 / 64 * torch.arange(64))[None]
    >>> faster = torch.sin(2 * torch.pi * 5 / 48 * torch.arange(48))[None]
    >>> bool(torch.allclose(stretched(tone, 48), faster, atol=1e-5))
    True
    """
    length = speech.shape[-1]
    if length == samples:
        return speech
    return torch.fft.irfft(torch.fft.rfft(speech)[:, : samples // 2 + 1], samples) * (samples / length)
