"""The synthesizer of SV2TTS: text and a speaker embedding → mel spectrum; differentiable from the embedding.

Y. Jia et al., "Transfer Learning from Speaker Verification to Multispeaker Text-To-Speech Synthesis", NeurIPS 2018,
with the Tacotron of https://github.com/CorentinJ/Real-Time-Voice-Cloning. Names and shapes of the state dict are those
of the published ``synthesizer.pt`` (under ``model_state``), which loads with ``strict=True``. The embedding is that of
:class:`~voxveil.models.speaker.ge2e.GE2E`; the text goes through :mod:`voxveil.models.synthesis.english_text`; the mel
spectra are those of :mod:`voxveil.models.synthesis.tacotron_mel`, which the published WaveRNN takes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from voxveil.models.synthesis.cbhg import CBHG
from voxveil.models.synthesis.prenet import Prenet
from voxveil.models.synthesis.tacotron_decoder import Decoder, Memory, Step

PADDING = 0
MOST_FRAMES = 2000
LEAST_FRAMES = 11
"""No speech is over before a step begins after so many frames."""
SILENCE = -3.4


class Reading(NamedTuple):
    """A text as it was read; ``generate`` gives one for every clip, without the batch dimension.

    ``coarse`` and ``mel`` are before and after the postnet, ``attention`` says where the decoder looked at each step,
    and ``stop`` is the log odds at each step that the speech is over.
    """

    coarse: Float[Tensor, "*batch mel frame"]
    mel: Float[Tensor, "*batch mel frame"]
    attention: Float[Tensor, "*batch step char"]
    stop: Float[Tensor, "*batch step"]


class Encoder(nn.Module):
    """Symbols [batch, char] → [batch, char, width]: each as it is to be spoken where it stands.

    >>> encoder = Encoder(symbols=9, embedding_width=6, width=8, kernels=2, highways=1, dropout=0.5)
    >>> encoder(torch.tensor([[2, 3, 1]])).shape
    torch.Size([1, 3, 8])
    """

    def __init__(
        self, symbols: int, embedding_width: int, width: int, kernels: int, highways: int, dropout: float
    ) -> None:
        super().__init__()
        self.embedding = nn.Embedding(symbols, embedding_width)
        self.pre_net = Prenet(embedding_width, width, dropout)
        self.cbhg = CBHG(width, width, kernels, highways)

    def forward(
        self, text: Int[Tensor, "batch char"], generator: torch.Generator | None = None
    ) -> Float[Tensor, "batch char width"]:
        """The encoded text."""
        return self.cbhg(self.pre_net(self.embedding(text), generator).mT)


class Tacotron(nn.Module):
    """Text [batch, char] in a voice [batch, dim] → mel in −4 … 4, a frame every 12.5 ms; 30.9 million weights.

    ``symbols`` is the number of different symbols, of which 0 is padding; ``reduction`` that of mel frames a step.

    >>> network = Tacotron(speaker_dim=4, n_mels=6, embedding_width=8, encoder_width=8, decoder_width=4, lstm_width=8)
    >>> text, speaker = torch.tensor([[12, 40, 1], [13, 41, 1]]), torch.rand(2, 4)
    >>> network(text, torch.zeros(2, 6, 10), speaker).mel.shape
    torch.Size([2, 6, 10])
    >>> [reading.coarse.shape for reading in network.eval().generate(text, speaker, most_frames=4)]
    [torch.Size([6, 4]), torch.Size([6, 4])]
    """

    stop_threshold: Tensor

    def __init__(
        self,
        symbols: int = 66,
        speaker_dim: int = 256,
        n_mels: int = 80,
        embedding_width: int = 512,
        encoder_width: int = 256,
        decoder_width: int = 128,
        lstm_width: int = 1024,
        postnet_width: int = 512,
        kernels: int = 5,
        highways: int = 4,
        dropout: float = 0.5,
        reduction: int = 2,
    ) -> None:
        super().__init__()
        dim = encoder_width + speaker_dim
        self.n_mels = n_mels
        self.encoder = Encoder(symbols, embedding_width, encoder_width, kernels, highways, dropout)
        self.encoder_proj = nn.Linear(dim, decoder_width, bias=False)
        self.decoder = Decoder(n_mels, dim, decoder_width, lstm_width, dropout, reduction)
        self.postnet = CBHG(n_mels, postnet_width, kernels, highways)
        self.post_proj = nn.Linear(postnet_width, n_mels, bias=False)
        for parameter in self.parameters():
            if parameter.dim() > 1:
                nn.init.xavier_uniform_(parameter)
        # The published file holds these two as well; nothing here reads them.
        self.register_buffer("step", torch.zeros(1, dtype=torch.long))
        self.register_buffer("stop_threshold", torch.tensor(SILENCE))

    def forward(
        self,
        text: Int[Tensor, "batch char"],
        mel: Float[Tensor, "batch mel frame"],
        speaker: Float[Tensor, "batch dim"],
    ) -> Reading:
        """The text as it is read when every step is told the frame before it in ``mel``: for training.

        The last step gives all its frames, so there are as many as in ``mel``, rounded up to whole steps.
        """
        memory = self._memory(text, speaker, None)
        state = self.decoder.rest(memory)
        before = torch.cat([torch.zeros_like(mel[:, :, :1]), mel], dim=2)
        steps: list[Step] = []
        for start in range(0, mel.shape[2], int(self.decoder.r)):
            steps.append(self.decoder(before[:, :, start], state, memory))
            state = steps[-1].state
        coarse, attention, stop = _joined(steps)
        return Reading(coarse, self._sharpened(coarse), attention, stop)

    def generate(
        self,
        text: Int[Tensor, "batch char"],
        speaker: Float[Tensor, "batch dim"],
        seed: int = 0,
        most_frames: int = MOST_FRAMES,
    ) -> list[Reading]:
        """The text, spoken until each clip says that it is over, or for ``most_frames``; the network is in eval mode.

        A clip is the same in every batch: all lose the same entries to dropout, by ``seed`` alone, and each ends by
        itself; ``stop[-1]`` > 0 says that it did. Silence at its end is cut off ``coarse`` and ``mel``, which leaves
        no frame if there is nothing else. A gradient comes back to ``speaker``; where a clip ends has none.
        """
        generator = torch.Generator().manual_seed(seed)
        memory = self._memory(text, speaker, generator)
        state, before = self.decoder.rest(memory), memory.encoded.new_zeros(len(text), self.n_mels)
        over, lengths = (torch.zeros(len(text), dtype=kind, device=text.device) for kind in (torch.bool, torch.long))
        steps: list[Step] = []
        for start in range(0, most_frames, int(self.decoder.r)):
            steps.append(self.decoder(before, state, memory, generator))
            before, state = steps[-1].frames[:, :, -1], steps[-1].state
            lengths += ~over
            if start >= LEAST_FRAMES:
                over |= steps[-1].stop > 0.0
            if bool(over.all()):
                break
        coarse, attention, stop = _joined(steps)
        return [
            self._finished(coarse[row, :, : count * int(self.decoder.r)], attention[row, :count], stop[row, :count])
            for row, count in enumerate(lengths.tolist())
        ]

    def _memory(self, text: Tensor, speaker: Tensor, generator: torch.Generator | None) -> Memory:
        heard: Tensor = self.encoder(text, generator)
        encoded = torch.cat([heard, speaker[:, None].expand(-1, text.shape[1], -1)], dim=2)
        return Memory(encoded, self.encoder_proj(encoded), text != PADDING)

    def _sharpened(self, coarse: Tensor) -> Tensor:
        return self.post_proj(self.postnet(coarse)).mT

    def _finished(self, coarse: Tensor, attention: Tensor, stop: Tensor) -> Reading:
        mel = self._sharpened(coarse[None])[0]
        (loud,) = torch.nonzero(mel.amax(0) >= SILENCE, as_tuple=True)
        kept = int(loud[-1]) + 1 if len(loud) else 0
        return Reading(coarse[:, :kept], mel[:, :kept], attention, stop)


def _joined(steps: Sequence[Step]) -> tuple[Tensor, Tensor, Tensor]:
    """The frames, the attention and the stop token of all steps."""
    coarse = torch.cat([step.frames for step in steps], dim=2)
    return coarse, torch.stack([step.attention for step in steps], dim=1), torch.stack([s.stop for s in steps], dim=1)
