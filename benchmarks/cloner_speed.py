"""How long a cloner takes to get to know a voice, and how long to speak in it, on two threads."""

from __future__ import annotations

import time
from collections.abc import Sequence

import torch
from speakers import RATE

from voxveil.roles import Clip, Cloner

THREADS = 2


def speed(cloner: Cloner, reference: Sequence[Clip], contents: Sequence[Clip]) -> dict[str, float]:
    """Seconds a reference, and the real-time factor of what follows.

    Two calls, one for the first content and one for all of them, share the adaptation; so their difference is the
    conversion of the others.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(THREADS)
    first_s, all_s = (_seconds(cloner, reference, some) for some in (contents[:1], contents))
    torch.set_num_threads(threads)
    first_audio_s, *other_audio_s = (len(content) / RATE for content in contents)
    factor = (all_s - first_s) / sum(other_audio_s)
    return {"adaptation_s": max(0.0, first_s - factor * first_audio_s), "conversion_real_time_factor": factor}


def _seconds(cloner: Cloner, reference: Sequence[Clip], contents: Sequence[Clip]) -> float:
    started = time.perf_counter()
    cloner(reference, contents)
    return time.perf_counter() - started
