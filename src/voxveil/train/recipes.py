"""The recipes of the shipped weights: sizes that a laptop trains in half an hour and runs in real time.

They differ from the published sizes where an hour of speech would not fill those; numbers of steps and rates are what
was found to serve on speech of other speakers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from voxveil.cards.card import Size
from voxveil.train.augment import OFTEN_CLEAN, RARELY_CLEAN, Surroundings

SPEEDS = (1.0, 0.9, 1.1, 0.82, 1.2)
"""Playing speeds; each makes other speakers of the speakers that there are."""


LISTENERS = ("xvector", "resnetse34l")
"""The speaker encoders that lead an adaptation. None of them judges clones by name: DV-COS and ECAPA-COS do."""


@dataclass(frozen=True)
class Origin:
    """Whose idea the model is, as its card says it; ``citation`` is BibTeX."""

    title: str
    paper: str
    citation: str


@dataclass(frozen=True)
class EncoderRecipe:
    """How a network of this ``size`` is trained.

    ``last`` is the layer whose output is the embedding, where that layer is linear; ``batch`` is in crops, and
    ``learning_rate`` the greatest. The margin grows from zero over the share ``margin_rises_until`` of all steps.
    """

    origin: Origin
    steps: int
    size: Size = field(default_factory=dict)
    last: str | None = None
    batch: int = 64
    learning_rate: float = 2e-3
    surroundings: Surroundings = RARELY_CLEAN
    margin_rises_until: float = 0.2


@dataclass(frozen=True)
class ConverterRecipe:
    """How a voice converter of this ``size`` is trained; ``batch`` is in targets of ``frames`` frames of 16 ms.

    The voice is heard in ``reference_frames`` frames; ``judged`` targets of 128 measure it. Before it clones a voice,
    it learns on from the reference for ``adaptation_steps``, led by the speaker encoders ``listeners``.
    """

    origin: Origin
    steps: int
    size: Mapping[str, int]
    batch: int = 16
    frames: int = 128
    reference_frames: int = 128
    learning_rate: float = 1e-3
    judged: int = 64
    adaptation_steps: int = 100
    listeners: tuple[str, ...] = LISTENERS


@dataclass(frozen=True)
class VocoderRecipe:
    """How a vocoder of this ``size`` is trained; ``batch`` is in crops of ``samples`` samples.

    Its discriminators are ``discriminator_widths`` wide, and come in when the share ``alone_until`` of the training is
    past.
    """

    origin: Origin
    steps: int
    size: Mapping[str, int]
    discriminator_widths: tuple[int, ...]
    batch: int = 8
    samples: int = 8192
    alone_until: float = 0.3
    learning_rate: float = 1.5e-3


@dataclass(frozen=True)
class ContentRecipe:
    """How a content encoder of this ``size`` is trained; ``batch`` is in crops of ``frames`` frames of 10 ms."""

    origin: Origin
    steps: int
    size: Mapping[str, int]
    batch: int = 16
    frames: int = 200
    learning_rate: float = 2e-3


@dataclass(frozen=True)
class ExtractorRecipe:
    """How an i-vector extractor is trained, on how many crops of 4 s."""

    origin: Origin
    crops: int
    size: Mapping[str, int]


@dataclass(frozen=True)
class BackendRecipe:
    """How a PLDA is trained, on how many crops of 4 s, and how many dimensions LDA keeps."""

    origin: Origin
    crops: int
    kept: int


_ECAPA = Origin(
    "ECAPA-TDNN, 256 channels",
    "B. Desplanques, J. Thienpondt, K. Demuynck: ECAPA-TDNN: Emphasized Channel Attention, Propagation and Aggregation "
    "in TDNN Based Speaker Verification, Interspeech 2020",
    "@inproceedings{desplanques2020ecapa, title={{ECAPA-TDNN}: Emphasized Channel Attention, Propagation and "
    "Aggregation in {TDNN} Based Speaker Verification}, author={Desplanques, Brecht and Thienpondt, Jenthe and "
    "Demuynck, Kris}, booktitle={Interspeech}, pages={3830--3834}, year={2020}}",
)
_RESNET = Origin(
    "ResNetSE34L",
    "J. S. Chung et al.: In Defence of Metric Learning for Speaker Recognition, Interspeech 2020",
    "@inproceedings{chung2020defence, title={In Defence of Metric Learning for Speaker Recognition}, author={Chung, "
    "Joon Son and Huh, Jaesung and Mun, Seongkyu and Lee, Minjae and Heo, Hee Soo and Choe, Soyeon and Ham, Chiheon "
    "and Jung, Sunghwan and Lee, Bong-Jin and Han, Icksang}, booktitle={Interspeech}, pages={2977--2981}, year={2020}}",
)
_RESNET_V2 = Origin(
    "ResNetSE34V2, a quarter as wide",
    "Y. Kwon, H. S. Heo, B.-J. Lee, J. S. Chung: The ins and outs of speaker recognition: lessons from VoxSRC 2020, "
    "ICASSP 2021",
    "@inproceedings{kwon2021ins, title={The ins and outs of speaker recognition: lessons from {VoxSRC} 2020}, "
    "author={Kwon, Yoohwan and Heo, Hee-Soo and Lee, Bong-Jin and Chung, Joon Son}, booktitle={ICASSP}, "
    "pages={5809--5813}, year={2021}}",
)
_XVECTOR = Origin(
    "x-vector network, 256 channels",
    "D. Snyder, D. Garcia-Romero, G. Sell, D. Povey, S. Khudanpur: X-Vectors: Robust DNN Embeddings for Speaker "
    "Recognition, ICASSP 2018",
    "@inproceedings{snyder2018xvectors, title={{X-Vectors}: Robust {DNN} Embeddings for Speaker Recognition}, "
    "author={Snyder, David and Garcia-Romero, Daniel and Sell, Gregory and Povey, Daniel and Khudanpur, Sanjeev}, "
    "booktitle={ICASSP}, pages={5329--5333}, year={2018}}",
)
_GE2E = Origin(
    "GE2E's network, trained with an angular margin",
    "L. Wan, Q. Wang, A. Papir, I. Lopez Moreno: Generalized End-to-End Loss for Speaker Verification, ICASSP 2018",
    "@inproceedings{wan2018ge2e, title={Generalized End-to-End Loss for Speaker Verification}, author={Wan, Li and "
    "Wang, Quan and Papir, Alan and Lopez Moreno, Ignacio}, booktitle={ICASSP}, pages={4879--4883}, year={2018}}",
)

_ADAIN_VC = Origin(
    "AdaIN-VC, 96 channels, 80 bands at 16 kHz",
    "J.-C. Chou, C.-C. Yeh, H.-Y. Lee: One-shot Voice Conversion by Separating Speaker and Content Representations "
    "with Instance Normalization, Interspeech 2019",
    "@inproceedings{chou2019oneshot, title={One-shot Voice Conversion by Separating Speaker and Content "
    "Representations with Instance Normalization}, author={Chou, Ju-chieh and Yeh, Cheng-chieh and Lee, Hung-yi}, "
    "booktitle={Interspeech}, pages={664--668}, year={2019}}",
)
_AUTOVC = Origin(
    "AutoVC, 192 channels, 80 bands at 16 kHz",
    "K. Qian, Y. Zhang, S. Chang, X. Yang, M. Hasegawa-Johnson: AutoVC: Zero-Shot Voice Style Transfer with Only "
    "Autoencoder Loss, ICML 2019",
    "@inproceedings{qian2019autovc, title={{AutoVC}: Zero-Shot Voice Style Transfer with Only Autoencoder Loss}, "
    "author={Qian, Kaizhi and Zhang, Yang and Chang, Shiyu and Yang, Xuesong and Hasegawa-Johnson, Mark}, "
    "booktitle={ICML}, pages={5210--5219}, year={2019}}",
)
_DIFFVC = Origin(
    "DiffVC, 16 channels, 80 bands at 16 kHz",
    "V. Popov, I. Vovk, V. Gogoryan, T. Sadekova, M. Kudinov, J. Wei: Diffusion-Based Voice Conversion with Fast "
    "Maximum Likelihood Sampling Scheme, ICLR 2022",
    "@inproceedings{popov2022diffusion, title={Diffusion-Based Voice Conversion with Fast Maximum Likelihood Sampling "
    "Scheme}, author={Popov, Vadim and Vovk, Ivan and Gogoryan, Vladimir and Sadekova, Tasnima and Kudinov, Mikhail "
    "and Wei, Jiansheng}, booktitle={ICLR}, year={2022}}",
)

_HIFIGAN = Origin(
    "HiFi-GAN V3, 128 channels, 80 bands at 16 kHz",
    "J. Kong, J. Kim, J. Bae: HiFi-GAN: Generative Adversarial Networks for Efficient and High Fidelity Speech "
    "Synthesis, NeurIPS 2020",
    "@inproceedings{kong2020hifigan, title={{HiFi-GAN}: Generative Adversarial Networks for Efficient and High "
    "Fidelity Speech Synthesis}, author={Kong, Jungil and Kim, Jaehyeon and Bae, Jaekyoung}, booktitle={NeurIPS}, "
    "volume={33}, pages={17022--17033}, year={2020}}",
)

CONVERTERS = {
    "adain-vc": ConverterRecipe(
        _ADAIN_VC, 6000, {"channels": 96, "bank_channels": 32, "dim": 128, "frames_per_code": 4}
    ),
    "autovc": ConverterRecipe(
        _AUTOVC,
        10_000,
        {"width": 192, "lstm_width": 256, "code_dim": 32, "frames_per_code": 4, "speaker_width": 128, "dim": 128},
        frames=64,
    ),
    "diffvc": ConverterRecipe(
        _DIFFVC,
        4000,
        {"encoder_channels": 96, "filters": 192, "layers": 3, "postnet_channels": 16, "channels": 16}
        | {"condition_channels": 32, "speaker_width": 64, "dim": 64},
        batch=8,
        frames=64,
        reference_frames=64,
        learning_rate=1.5e-3,
        judged=8,
        adaptation_steps=150,
        listeners=(),  # their gradient would have to pass through every step of the sampler
    ),
}

VOCODERS = {
    "hifigan": VocoderRecipe(_HIFIGAN, 4000, {"width": 128}, (16, 32, 64, 128, 128)),
}

CONTENT_ENCODERS = {
    "content-encoder": ContentRecipe(
        Origin(
            "Content encoder, 128 channels, trained by speaker-invariant clustering",
            "H.-J. Chang, A. H. Liu, J. Glass: Self-supervised Fine-tuning for Improved Content Representations by "
            "Speaker-invariant Clustering, Interspeech 2023",
            "@inproceedings{chang2023spin, title={Self-supervised Fine-tuning for Improved Content Representations by "
            "Speaker-invariant Clustering}, author={Chang, Heng-Jui and Liu, Alexander H. and Glass, James}, "
            "booktitle={Interspeech}, year={2023}}",
        ),
        1000,
        {"channels": 128, "blocks": 3, "dim": 64},
    ),
}

ENCODERS = {
    "ecapa": EncoderRecipe(
        _ECAPA, 1000, {"channels": 256, "squeeze_channels": 64, "attention_channels": 64, "dim": 128}, "fc.conv"
    ),
    "ecapa-taoruijie": EncoderRecipe(_ECAPA, 1000, {"channels": 256}),
    "ge2e": EncoderRecipe(_GE2E, 2400),
    "resnetse34l": EncoderRecipe(_RESNET, 1800, last="fc", surroundings=OFTEN_CLEAN, margin_rises_until=0.6),
    "resnetse34v2": EncoderRecipe(
        _RESNET_V2,
        1000,
        {"widths": (8, 16, 32, 64), "dim": 256},
        last="fc",
        surroundings=OFTEN_CLEAN,
        margin_rises_until=0.6,
    ),
    "xvector": EncoderRecipe(
        _XVECTOR, 2400, {"channels": 256, "pooled_channels": 768, "dim": 128}, "blocks.16.w", surroundings=OFTEN_CLEAN
    ),
}

EXTRACTORS = {
    "ivector": ExtractorRecipe(
        Origin(
            "i-vector extractor, 64 Gaussians and 100 factors",
            "N. Dehak, P. Kenny, R. Dehak, P. Dumouchel, P. Ouellet: Front-End Factor Analysis for Speaker "
            "Verification, IEEE TASLP 19(4), 2011",
            "@article{dehak2011frontend, title={Front-End Factor Analysis for Speaker Verification}, author={Dehak, "
            "Najim and Kenny, Patrick J. and Dehak, R{\\'e}da and Dumouchel, Pierre and Ouellet, Pierre}, "
            "journal={IEEE Transactions on Audio, Speech, and Language Processing}, volume={19}, number={4}, "
            "pages={788--798}, year={2011}}",
        ),
        crops=6400,
        size={"components": 64, "factors": 100},
    ),
    "ivector-lfcc": ExtractorRecipe(
        Origin(
            "i-vector extractor on linear-frequency cepstra, 64 Gaussians and 100 factors",
            "X. Zhou, D. Garcia-Romero, R. Duraiswami, C. Espy-Wilson, S. Shamma: Linear versus Mel Frequency Cepstral "
            "Coefficients for Speaker Recognition, ASRU 2011",
            "@inproceedings{zhou2011linear, title={Linear versus mel frequency cepstral coefficients for speaker "
            "recognition}, author={Zhou, Xinhui and Garcia-Romero, Daniel and Duraiswami, Ramani and Espy-Wilson, "
            "Carol and Shamma, Shihab}, booktitle={ASRU}, pages={559--564}, year={2011}}",
        ),
        crops=6400,
        size={"components": 64, "factors": 100},
    ),
}

PLDA = BackendRecipe(
    Origin(
        "PLDA",
        "D. Garcia-Romero, C. Espy-Wilson: Analysis of i-vector Length Normalization in Speaker Recognition Systems, "
        "Interspeech 2011",
        "@inproceedings{garciaromero2011analysis, title={Analysis of i-vector Length Normalization in Speaker "
        "Recognition Systems}, author={Garcia-Romero, Daniel and Espy-Wilson, Carol Y.}, booktitle={Interspeech}, "
        "pages={249--252}, year={2011}}",
    ),
    crops=6400,
    kept=100,
)

ENCODER_LIMITS = (
    "Has heard {heard}, where published models heard thousands of speakers: it is no proof of identity.",
    "Languages, channels and ways of speaking that its data do not have are less certain.",
)
CONTENT_LIMITS = (
    "Has heard {heard} and no transcript; published models heard thousands of hours and know sounds better.",
    "Languages, channels and ways of speaking that its data do not have are less certain.",
)
CONVERTER_LIMITS = (
    "For tests of protections: what it makes is synthetic and is to be called so.",
    "Has heard {heard}; published models heard tens of hours and clone better.",
)
VOCODER_LIMITS = (
    "For tests of protections: what it makes is synthetic and is to be called so.",
    "Has heard {heard}; published models heard tens of hours, trained for days on GPUs, and sound better.",
    "After as many steps as the recipe has it sounds worse than Griffin-Lim.",
)
