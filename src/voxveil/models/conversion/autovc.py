"""AutoVC, differentiable from both mel spectrograms and both speaker vectors.

K. Qian, Y. Zhang, S. Chang, X. Yang, M. Hasegawa-Johnson, "AutoVC: Zero-Shot Voice Style Transfer with Only
Autoencoder Loss", ICML 2019. Names and shapes of the state dicts are those of the published ``autovc.ckpt`` (under
``model``) and of its speaker encoder ``3000000-BL.ckpt`` (under ``model_b``; see :func:`speaker_state`), which load
with ``strict=True``.

Autoencoding through a narrow code: it has room for what is said, and who speaks is told to both sides. The front end
is :mod:`voxveil.models.conversion.autovc_mel`.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from voxveil.models.recurrent import through

KERNEL = 5
CROP_FRAMES = 128


class Encoder(nn.Module):
    """Mel spectrum and its speaker → codes, one for ``down_sampling`` frames.

    Three convolutions and a bidirectional LSTM of two layers. The code of a window is the forward half at its last
    frame and the backward half at its first: both have heard all of it.

    >>> encoder = Encoder(n_mels=20, speaker_dim=6, width=8, code_dim=3, down_sampling=16)
    >>> encoder(torch.randn(2, 20, 48), torch.randn(2, 6)).shape
    torch.Size([2, 3, 6])
    """

    def __init__(self, n_mels: int, speaker_dim: int, width: int, code_dim: int, down_sampling: int) -> None:
        super().__init__()
        widths = (n_mels + speaker_dim, width, width)
        self.convolutions = nn.ModuleList(_convolution(width_in, width, "relu") for width_in in widths)
        self.lstm = nn.LSTM(width, code_dim, num_layers=2, batch_first=True, bidirectional=True)
        self.down_sampling = down_sampling

    def forward(
        self, mel: Float[Tensor, "batch mel frame"], speaker: Float[Tensor, "batch dim"]
    ) -> Float[Tensor, "batch code dim2"]:
        """What is said, little by little; the frames are a multiple of ``down_sampling``."""
        frames = torch.cat([mel, speaker[:, :, None].expand(-1, -1, mel.shape[2])], dim=1)
        for layer in self.convolutions:
            frames = torch.relu(layer(frames))
        heard, _ = through(self.lstm, frames.mT)
        forward, backward = heard.reshape(len(heard), -1, self.down_sampling, heard.shape[2]).chunk(2, dim=3)
        return torch.cat([forward[:, :, -1], backward[:, :, 0]], dim=2)


class Decoder(nn.Module):
    """Frames of code and speaker → mel spectrum: an LSTM, three convolutions, two more LSTM layers, a projection.

    >>> Decoder(width_in=12, width=8, lstm_width=10, n_mels=20)(torch.randn(2, 48, 12)).shape
    torch.Size([2, 20, 48])
    """

    def __init__(self, width_in: int, width: int, lstm_width: int, n_mels: int) -> None:
        super().__init__()
        self.lstm1 = nn.LSTM(width_in, width, batch_first=True)
        self.convolutions = nn.ModuleList(_convolution(width, width, "relu") for _ in range(3))
        self.lstm2 = nn.LSTM(width, lstm_width, num_layers=2, batch_first=True)
        projection: nn.Module = nn.Linear(lstm_width, n_mels)
        self.linear_projection = nn.Sequential(OrderedDict(linear_layer=projection))

    def forward(self, codes: Float[Tensor, "batch frame dim"]) -> Float[Tensor, "batch mel frame"]:
        """The mel spectrum before the postnet."""
        frames = through(self.lstm1, codes)[0].mT
        for layer in self.convolutions:
            frames = torch.relu(layer(frames))
        return self.linear_projection(through(self.lstm2, frames.mT)[0]).mT


class Postnet(nn.Module):
    """What five convolutions add to a mel spectrum to sharpen it.

    >>> Postnet(n_mels=20, width=8)(torch.randn(2, 20, 48)).shape
    torch.Size([2, 20, 48])
    """

    def __init__(self, n_mels: int, width: int) -> None:
        super().__init__()
        inner = (_convolution(width_in, width, "tanh") for width_in in (n_mels, width, width, width))
        self.convolutions = nn.ModuleList([*inner, _convolution(width, n_mels, "linear")])

    def forward(self, mel: Float[Tensor, "batch mel frame"]) -> Float[Tensor, "batch mel frame"]:
        """The correction."""
        for layer in self.convolutions[:-1]:
            mel = torch.tanh(layer(mel))
        return self.convolutions[-1](mel)


class AutoVC(nn.Module):
    """The content's mel spectrum, its speaker and another speaker → the same in the other voice; 28 million weights.

    Mel spectra are those of ``AutoVCMel``, speakers those of :meth:`SpeakerEncoder.speaker`. The defaults are the
    published sizes; those of the authors' training script are ``code_dim=16, down_sampling=16``.

    >>> network = AutoVC(n_mels=20, speaker_dim=6, width=8, lstm_width=10, code_dim=3, down_sampling=16).eval()
    >>> network(torch.rand(2, 20, 50), torch.randn(2, 6), torch.randn(2, 6)).shape
    torch.Size([2, 20, 50])
    """

    def __init__(
        self,
        n_mels: int = 80,
        speaker_dim: int = 256,
        width: int = 512,
        lstm_width: int = 1024,
        code_dim: int = 32,
        down_sampling: int = 32,
    ) -> None:
        super().__init__()
        self.encoder = Encoder(n_mels, speaker_dim, width, code_dim, down_sampling)
        self.decoder = Decoder(2 * code_dim + speaker_dim, width, lstm_width, n_mels)
        self.postnet = Postnet(n_mels, width)

    def forward(
        self,
        content: Float[Tensor, "batch mel frame"],
        speaker: Float[Tensor, "batch dim"],
        reference: Float[Tensor, "batch dim"],
    ) -> Float[Tensor, "batch mel frame"]:
        """The converted mel spectra, as long as the content; ``speaker`` is the voice of the content."""
        _, _, converted = self.stages(content, speaker, reference)
        return converted

    def stages(
        self,
        content: Float[Tensor, "batch mel frame"],
        speaker: Float[Tensor, "batch dim"],
        reference: Float[Tensor, "batch dim"],
    ) -> tuple[Float[Tensor, "batch code dim2"], Float[Tensor, "batch mel frame"], Float[Tensor, "batch mel frame"]]:
        """The codes, and the mel spectra before and after the postnet: the training loss compares all three.

        The content is filled with zeros to whole codes.
        """
        frames, every = content.shape[2], self.encoder.down_sampling
        codes: Tensor = self.encoder(F.pad(content, (0, -frames % every)), speaker)
        spread = codes.repeat_interleave(every, dim=1)
        voiced = torch.cat([spread, reference[:, None].expand(-1, spread.shape[1], -1)], dim=2)
        before: Tensor = self.decoder(voiced)
        after: Tensor = before + self.postnet(before)
        return codes, before[:, :, :frames], after[:, :, :frames]


class SpeakerEncoder(nn.Module):
    """AutoVC's own speaker encoder: mel spectrum → unit vectors from three LSTM layers' last frame (the GE2E loss).

    L. Wan, Q. Wang, A. Papir, I. Lopez Moreno, "Generalized End-to-End Loss for Speaker Verification", ICASSP 2018.

    >>> SpeakerEncoder(n_mels=20, width=8, dim=6)(torch.rand(2, 20, 30)).norm(dim=1).round(decimals=5).tolist()
    [1.0, 1.0]
    """

    def __init__(self, n_mels: int = 80, width: int = 768, dim: int = 256) -> None:
        super().__init__()
        self.lstm = nn.LSTM(n_mels, width, num_layers=3, batch_first=True)
        self.embedding = nn.Linear(width, dim)

    def forward(self, mel: Float[Tensor, "batch mel frame"]) -> Float[Tensor, "batch dim"]:
        """The network itself, on one crop of each clip."""
        _, hidden = through(self.lstm, mel.mT)
        return F.normalize(self.embedding(hidden[-1]), dim=1)

    def speaker(self, mel: Float[Tensor, "batch mel frame"]) -> Float[Tensor, "batch dim"]:
        """The mean of the vectors of all crops of 128 frames that overlap by half, of any length, as published.

        The publishers drew one crop at random from each of ten utterances: here is no chance.
        """
        crops = mel.unfold(2, min(CROP_FRAMES, mel.shape[2]), CROP_FRAMES // 2).permute(0, 2, 1, 3)
        vectors: Tensor = self(crops.flatten(0, 1))
        return vectors.view(len(mel), crops.shape[1], -1).mean(1)


def speaker_state(checkpoint: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The speaker encoder's own tensors from those under ``model_b``: without the prefix of parallel training.

    >>> list(speaker_state({"module.embedding.bias": torch.zeros(1)}))
    ['embedding.bias']
    """
    return {name.removeprefix("module."): tensor for name, tensor in checkpoint.items()}


def _convolution(width_in: int, width: int, activation: Literal["relu", "tanh", "linear"]) -> nn.Sequential:
    """A convolution and its normalisation, initialised for the activation that follows (Glorot)."""
    layer = nn.Conv1d(width_in, width, KERNEL, padding=KERNEL // 2)
    nn.init.xavier_uniform_(layer.weight, nn.init.calculate_gain(activation))
    named: OrderedDict[str, nn.Module] = OrderedDict(conv=layer)
    return nn.Sequential(nn.Sequential(named), nn.BatchNorm1d(width))
