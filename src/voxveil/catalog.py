"""Every part by name, as ``"module:factory"`` strings that are resolved when asked for.

Nothing heavy is imported before a part is used, and a new part is one line here.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from voxveil.errors import VoxveilError

PARTS: dict[str, dict[str, str]] = {
    # Networks without weights; which weights go into which network, and how large it is, stands on a card.
    "architecture": {
        "adain-vc": "voxveil.clone.adain:AdaInConverter",
        "adain-vc-mel": "voxveil.clone.adain_official:unfitted_mel",
        "adain-vc-official": "voxveil.models.conversion.adain_vc:AdaInVC",
        "autovc": "voxveil.clone.autovc:AutoVCConverter",
        "autovc-official": "voxveil.models.conversion.autovc:AutoVC",
        "autovc-speaker": "voxveil.models.conversion.autovc:SpeakerEncoder",
        "content-encoder": "voxveil.models.conversion.content_encoder:ContentEncoder",
        "diffvc": "voxveil.clone.diffvc:DiffVCConverter",
        "diffvc-official": "voxveil.models.conversion.diffvc:DiffVC",
        "ecapa": "voxveil.models.speaker.ecapa:ECAPA",
        "ecapa-taoruijie": "voxveil.models.speaker.ecapa_taoruijie:ECAPATaoRuijie",
        "ge2e": "voxveil.models.speaker.ge2e:GE2E",
        "hifigan": "voxveil.models.vocoder.standard_hifigan:standard_hifigan",
        "hifigan-official": "voxveil.models.vocoder.hifigan:HifiGan",
        "ivector": "voxveil.models.speaker.ivector:IVector",
        "ivector-lfcc": "voxveil.models.speaker.ivector:lfcc_ivector",
        "plda": "voxveil.verify.plda:Plda",
        "resnetse34l": "voxveil.models.speaker.resnet34:ResNetSE34L",
        "resnetse34v2": "voxveil.models.speaker.resnet34:ResNetSE34V2",
        "tacotron": "voxveil.models.synthesis.tacotron:Tacotron",
        "wavernn": "voxveil.models.vocoder.wavernn:WaveRNN",
        "wavlm": "voxveil.models.speaker.wavlm:WavLMXVector",
        "wavlm-frames": "voxveil.models.conversion.wavlm_frames:WavLMFrames",
        "xvector": "voxveil.models.speaker.xvector:XVector",
    },
    # What speech goes through on its way to the attacker: (sample rate, random generator) → transform.
    "channel": {
        "8-bit": "voxveil.transforms.channels:eight_bit",
        "mp3": "voxveil.transforms.channels:mp3",
        "narrow-band": "voxveil.transforms.channels:narrow_band",
        "opus": "voxveil.transforms.channels:opus",
        "room": "voxveil.transforms.channels:room",
        "telephone": "voxveil.transforms.channels:telephone",
        "white-noise": "voxveil.transforms.channels:white_noise",
    },
    # Where publishers wrap a network's tensors, or name them otherwise: a checkpoint's tensors → the network's own.
    "checkpoint": {
        "autovc-speaker": "voxveil.models.conversion.autovc:speaker_state",
        "ecapa-taoruijie": "voxveil.models.speaker.ecapa_taoruijie:network_state",
        "resnetse34l": "voxveil.models.speaker.resnet34:network_state",
        "resnetse34v2": "voxveil.models.speaker.resnet34:network_state",
        "wavlm": "voxveil.models.speaker.wavlm:network_state",
        "wavlm-frames": "voxveil.models.conversion.wavlm_frames:network_state",
    },
    # Cloners that are composed of networks: those of COMPOSED. A cloner that is one network is adapted to a reference.
    "composed cloner": {
        "adain-vc-official": "voxveil.clone.adain_official:AdaInOfficialCloner",
        "autovc-official": "voxveil.clone.autovc_official:AutoVCOfficialCloner",
        "diffvc-official": "voxveil.clone.diffvc_official:DiffVCOfficialCloner",
        "knn-vc": "voxveil.clone.knn:KnnCloner",
        "knn-vc-wavlm": "voxveil.clone.knn:KnnCloner",
        "sv2tts": "voxveil.clone.sv2tts:SV2TTSCloner",
    },
    # How a protector is made of an order (voxveil.protectors.order).
    "method": {
        "antifake": "voxveil.protectors.antifake:antifake",
        "attackvc": "voxveil.protectors.attackvc:attackvc",
        "attackvc-mel": "voxveil.protectors.attackvc_mel:attackvc_mel",
        "clearmask": "voxveil.protectors.clearmask:clearmask",
        "veil": "voxveil.protectors.veil:veil",
        "voicecloak": "voxveil.protectors.voicecloak:voicecloak",
        "voiceguard": "voxveil.protectors.voiceguard:voiceguard",
        "white-noise": "voxveil.protectors.white_noise:white_noise",
    },
    # What listeners would say of a clip: (sound, sample rate) → mean opinion score.
    "opinion": {"dnsmos": "voxveil.metrics.mos:dnsmos_overall", "nisqa": "voxveil.metrics.mos:nisqa"},
    # What an attacker does to wash a protection out: (sample rate) → transform.
    "purifier": {
        "equalise-back": "voxveil.transforms.equalise_back:EqualiseBack",
        "resample": "voxveil.purify.resample:Resample",
    },
    "recogniser": {"pocketsphinx": "voxveil.metrics.recognition:PocketSphinx"},
    "scorer": {
        "cosine": "voxveil.verify.scorers:cosine",
        "euclidean": "voxveil.verify.scorers:euclidean",
    },
}

COMPOSED = {
    "adain-vc-official": {"converter": "adain-vc-official", "mel": "adain-vc-mel"},
    "autovc-official": {"converter": "autovc-official", "speaker_encoder": "autovc-speaker"},
    "diffvc-official": {"converter": "diffvc-official", "speaker_encoder": "ge2e", "vocoder": "hifigan-official"},
    "knn-vc": {"features": "content-encoder"},
    "knn-vc-wavlm": {"features": "wavlm-frames"},
    "sv2tts": {"encoder": "ge2e", "synthesizer": "tacotron", "vocoder": "wavernn"},
}
"""The networks that a composed cloner takes, by their part in it, and the architecture of each."""

ATTACKED = {"attackvc-mel": "adain-vc", "voicecloak": "diffvc"}
"""The voice converter that a method attacks, of those that attack one."""

ENSEMBLE = ("ge2e", "ecapa", "xvector", "resnetse34l", "resnetse34v2", "ivector", "ivector-lfcc")
"""The speaker encoders that are attacked and judge if nobody says otherwise."""

SYSTEMS = {
    "IV-PLDA": ("ivector", "plda"),
    "IV-COS": ("ivector", "cosine"),
    "XV-PLDA": ("xvector", "plda"),
    "XV-COS": ("xvector", "cosine"),
    "RN-EU": ("resnetse34l", "euclidean"),
    "RN-COS": ("resnetse34l", "cosine"),
    "DV-COS": ("ge2e", "cosine"),
    "ECAPA-COS": ("ecapa", "cosine"),
}
"""Verification systems by the names that the literature of voiceprints gives them: encoder and scorer."""


def names(kind: str) -> list[str]:
    """The names of all parts of a kind.

    >>> names("recogniser")
    ['pocketsphinx']
    """
    return sorted(PARTS[kind])


def part(kind: str, name: str) -> Any:
    """The part ``name``; raises :class:`~voxveil.errors.VoxveilError` for an unknown one, listing what there is.

    >>> part("scorer", "plda")
    Traceback (most recent call last):
    voxveil.errors.VoxveilError: There is no scorer 'plda'; there is: cosine, euclidean.
    """
    if name not in PARTS[kind]:
        raise VoxveilError(f"There is no {kind} '{name}'; there is: {', '.join(names(kind))}.")
    module, attribute = PARTS[kind][name].split(":")
    return getattr(import_module(module), attribute)
