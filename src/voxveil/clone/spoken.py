"""Speech that a cloner can work with: long enough, audible, finite."""

from __future__ import annotations

import torch

from voxveil.errors import BadInputError
from voxveil.roles import Clip, Reference

LEAST_CONTENT_S = 0.25
LEAST_REFERENCE_S = 1.0
LEAST_PEAK = 1e-4
SAMPLE_RATE = 16_000


def spoken(clip: Clip | str, what: str, least_s: float = LEAST_CONTENT_S, sample_rate: int = SAMPLE_RATE) -> Clip:
    """``clip`` itself, if it can be speech; ``what`` it is called in the error.

    Raises :class:`~voxveil.errors.BadInputError` for text, and for speech that is too short, silent or not finite.

    >>> spoken(torch.zeros(16_000), "content")
    Traceback (most recent call last):
    voxveil.errors.BadInputError: The content is silent: give it speech.
    """
    if isinstance(clip, str):
        raise BadInputError(f"The {what} has to be speech for this cloner: let a synthesiser speak the text first.")
    seconds = len(clip) / sample_rate
    if seconds < least_s:
        raise BadInputError(f"The {what} lasts {seconds:.2f} s: give at least {least_s:g} s.")
    if not bool(torch.isfinite(clip).all()):
        raise BadInputError(f"The {what} has samples that are not numbers: repair the recording.")
    if float(clip.abs().max()) < LEAST_PEAK:
        raise BadInputError(f"The {what} is silent: give it speech.")
    return clip


def joined(reference: Reference, sample_rate: int = SAMPLE_RATE) -> Clip:
    """All utterances of a reference one after the other, at least a second in all.

    Raises :class:`~voxveil.errors.BadInputError` for a reference that is empty, too short, silent or not finite.

    >>> joined([torch.ones(9_000), torch.ones(9_000)]).shape
    torch.Size([18000])
    """
    if not reference:
        raise BadInputError("The reference has no utterance: give at least one.")
    return spoken(torch.cat(list(reference)), "reference", LEAST_REFERENCE_S, sample_rate)
