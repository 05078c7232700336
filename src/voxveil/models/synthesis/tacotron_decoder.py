"""Tacotron's decoder: step by step, where to look in the text, a few mel frames, and whether the speech is over.

A recurrent layer that has heard the last frame and read the last context asks the attention where to look; two more
with residual connections, held back at random in training (D. Krueger et al., "Zoneout: Regularizing RNNs by Randomly
Preserving Hidden Activations", ICLR 2017), turn what is read there into frames.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from voxveil.models.synthesis.location_attention import LocationAttention
from voxveil.models.synthesis.prenet import Prenet

MOST_FRAMES = 20
"""Frames that the projection has room for; training began with many a step, and a step uses the first few."""
ZONEOUT = 0.1

Recurrent = tuple[Tensor, Tensor]


class Memory(NamedTuple):
    """What the decoder reads: the encoded text in its voice, the same as keys, and where there is text."""

    encoded: Float[Tensor, "batch char dim"]
    keys: Float[Tensor, "batch char width"]
    written: Bool[Tensor, "batch char"]


class State(NamedTuple):
    """What the decoder remembers between two steps."""

    query: Float[Tensor, "batch width"]
    first: Recurrent
    second: Recurrent
    context: Float[Tensor, "batch dim"]
    attended: Float[Tensor, "batch char"]


class Step(NamedTuple):
    """What one step gives; ``stop`` is the log odds that the speech is over."""

    frames: Float[Tensor, "batch mel reduction"]
    attention: Float[Tensor, "batch char"]
    stop: Float[Tensor, " batch"]
    state: State


class Decoder(nn.Module):
    """The last frame [batch, mel], the state and the memory → a :class:`Step` of ``reduction`` frames, 20 at most.

    ``dim`` is that of an encoded character with its voice. ``r`` is the reduction that the weights were trained with.

    >>> decoder = Decoder(n_mels=6, dim=10, width=4, lstm_width=8, dropout=0.5, reduction=2)
    >>> memory = Memory(torch.randn(2, 7, 10), torch.randn(2, 7, 4), torch.ones(2, 7, dtype=torch.bool))
    >>> step = decoder(torch.zeros(2, 6), decoder.rest(memory), memory)
    >>> step.frames.shape, step.stop.shape
    (torch.Size([2, 6, 2]), torch.Size([2]))
    """

    r: Int[Tensor, ""]

    def __init__(self, n_mels: int, dim: int, width: int, lstm_width: int, dropout: float, reduction: int) -> None:
        super().__init__()
        self.prenet = Prenet(n_mels, 2 * width, dropout)
        self.attn_net = LocationAttention(width)
        self.attn_rnn = nn.GRUCell(dim + 2 * width, width)
        self.rnn_input = nn.Linear(dim + width, lstm_width)
        self.res_rnn1 = nn.LSTMCell(lstm_width, lstm_width)
        self.res_rnn2 = nn.LSTMCell(lstm_width, lstm_width)
        self.mel_proj = nn.Linear(lstm_width, n_mels * MOST_FRAMES, bias=False)
        self.stop_proj = nn.Linear(dim + lstm_width, 1)
        self.register_buffer("r", torch.tensor(reduction, dtype=torch.int))

    def rest(self, memory: Memory) -> State:
        """The state before the first step."""
        rows, chars, dim = memory.encoded.shape
        query, cell, context, attended = (
            memory.encoded.new_zeros(rows, size)
            for size in (self.attn_rnn.hidden_size, self.res_rnn1.hidden_size, dim, chars)
        )
        return State(query, (cell, cell), (cell, cell), context, attended)

    def forward(
        self,
        before: Float[Tensor, "batch mel"],
        state: State,
        memory: Memory,
        generator: torch.Generator | None = None,
    ) -> Step:
        """The next step; ``generator`` is that of :class:`~voxveil.models.synthesis.prenet.Prenet`."""
        heard = torch.cat([state.context, self.prenet(before, generator)], dim=1)
        query = self.attn_rnn(heard, state.query)
        attention: Tensor = self.attn_net(query, memory.keys, state.attended, memory.written)
        context = (attention[:, None] @ memory.encoded)[:, 0]
        features = self.rnn_input(torch.cat([context, query], dim=1))
        first = self._moved(self.res_rnn1, features, state.first)
        features = features + first[0]
        second = self._moved(self.res_rnn2, features, state.second)
        features = features + second[0]
        frames = self.mel_proj(features).unflatten(1, (-1, MOST_FRAMES))[:, :, : int(self.r)]
        stop = self.stop_proj(torch.cat([features, context], dim=1))[:, 0]
        return Step(frames, attention, stop, State(query, first, second, context, state.attended + attention))

    def _moved(self, layer: nn.LSTMCell, features: Tensor, before: Recurrent) -> Recurrent:
        hidden, cell = layer(features, before)
        if not self.training:
            return hidden, cell
        held = torch.zeros_like(hidden).bernoulli_(ZONEOUT)
        return before[0] * held + hidden * (1.0 - held), cell
