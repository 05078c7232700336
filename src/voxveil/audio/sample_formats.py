"""Samples as the integers and floats, interleaved or in planes, that encoders take and decoders give.

Format names are ffmpeg's: ``u8``, ``s16``, ``s32``, ``flt``, ``dbl``, and with a ``p`` at the end one plane a channel.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from voxveil.audio.resample import Samples


def left_justified(block: Samples, bits: int) -> NDArray[np.int32]:
    """``block`` rounded to ``bits`` bits and limited to [−1, 1), as int32 with the unused low bits zero.

    >>> left_justified(np.array([[0.5, 2.0]]), 16).tolist()
    [[1073741824, 2147418112]]
    """
    top = 2 ** (bits - 1)
    integers = np.clip(np.rint(block * float(top)), -top, top - 1).astype(np.int64)
    return (integers << (32 - bits)).astype(np.int32)


def to_format(block: Samples, name: str, bits: int) -> NDArray[Any]:
    """``block`` [channel, time] in the sample format ``name``; interleaved formats are one row.

    ``s32`` is rounded to ``bits`` bits: codecs of 24 take it as well.

    >>> to_format(np.array([[0.5], [-1.0]]), "s16", 16).tolist()
    [[16384, -32768]]
    """
    values: NDArray[Any] = block
    match name.removesuffix("p"):
        case "s16":
            values = (left_justified(block, 16) >> 16).astype(np.int16)
        case "s32":
            values = left_justified(block, bits)
        case "u8":
            values = ((left_justified(block, 8) >> 24) + 128).astype(np.uint8)
        case "flt":
            values = block.astype(np.float32)
    return np.ascontiguousarray(values if name.endswith("p") else values.T.reshape(1, -1))


def from_format(values: NDArray[Any], name: str, channels: int) -> Samples:
    """What :func:`to_format` gave, as float64 [channel, time]; full scale of the integer formats is 1.

    >>> from_format(np.array([[16384, -32768]], np.int16), "s16", 2).tolist()
    [[0.5], [-1.0]]
    """
    if not name.endswith("p"):
        values = values.reshape(-1, channels).T
    if values.dtype == np.uint8:
        return (values.astype(np.float64) - 128.0) / 128.0
    scale = 2.0 ** (8 * values.dtype.itemsize - 1) if values.dtype.kind == "i" else 1.0
    return np.ascontiguousarray(values.astype(np.float64) / scale)


def nearest_format(offered: list[str], wanted: str) -> str:
    """The encoder's sample format nearest to the decoder's: the same, the same interleaved or not, a float, any.

    >>> nearest_format(["s16", "s32p", "fltp"], "s32")
    's32p'
    """
    plain = wanted.removesuffix("p")
    return next((name for name in (wanted, plain, plain + "p", "fltp", "flt") if name in offered), offered[0])
