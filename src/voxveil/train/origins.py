"""Whose idea a trained model is: the papers that its card names."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Origin:
    """Whose idea the model is, as its card says it; ``citation`` is BibTeX."""

    title: str
    paper: str
    citation: str


ECAPA = Origin(
    "ECAPA-TDNN, 256 channels",
    "B. Desplanques, J. Thienpondt, K. Demuynck: ECAPA-TDNN: Emphasized Channel Attention, Propagation and Aggregation "
    "in TDNN Based Speaker Verification, Interspeech 2020",
    "@inproceedings{desplanques2020ecapa, title={{ECAPA-TDNN}: Emphasized Channel Attention, Propagation and "
    "Aggregation in {TDNN} Based Speaker Verification}, author={Desplanques, Brecht and Thienpondt, Jenthe and "
    "Demuynck, Kris}, booktitle={Interspeech}, pages={3830--3834}, year={2020}}",
)
RESNET = Origin(
    "ResNetSE34L",
    "J. S. Chung et al.: In Defence of Metric Learning for Speaker Recognition, Interspeech 2020",
    "@inproceedings{chung2020defence, title={In Defence of Metric Learning for Speaker Recognition}, author={Chung, "
    "Joon Son and Huh, Jaesung and Mun, Seongkyu and Lee, Minjae and Heo, Hee Soo and Choe, Soyeon and Ham, Chiheon "
    "and Jung, Sunghwan and Lee, Bong-Jin and Han, Icksang}, booktitle={Interspeech}, pages={2977--2981}, year={2020}}",
)
RESNET_V2 = Origin(
    "ResNetSE34V2, a quarter as wide",
    "Y. Kwon, H. S. Heo, B.-J. Lee, J. S. Chung: The ins and outs of speaker recognition: lessons from VoxSRC 2020, "
    "ICASSP 2021",
    "@inproceedings{kwon2021ins, title={The ins and outs of speaker recognition: lessons from {VoxSRC} 2020}, "
    "author={Kwon, Yoohwan and Heo, Hee-Soo and Lee, Bong-Jin and Chung, Joon Son}, booktitle={ICASSP}, "
    "pages={5809--5813}, year={2021}}",
)
XVECTOR = Origin(
    "x-vector network, 256 channels",
    "D. Snyder, D. Garcia-Romero, G. Sell, D. Povey, S. Khudanpur: X-Vectors: Robust DNN Embeddings for Speaker "
    "Recognition, ICASSP 2018",
    "@inproceedings{snyder2018xvectors, title={{X-Vectors}: Robust {DNN} Embeddings for Speaker Recognition}, "
    "author={Snyder, David and Garcia-Romero, Daniel and Sell, Gregory and Povey, Daniel and Khudanpur, Sanjeev}, "
    "booktitle={ICASSP}, pages={5329--5333}, year={2018}}",
)
GE2E = Origin(
    "GE2E's network, trained with an angular margin",
    "L. Wan, Q. Wang, A. Papir, I. Lopez Moreno: Generalized End-to-End Loss for Speaker Verification, ICASSP 2018",
    "@inproceedings{wan2018ge2e, title={Generalized End-to-End Loss for Speaker Verification}, author={Wan, Li and "
    "Wang, Quan and Papir, Alan and Lopez Moreno, Ignacio}, booktitle={ICASSP}, pages={4879--4883}, year={2018}}",
)

ADAIN_VC = Origin(
    "AdaIN-VC, 96 channels, 80 bands at 16 kHz",
    "J.-C. Chou, C.-C. Yeh, H.-Y. Lee: One-shot Voice Conversion by Separating Speaker and Content Representations "
    "with Instance Normalization, Interspeech 2019",
    "@inproceedings{chou2019oneshot, title={One-shot Voice Conversion by Separating Speaker and Content "
    "Representations with Instance Normalization}, author={Chou, Ju-chieh and Yeh, Cheng-chieh and Lee, Hung-yi}, "
    "booktitle={Interspeech}, pages={664--668}, year={2019}}",
)
AUTOVC = Origin(
    "AutoVC, 192 channels, 80 bands at 16 kHz",
    "K. Qian, Y. Zhang, S. Chang, X. Yang, M. Hasegawa-Johnson: AutoVC: Zero-Shot Voice Style Transfer with Only "
    "Autoencoder Loss, ICML 2019",
    "@inproceedings{qian2019autovc, title={{AutoVC}: Zero-Shot Voice Style Transfer with Only Autoencoder Loss}, "
    "author={Qian, Kaizhi and Zhang, Yang and Chang, Shiyu and Yang, Xuesong and Hasegawa-Johnson, Mark}, "
    "booktitle={ICML}, pages={5210--5219}, year={2019}}",
)
DIFFVC = Origin(
    "DiffVC, 16 channels, 80 bands at 16 kHz",
    "V. Popov, I. Vovk, V. Gogoryan, T. Sadekova, M. Kudinov, J. Wei: Diffusion-Based Voice Conversion with Fast "
    "Maximum Likelihood Sampling Scheme, ICLR 2022",
    "@inproceedings{popov2022diffusion, title={Diffusion-Based Voice Conversion with Fast Maximum Likelihood Sampling "
    "Scheme}, author={Popov, Vadim and Vovk, Ivan and Gogoryan, Vladimir and Sadekova, Tasnima and Kudinov, Mikhail "
    "and Wei, Jiansheng}, booktitle={ICLR}, year={2022}}",
)

HIFIGAN = Origin(
    "HiFi-GAN V3, 128 channels, 80 bands at 16 kHz",
    "J. Kong, J. Kim, J. Bae: HiFi-GAN: Generative Adversarial Networks for Efficient and High Fidelity Speech "
    "Synthesis, NeurIPS 2020",
    "@inproceedings{kong2020hifigan, title={{HiFi-GAN}: Generative Adversarial Networks for Efficient and High "
    "Fidelity Speech Synthesis}, author={Kong, Jungil and Kim, Jaehyeon and Bae, Jaekyoung}, booktitle={NeurIPS}, "
    "volume={33}, pages={17022--17033}, year={2020}}",
)

CONTENT = Origin(
    "Content encoder, 128 channels, trained by speaker-invariant clustering",
    "H.-J. Chang, A. H. Liu, J. Glass: Self-supervised Fine-tuning for Improved Content Representations by "
    "Speaker-invariant Clustering, Interspeech 2023",
    "@inproceedings{chang2023spin, title={Self-supervised Fine-tuning for Improved Content Representations by "
    "Speaker-invariant Clustering}, author={Chang, Heng-Jui and Liu, Alexander H. and Glass, James}, "
    "booktitle={Interspeech}, year={2023}}",
)
IVECTOR = Origin(
    "i-vector extractor, 64 Gaussians and 100 factors",
    "N. Dehak, P. Kenny, R. Dehak, P. Dumouchel, P. Ouellet: Front-End Factor Analysis for Speaker "
    "Verification, IEEE TASLP 19(4), 2011",
    "@article{dehak2011frontend, title={Front-End Factor Analysis for Speaker Verification}, author={Dehak, "
    "Najim and Kenny, Patrick J. and Dehak, R{\\'e}da and Dumouchel, Pierre and Ouellet, Pierre}, "
    "journal={IEEE Transactions on Audio, Speech, and Language Processing}, volume={19}, number={4}, "
    "pages={788--798}, year={2011}}",
)
IVECTOR_LFCC = Origin(
    "i-vector extractor on linear-frequency cepstra, 64 Gaussians and 100 factors",
    "X. Zhou, D. Garcia-Romero, R. Duraiswami, C. Espy-Wilson, S. Shamma: Linear versus Mel Frequency Cepstral "
    "Coefficients for Speaker Recognition, ASRU 2011",
    "@inproceedings{zhou2011linear, title={Linear versus mel frequency cepstral coefficients for speaker "
    "recognition}, author={Zhou, Xinhui and Garcia-Romero, Daniel and Duraiswami, Ramani and Espy-Wilson, "
    "Carol and Shamma, Shihab}, booktitle={ASRU}, pages={559--564}, year={2011}}",
)
PLDA = Origin(
    "PLDA",
    "D. Garcia-Romero, C. Espy-Wilson: Analysis of i-vector Length Normalization in Speaker Recognition Systems, "
    "Interspeech 2011",
    "@inproceedings{garciaromero2011analysis, title={Analysis of i-vector Length Normalization in Speaker "
    "Recognition Systems}, author={Garcia-Romero, Daniel and Espy-Wilson, Carol Y.}, booktitle={Interspeech}, "
    "pages={249--252}, year={2011}}",
)
