"""Cloning by SV2TTS: a voice in one vector, any English text, a mel spectrum, and speech sample by sample.

Y. Jia et al., "Transfer Learning from Speaker Verification to Multispeaker Text-To-Speech Synthesis", NeurIPS 2018, as
https://github.com/CorentinJ/Real-Time-Voice-Cloning puts it together: GE2E, a Tacotron and WaveRNN. As in its toolbox,
every line of the text is spoken by itself, the vocoder gets all of them in one piece, 0.15 s of silence come between,
and the result has a peak of 0.97.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from voxveil.clone.exchange import check_content
from voxveil.clone.speakable import in_portions, plain
from voxveil.clone.speaker_vector import speaker_vector
from voxveil.errors import BadInputError
from voxveil.models.synthesis.english_text import as_spoken, text_symbols
from voxveil.models.synthesis.tacotron import MOST_FRAMES, Tacotron
from voxveil.models.vocoder.wavernn import WaveRNN
from voxveil.roles import Clip, Embedder, Progress, Reference

LONGEST_LINE = 150
"""Characters that are spoken at once: the synthesizer was trained on utterances of at most 11.25 s."""
FRAMES_A_SYMBOL = 20
"""A quarter of a second: who takes longer has lost the place in the text."""
PAUSE_S = 0.15
PEAK = 0.97


@dataclass(frozen=True)
class SV2TTSCloner:
    """``encoder``: speech → vector; ``synthesizer``: text and vector → mel; ``vocoder``: mel → speech.

    A :class:`~voxveil.roles.Cloner` that takes English text.

    >>> from voxveil.models.speaker.ge2e import GE2E
    >>> small = dict(embedding_width=8, encoder_width=8, decoder_width=4, lstm_width=8, postnet_width=8)
    >>> synthesizer = Tacotron(**small).eval()
    >>> vocoder = WaveRNN(width=8, context_width=8, blocks=1).eval()
    >>> SV2TTSCloner(GE2E(), synthesizer, vocoder)([0.1 * torch.randn(16_000)], ["Скажи."])
    Traceback (most recent call last):
    voxveil.errors.BadInputError: The synthesizer reads English and has no symbol for 'с' (CYRILLIC SMALL LETTER ES): \
write the text in Latin letters, and such signs in words.
    """

    encoder: Embedder
    synthesizer: Tacotron
    vocoder: WaveRNN

    sample_rate = 16_000
    takes: Literal["speech", "text"] = "text"

    def __call__(
        self, reference: Reference, contents: Sequence[Clip | str], seed: int = 0, progress: Progress | None = None
    ) -> list[Clip]:
        """The texts, spoken in the reference's voice; the same ``seed`` gives the same clones.

        A line that does not come to its end is cut off: after 0.25 s a character, and after 25 s at most.

        Raises :class:`~voxveil.errors.BadInputError` for a content that is no text, has no word or letters of another
        script, for a reference without speech, and where the synthesizer says nothing.
        """
        said = [_lines(content) for content in contents]
        voice = speaker_vector(self.encoder, reference, self.sample_rate)
        clones = []
        for lines in said:
            clones.append(self._spoken(lines, voice, seed))
            if progress is not None:
                progress(len(clones) / len(said))
        return clones

    @torch.no_grad()
    def _spoken(self, lines: Sequence[Tensor], voice: Tensor, seed: int) -> Clip:
        mels = [self._mel(line, voice, seed) for line in lines]
        mel = torch.cat(mels, dim=1)
        if mel.shape[1] < 2:
            raise BadInputError("SV2TTS says nothing but silence: try another seed, other words or more reference.")
        sound = self.vocoder.generate(mel[None], seed)[0]
        ends = torch.tensor([part.shape[1] * self.vocoder.hop_samples for part in mels]).cumsum(0).tolist()
        pause = sound.new_zeros(round(PAUSE_S * self.sample_rate))
        clone = torch.cat([part for line in sound.tensor_split(ends[:-1]) for part in (line, pause)][:-1])
        return clone * (PEAK / clone.abs().max().clamp_min(1e-8))

    def _mel(self, line: Tensor, voice: Tensor, seed: int) -> Tensor:
        most_frames = min(MOST_FRAMES, FRAMES_A_SYMBOL * len(line))
        (reading,) = self.synthesizer.generate(line[None].to(voice.device), voice, seed, most_frames)
        return reading.mel


def _lines(content: Clip | str) -> list[Tensor]:
    check_content(content, "text", "SV2TTS")
    assert isinstance(content, str)
    written = [as_spoken(line) for line in plain(content).splitlines() if any(map(str.isalnum, line))]
    portions = [portion for line in written for portion in in_portions(line, LONGEST_LINE).split("\n\n")]
    return [text_symbols(portion) for portion in portions if any(map(str.isalpha, portion))]
