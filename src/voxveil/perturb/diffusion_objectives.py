"""What VoiceCloak turns against a voice converter that works by diffusion, through the reference that it hears.

Q. Hu, J. Wu, W. Lu, X. Luo, "VoiceCloak: A Multi-Dimensional Defense Framework against Unauthorized Diffusion-based
Voice Cloning", AAAI 2026 (arXiv:2505.12332), equations 8 to 12. All three losses are to be large; s_θ is the score, f
the features on the U-Net's way up, H the contexts of the linear attentions on its way down:

    L_ctx   = KL(P_clean ‖ P_adv),  P = softmax(Σ_l H_l)        the speaker is not aligned with what is said
    L_score = ‖s_θ‖                                             the steps of the diffusion are too large
    L_sem   = 1 − cos(f_adv, f_clean) + cos(f_adv, f_noise)     the speech falls apart, as if all were noise

They are means over the first T_adv times of the reverse diffusion. As the attacker's content is not known, the clean
speech itself is what is said. The paper does not say along which axis it takes the softmax (here: over the values of
every key and head, the divergences averaged), nor whether its norm grows with the length (here: the root mean square).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from voxveil.audio.levels import rms
from voxveil.models.conversion.diffvc import DiffVC
from voxveil.models.conversion.diffvc_decoder import Estimate
from voxveil.models.conversion.diffvc_diffusion import Utterance
from voxveil.roles import Loss, Speech

ADVERSARIAL_STEPS, SAMPLER_STEPS = 6, 100
"""T_adv of T as published: the first steps decide on the coarse structure, and later ones build on it."""

MAPS = 60
"""Pictures of the U-Net's finest width and resolution that one pass keeps for its gradient, measured."""

Contexts = Sequence[Float[Tensor, "row head key value"]]
Features = Sequence[Float[Tensor, "row _ _ _"]]
Hearing = Callable[[Speech], tuple[Float[Tensor, "batch mel frame"], Float[Tensor, "batch embedding"]]]
"""Speech → the mel spectrum and the speaker's vector that a converter takes of a reference."""


def context_divergence(clean: Contexts, adversarial: Contexts) -> Float[Tensor, " row"]:
    """L_ctx: KL(P_clean ‖ P_adv) of the contexts, summed over the attentions; 0 where nothing has changed.

    >>> contexts = [torch.zeros(1, 1, 1, 2)]
    >>> round(float(context_divergence(contexts, [torch.tensor([[[[0.0, 1.0]]]])])), 4)
    0.1201
    """
    log_clean, log_adversarial = (torch.stack(list(each)).sum(0).log_softmax(-1) for each in (clean, adversarial))
    return (log_clean.exp() * (log_clean - log_adversarial)).sum(-1).mean((1, 2))


def score_magnitude(score: Float[Tensor, "row mel frame"]) -> Float[Tensor, " row"]:
    """L_score: the score's root mean square.

    >>> score_magnitude(torch.full((1, 2, 3), -2.0)).tolist()
    [2.0]
    """
    return rms(score.flatten(1))[:, 0]


def semantic_corruption(adversarial: Features, clean: Features, noise: Features) -> Float[Tensor, " row"]:
    """L_sem, 0 … 3, averaged over the maps; every map is one long vector.

    >>> one, other = [torch.tensor([[[[1.0, 0.0]]]])], [torch.tensor([[[[0.0, 1.0]]]])]
    >>> semantic_corruption(one, one, other).tolist(), semantic_corruption(other, one, other).tolist()
    ([0.0], [2.0])
    """
    cosine = partial(torch.cosine_similarity, dim=1)
    each = [
        1.0 - cosine(a.flatten(1), c.flatten(1)) + cosine(a.flatten(1), n.flatten(1))
        for a, c, n in zip(adversarial, clean, noise, strict=True)
    ]
    return torch.stack(each).mean(0)


def early_times(count: int = ADVERSARIAL_STEPS, steps: int = SAMPLER_STEPS) -> Float[Tensor, " step"]:
    """The first ``count`` times of a sampler of ``steps`` steps; it begins at 1.

    >>> early_times(2, 4).tolist()
    [1.0, 0.75]
    """
    return 1.0 - torch.arange(count) / steps


@dataclass(frozen=True)
class _Rows:
    """Some pairs of a time and a clip, and what of the clean speech and of noise was found there."""

    clip: Int[Tensor, " row"]
    time: Float[Tensor, " row"]
    source: Utterance
    noisy: Float[Tensor, "row mel frame"]
    clean: Estimate
    noise: Estimate


class DiffusionDisruption:
    """−(context · L_ctx + score · L_score + semantics · L_sem) of every clip, to be minimised.

    A batch of ``clean`` speech is heard, and passes the U-Net, once; so does Gaussian noise of its level, as source and
    reference. The noise of the diffusion is drawn once and serves all steps, so the loss is a function. All ``times``
    pass the U-Net together while their maps fit into ``memory_bytes``; where they do not, parts of them pass one after
    the other, and each is computed again for its gradient.

    >>> network = DiffVC(80, 8, 8, layers=1, postnet_channels=8, decoder_channels=8, condition_channels=8).eval()
    >>> def hear(speech):
    ...     return speech[:, None, ::100].repeat(1, 80, 1), speech[:, :256]
    >>> clean = torch.randn(2, 1600)
    >>> generator = torch.Generator().manual_seed(0)
    >>> attack = DiffusionDisruption(network, hear, clean, (0.0, 1.0, 0.0), generator, early_times())
    >>> attack(clean).shape, bool((attack(clean) < 0).all())
    (torch.Size([2]), True)
    """

    def __init__(
        self,
        network: DiffVC,
        hear: Hearing,
        clean: Speech,
        weights: tuple[float, float, float],
        generator: torch.Generator,
        times: Float[Tensor, " step"],
        memory_bytes: float = float("inf"),
    ) -> None:
        self.network, self.hear, self.weights = network, hear, weights
        drawn = torch.randn(clean.shape, generator=generator, dtype=clean.dtype).to(clean.device)
        with torch.no_grad():
            speech, noise = self._heard(clean), self._heard(drawn * rms(clean))
            frames = speech[0].mel.shape[2]
            size = (len(times), len(clean), network.n_mels, frames)
            blur = torch.randn(size, generator=generator, dtype=clean.dtype).to(clean.device).flatten(0, 1)
            clips = torch.arange(len(clean), device=clean.device).repeat(len(times))
            each = times.to(clean).repeat_interleave(len(clean))
            per_row = MAPS * network.decoder.estimator.channels * network.n_mels * frames * clean.element_size()
            at_once = max(1, min(len(each), int(min(memory_bytes / per_row, len(each)))))
            self.parts = [
                self._known(clips[part], each[part], blur[part], speech, noise)
                for part in torch.split(torch.arange(len(each), device=clean.device), at_once)
            ]

    def __call__(self, adversarial: Speech) -> Loss:
        """The mean loss of every clip over the times."""
        reference, embedding = self._heard(adversarial)
        loss = self._loss
        if len(self.parts) > 1:
            loss = partial(checkpoint, self._loss, use_reentrant=False)
        losses = torch.cat([loss(rows, reference, embedding) for rows in self.parts])
        return losses.view(-1, len(adversarial)).mean(0)

    def _heard(self, speech: Speech) -> tuple[Utterance, Tensor]:
        mel, embedding = self.hear(speech)
        return self.network.utterance(mel), embedding

    def _known(
        self,
        clip: Tensor,
        time: Tensor,
        blur: Tensor,
        speech: tuple[Utterance, Tensor],
        noise: tuple[Utterance, Tensor],
    ) -> _Rows:
        source, din = _chosen(speech[0], clip), _chosen(noise[0], clip)
        schedule = self.network.decoder.schedule
        noisy = schedule.noised(source, time, blur)
        known = self._estimate(noisy, time, source, source, speech[1][clip])
        unstructured = self._estimate(schedule.noised(din, time, blur), time, din, din, noise[1][clip])
        return _Rows(clip, time, source, noisy, known, unstructured)

    def _loss(self, rows: _Rows, reference: Utterance, embedding: Tensor) -> Tensor:
        heard = _chosen(reference, rows.clip)
        found = self._estimate(rows.noisy, rows.time, rows.source, heard, embedding[rows.clip])
        context, score, semantics = self.weights
        total = context * context_divergence(rows.clean.contexts, found.contexts)
        total = total + score * score_magnitude(found.score)
        return -total - semantics * semantic_corruption(
            found.up_features, rows.clean.up_features, rows.noise.up_features
        )

    def _estimate(
        self, noisy: Tensor, time: Tensor, source: Utterance, reference: Utterance, embedding: Tensor
    ) -> Estimate:
        """The score network in half precision where that is fast; what comes out has the precision of what goes in."""
        with torch.autocast(noisy.device.type, torch.bfloat16, enabled=noisy.is_cuda):
            found = self.network.decoder(noisy, time, source, reference, embedding)
        contexts, features = (
            tuple(each.to(noisy.dtype) for each in maps) for maps in (found.contexts, found.up_features)
        )
        return Estimate(found.score.to(noisy.dtype), found.condition.to(noisy.dtype), contexts, features)


def _chosen(utterance: Utterance, clip: Int[Tensor, " row"]) -> Utterance:
    return Utterance(utterance.mel[clip], utterance.average[clip], utterance.mask[clip])
