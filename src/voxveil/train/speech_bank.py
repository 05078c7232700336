"""All training speech in memory, and random crops of it: every speed of a speaker counts as another speaker.

T. Ko, V. Peddinti, D. Povey, S. Khudanpur, "Audio Augmentation for Speech Recognition", Interspeech 2015 (speed);
H. Yamamoto et al., "Speaker Augmentation and Bandwidth Extension for Deep Speaker Embedding", Interspeech 2019: a voice
played faster is higher and has a shorter vocal tract, so it belongs to somebody else.
"""

from __future__ import annotations

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

    ``speeds`` are playing speeds, 1 among them; speaker s at speed k is class s + k · speakers.

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
        names = sorted(set(speakers))
        whole = [torch.as_tensor(np.round(_FULL_SCALE * clip).astype(np.int16)) for clip in utterances]
        self.speeds = speeds
        self.speakers = len(names)
        self._samples = torch.cat(whole).to(device)
        self._lengths = torch.tensor([len(clip) for clip in whole])
        self._starts = torch.cumsum(self._lengths, 0) - self._lengths
        owner = torch.tensor([names.index(speaker) for speaker in speakers])
        # Utterances in the order of their speakers: one speaker's are then a range.
        self._order = torch.argsort(owner, stable=True)
        self._counts = torch.bincount(owner, minlength=len(names))

    @property
    def classes(self) -> int:
        """Speakers times speeds."""
        return self.speakers * len(self.speeds)

    @property
    def seconds(self) -> float:
        """How long all utterances last, at 16 kHz."""
        return float(self._lengths.sum()) / SAMPLE_RATE

    def crops(
        self, count: int, samples: int, generator: Generator
    ) -> tuple[Float[Tensor, "count samples"], Int[Tensor, " count"]]:
        """``count`` crops of equally probable speakers and speeds, and their classes.

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
        for index, factor in enumerate(self.speeds):
            mine = torch.nonzero(speed == index)[:, 0]
            read = self._read(utterance[mine], where[mine], round(samples * factor))
            speech[mine.to(speech.device)] = stretched(read, samples)
        return speech, speaker + speed * self.speakers

    def _read(self, utterance: Tensor, where: Tensor, samples: int) -> Tensor:
        lengths = self._lengths[utterance]
        first = (where * (lengths - samples + 1).clamp_min(1)).long()
        within = (first[:, None] + torch.arange(samples)) % lengths[:, None]
        taken = self._samples[(self._starts[utterance][:, None] + within).to(self._samples.device)]
        return taken.float() / _FULL_SCALE


def stretched(speech: Float[Tensor, "batch time"], samples: int) -> Float[Tensor, "batch samples"]:
    """``speech`` played in ``samples`` samples: a Fourier series of the crop, read at other times.

    >>> tone = torch.sin(2 * torch.pi * 5 / 64 * torch.arange(64))[None]
    >>> faster = torch.sin(2 * torch.pi * 5 / 48 * torch.arange(48))[None]
    >>> bool(torch.allclose(stretched(tone, 48), faster, atol=1e-5))
    True
    """
    length = speech.shape[-1]
    if length == samples:
        return speech
    return torch.fft.irfft(torch.fft.rfft(speech)[:, : samples // 2 + 1], samples) * (samples / length)
