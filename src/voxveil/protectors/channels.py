"""From one clip to all of its channels: a perturbation is found on the mono mix and applied to every channel."""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from voxveil.audio.levels import rms
from voxveil.roles import Loss, Parameters, Speech

Channels = Float[Tensor, "batch channel time"]


def mono_mix(speech: Channels) -> Speech:
    """The mean of the channels, or the loudest channel of clips whose channels cancel (one of them inverted).

    >>> mono_mix(torch.tensor([[[1.0, -1.0], [-1.0, 1.0]]])).tolist()
    [[1.0, -1.0]]
    """
    mix = speech.mean(1)
    levels = rms(speech)[..., 0]
    loudest = speech[torch.arange(speech.shape[0], device=speech.device), levels.argmax(1)]
    cancelled = rms(mix) < 0.1 * levels.amax(1, keepdim=True)
    return torch.where(cancelled, loudest, mix)


def on_every_channel(
    carrier: Callable[[Parameters, Speech], Speech], amounts: Parameters, speech: Channels
) -> Channels:
    """``speech`` as ``carrier`` changes it, the amounts of a clip applied to each of its channels; no gradient passes.

    A channel that runs against the mix, as an inverted one does, is turned round for it: what leads the mix away from
    the speaker would lead it towards him.

    >>> from voxveil.perturb.budgets import Linf
    >>> from voxveil.perturb.carriers import Additive
    >>> on_every_channel(Additive(Linf(1.0)), (torch.ones(1, 2),), torch.zeros(1, 3, 2)).sum().item()
    6.0
    """
    with torch.no_grad():
        every = tuple(amount.repeat_interleave(speech.shape[1], 0) for amount in amounts)
        against = (speech * mono_mix(speech)[:, None]).sum(-1, keepdim=True) < 0.0
        sign = 1.0 - 2.0 * against.to(speech)
        return sign * carrier(every, (sign * speech).flatten(0, 1)).view_as(speech)


def worst_quality(quality: Callable[[Speech, Speech], Loss], clean: Channels, protected: Channels) -> Loss:
    """``quality`` of (clean, protected) [batch, time] for the worst channel of every clip, the mix among them.

    >>> nearness = lambda clean, other: -(clean - other).abs().mean(-1)
    >>> worst_quality(nearness, torch.zeros(1, 2, 4), torch.tensor([0.0, 3.0]).view(1, 2, 1).expand(1, 2, 4)).tolist()
    [-3.0]
    """

    def heard(speech: Channels) -> Float[Tensor, "batch heard time"]:
        return speech if speech.shape[1] == 1 else torch.cat([speech, mono_mix(speech)[:, None]], dim=1)

    before, after = heard(clean), heard(protected)
    return quality(before.flatten(0, 1), after.flatten(0, 1)).view(before.shape[:2]).amin(1)
