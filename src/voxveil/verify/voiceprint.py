"""A voiceprint as a file: an enrolled speaker's embedding, and which encoder can compare it.

The file is safetensors, one tensor ``voiceprint`` [dim] with metadata, so that reading one runs no code. A voiceprint
identifies a person as a fingerprint does, and rough speech can be made from one: it is personal data.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from jaxtyping import Float
from torch import Tensor

from voxveil.audio.recording import cause
from voxveil.errors import BadInputError
from voxveil.whole_file import write_whole

SUFFIX = ".safetensors"
KIND = "voxveil voiceprint "
FORMAT = KIND + "1"


@dataclass(frozen=True, eq=False)
class Voiceprint:
    """The normalised mean of the embeddings of ``clips`` recordings.

    ``encoder`` is the name of the encoder's card, and ``sha256`` that of its weights: embeddings of other weights
    cannot be compared with it.
    """

    embedding: Float[Tensor, "1 dim"]
    encoder: str
    sha256: str
    clips: int


def write_voiceprint(path: Path, voice: Voiceprint) -> None:
    """Writes ``voice`` to ``path`` in one step; raises :class:`~voxveil.errors.BadOutputError`.

    >>> import tempfile, torch
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_voiceprint(Path(folder, "ann.safetensors"), Voiceprint(torch.ones(1, 4), "toy", "0" * 64, clips=2))
    ...     read_voiceprint(Path(folder, "ann.safetensors")).clips
    2
    """
    from safetensors.torch import save

    about = {"format": FORMAT, "encoder": voice.encoder, "sha256": voice.sha256, "clips": str(voice.clips)}
    write_whole(path, save({"voiceprint": voice.embedding[0].detach().cpu().float().contiguous()}, about))


def read_voiceprint(path: Path) -> Voiceprint:
    """The voiceprint in ``path``, on the CPU.

    Raises :class:`~voxveil.errors.BadInputError` for a file that is missing, damaged or no voiceprint of this format.

    >>> read_voiceprint(Path("gone.safetensors"))
    Traceback (most recent call last):
    voxveil.errors.BadInputError: gone.safetensors does not exist.
    """
    from safetensors import SafetensorError, safe_open

    try:
        path.open("rb").close()  # safetensors' own errors do not say what the system said
        with safe_open(path, framework="pt") as file:
            about, names = file.metadata() or {}, list(file.keys())
            tensor: Tensor | None = file.get_tensor("voiceprint") if names == ["voiceprint"] else None
    except FileNotFoundError:
        raise BadInputError(f"{path} does not exist.") from None
    except OSError as error:
        raise BadInputError(f"{path} cannot be read: {cause(error)}.") from error
    except SafetensorError as error:
        raise BadInputError(f"{path} is damaged, or no voiceprint: make it with 'voxveil verify enrol'.") from error
    written_as = about.get("format", "")
    if written_as.startswith(KIND) and written_as != FORMAT:
        raise BadInputError(f"{path} is a '{written_as}' and this Voxveil reads '{FORMAT}': enrol again.")
    if tensor is None or not _complete(about, tensor):
        raise BadInputError(f"{path} is no voiceprint: make it with 'voxveil verify enrol'.")
    return Voiceprint(tensor[None].float(), about["encoder"], about["sha256"], int(about["clips"]))


def _complete(about: dict[str, str], tensor: Tensor) -> bool:
    return (
        about.get("format") == FORMAT
        and {"encoder", "sha256"} <= about.keys()
        and about.get("clips", "").isdecimal()
        and tensor.dim() == 1
        and tensor.is_floating_point()
        and bool(tensor.isfinite().all())
        and bool(tensor.any())
    )
