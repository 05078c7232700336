"""Converts a recording with a checkout of DuTa-VC (github.com/WangHelin1997/DuTa-VC, f87418c9), which has no command.

It is run in the checkout by the checkout's own interpreter, so it imports nothing of Voxveil. The steps and their
numbers are those of ``demos/inference_librispeech.py``, but for the content's tempo, which stays: its change needs the
phonemes' durations in both voices.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import librosa
import numpy as np
import soundfile as sf
import torch

RATE, N_FFT, HOP = 22_050, 1024, 256
STEPS = 100


def _log_mel(path: str) -> Any:
    """The log magnitudes [80, frame] of the mel bands up to 8 kHz of a sound file."""
    wave = librosa.load(path, sr=RATE)[0]
    wave = np.pad(wave[: len(wave) // HOP * HOP], (N_FFT - HOP) // 2, mode="reflect")
    spectrum = librosa.stft(wave, n_fft=N_FFT, hop_length=HOP, window="hann", center=False)
    bands = librosa.filters.mel(sr=RATE, n_fft=N_FFT, n_mels=80, fmin=0, fmax=8000)
    return np.log(np.maximum(bands @ np.sqrt(np.abs(spectrum) ** 2 + 1e-9), 1e-5))


def _without_hiss(mel: Any, floor: float = 0.02) -> Any:
    """``mel`` less the noise of its quietest five frames: spectral subtraction on the power of every band."""
    power = np.exp(2.0 * mel)
    loudness = power.sum(0)
    start = int(np.argmin([loudness[n : n + 5].sum() for n in range(mel.shape[1] - 5)]))
    noise = power[:, start : start + 5].min(1)
    low, high = np.append(noise[:1], noise[:-1]), np.append(noise[1:], noise[-1:])
    noise = np.minimum(high, np.median([low, noise, high], axis=0))[:, None]
    return 0.5 * np.log(np.maximum(power - noise, floor * noise))


def _networks(voice: Path, vocoder: Path, device: torch.device) -> tuple[Any, Any]:
    """The conversion network and the vocoder of the checkout, with their weights."""
    import params  # type: ignore[import-not-found]
    from env import AttrDict  # type: ignore[import-not-found]
    from model import DiffVC  # type: ignore[import-not-found]
    from models import Generator  # type: ignore[import-not-found]

    sizes = "n_mels channels filters heads layers kernel dropout window_size enc_dim spk_dim use_ref_t dec_dim"
    convert = DiffVC(*(getattr(params, size) for size in f"{sizes} beta_min beta_max".split()))
    convert.load_state_dict(torch.load(voice, map_location="cpu", weights_only=True))
    speak = Generator(AttrDict(json.loads(vocoder.with_name("config.json").read_text())))
    speak.load_state_dict(torch.load(vocoder, map_location="cpu", weights_only=True)["generator"])
    speak.remove_weight_norm()
    return convert.to(device).eval(), speak.to(device).eval()


def main() -> None:
    """Reads the arguments, converts, and writes the output."""
    parser = argparse.ArgumentParser()
    for name in ("--reference", "--content", "--output"):
        parser.add_argument(name, required=True)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    here = Path.cwd()
    sys.path[:1] = [str(here), str(here / "hifi-gan"), str(here / "speaker_encoder")]
    from encoder import inference as speaker  # type: ignore[import-not-found]

    torch.manual_seed(given.seed)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    convert, speak = _networks(here / "checkpts/vc/vc.pt", here / "checkpts/vocoder/generator", device)
    speaker.load_model(here / "checkpts/spk_encoder/pretrained.pt", device=str(device))
    embedding = speaker.embed_utterance(speaker.preprocess_wav(given.reference))
    mean, deviation = np.loadtxt(here / "libritts_data/global_mean_var.txt")[:, :, None]

    def batch(values: Any) -> torch.Tensor:
        return torch.from_numpy(values).float()[None].to(device)

    # The content is normalised and the reference is not: so do the authors.
    content, reference = batch((_log_mel(given.content) - mean) / deviation), batch(_log_mel(given.reference))
    lengths = [torch.tensor([mel.shape[-1]], device=device) for mel in (content, reference)]
    converted = convert(content, lengths[0], reference, lengths[1], batch(embedding), n_timesteps=STEPS, mode="ml")[1]
    mel = _without_hiss(converted[0].cpu().numpy() * deviation + mean)
    with torch.no_grad():
        sf.write(given.output, speak(batch(mel)).cpu().numpy().ravel(), RATE)


if __name__ == "__main__":
    main()
