"""Speech to text, for measuring: whether what a cloner says can still be understood."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from voxveil.errors import BadInputError, MissingExtraError
from voxveil.roles import Clip

LEAST_PEAK = 1e-4
"""Below it nobody speaks; the decoder, which has no word for nothing, would find one in digital silence."""
FULL_SCALE = 16_384.0
"""The peak of what the decoder gets, half of what it takes: quieter speech would sink into its floor of energies."""


class PocketSphinx:
    """English by CMU's PocketSphinx with the acoustic and language model of its package (BSD licence, extra ``asr``).

    Hidden Markov models and trigrams [1]: small, and far from what networks understand today, so give its rate on
    natural speech beside any other. Each call forgets the one before.

    Raises :class:`~voxveil.errors.MissingExtraError` without the extra ``asr``; a call raises
    :class:`~voxveil.errors.BadInputError` for samples that are not numbers.

    [1] D. Huggins-Daines et al., "PocketSphinx: A Free, Real-Time Continuous Speech Recognition System for Hand-Held
    Devices", ICASSP 2006.

    >>> PocketSphinx()(torch.zeros(16_000))
    ''
    """

    sample_rate = 16_000

    def __init__(self) -> None:
        try:
            from pocketsphinx import Decoder
        except ImportError as error:
            raise MissingExtraError.naming("asr", "Speech recognition") from error
        # Cepstral means of the whole utterance; the default follows the level of what it heard before.
        self._decoder: Any = Decoder(cmn="batch", loglevel="FATAL")

    def __call__(self, speech: Clip) -> str:
        """The words of ``speech`` at 16 kHz, at any level, in small letters; empty where none is heard."""
        if not bool(torch.isfinite(speech).all()):
            raise BadInputError("The speech to recognise has samples that are not numbers: repair the recording.")
        sound = speech.detach().cpu().double().numpy()
        peak = np.abs(sound).max(initial=0.0)
        if peak < LEAST_PEAK:
            return ""
        samples = np.round(sound * (FULL_SCALE / peak)).astype(np.int16)
        self._decoder.start_utt()
        self._decoder.process_raw(samples.tobytes(), no_search=False, full_utt=True)
        self._decoder.end_utt()
        found = self._decoder.hyp()
        return "" if found is None else str(found.hypstr)
