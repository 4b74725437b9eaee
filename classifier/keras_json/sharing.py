"""Arrays whose memory TensorFlow takes over as it is, so that a variable costs its size once, not three times."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    import numpy as np

_ALIGNMENT: Final = 64
"""TensorFlow ends the process over a tensor that begins elsewhere (EIGEN_MAX_ALIGN_BYTES with AVX-512)."""
_LEAST_BYTES: Final = 1 << 16
"""Smaller ones are copied: they cost nothing."""
_SHARED: Final = frozenset({"float16", "float32", "float64", "int8", "int16", "int32", "int64", "uint8"})

type Tensor = Any


def empty(shape: tuple[int, ...], dtype: np.dtype[Any]) -> np.ndarray:
    """An array to be filled, at an address that TensorFlow takes."""
    return _placed(shape, dtype, zeroed=False)


def zeros(shape: tuple[int, ...], dtype: str) -> Tensor:
    """A tensor of zeros. The system gives it memory when it is first written to, which a weight's never is."""
    import keras
    import numpy as np

    if dtype not in _SHARED or prod(shape) * np.dtype(dtype).itemsize < _LEAST_BYTES:
        return keras.ops.zeros(shape, dtype=dtype)
    return tensor(_placed(shape, np.dtype(dtype), zeroed=True))


def tensor(array: np.ndarray) -> Tensor:
    """A tensor of an array that nobody writes to any more: of its own memory where that can be, else of a copy."""
    import tensorflow as tf

    shareable = array.dtype.name in _SHARED and array.dtype.isnative and array.flags.c_contiguous
    if not shareable or array.nbytes < _LEAST_BYTES or array.ctypes.data % _ALIGNMENT:
        return tf.convert_to_tensor(array)
    return tf.experimental.dlpack.from_dlpack(array.__dlpack__())


def _placed(shape: tuple[int, ...], dtype: np.dtype[Any], *, zeroed: bool) -> np.ndarray:
    import numpy as np

    size = prod(shape) * dtype.itemsize
    raw = (np.zeros if zeroed else np.empty)(size + _ALIGNMENT, np.uint8)
    start = -raw.ctypes.data % _ALIGNMENT
    return raw[start : start + size].view(dtype).reshape(shape)
