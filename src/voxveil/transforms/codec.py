"""A lossy codec there and back, as speech is stored and sent; libsndfile does the coding."""

from __future__ import annotations

import io
from dataclasses import dataclass

import soundfile as sf
import torch
import torch.nn.functional as F

from voxveil.roles import Speech


@dataclass(frozen=True)
class Codec:
    """``container`` and ``subtype`` as libsndfile names them; ``compression`` is 0 (largest files) … 1 (smallest).

    No gradient passes. What a codec adds at the end is cut off, and what it drops there is silent.

    >>> mp3 = Codec("MP3", "MPEG_LAYER_III", compression=0.99, sample_rate=16_000)
    >>> mp3(0.1 * torch.randn(1, 8000)).shape
    torch.Size([1, 8000])
    """

    container: str
    subtype: str
    compression: float
    sample_rate: int
    differentiable = False
    random = False
    keeps_length = True

    def __call__(self, speech: Speech) -> Speech:
        """The speech as it comes out of the decoder."""
        with torch.no_grad():
            return torch.stack([self._through(clip) for clip in speech])

    def _through(self, clip: torch.Tensor) -> torch.Tensor:
        file = io.BytesIO()
        samples = clip.cpu().numpy()
        sf.write(
            file, samples, self.sample_rate, self.subtype, format=self.container, compression_level=self.compression
        )
        file.seek(0)
        decoded = torch.as_tensor(sf.read(file, dtype="float32")[0])
        return F.pad(decoded, (0, max(0, len(clip) - len(decoded))))[: len(clip)].to(clip)
