"""What Keras 2 computed otherwise with Theano, CNTK and others than with TensorFlow.

Theano turned convolution kernels round (keras/engine/saving.py of 2.2.4, `_need_convert_kernel`), which keras_weights
undoes as Keras itself did; and it padded otherwise, which nothing can undo (keras/backend/theano_backend.py).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from classifier.errors import ModelError, ModelNotAllowedError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from classifier.keras_json.graph import Value

SAME: Final = frozenset({"tensorflow", "jax", "torch", "numpy", "openvino"})
"""What computes as TensorFlow does; Keras 3 took care of that, and its JSON names none."""
OTHERS: Final = frozenset({"theano", "cntk"})
TURNED: Final = frozenset({"Conv1D", "Conv2D", "Conv3D", "Conv2DTranspose", "Conv3DTranspose"})
"""Layers whose kernels Keras turned round when it loaded what Theano had trained."""
_CONVOLUTIONS: Final = ("Conv", "DepthwiseConv", "SeparableConv")


def check(kind: str, options: Mapping[str, Value], backend: str, place: str) -> None:
    """Raise ModelError if a layer of this backend can't be computed as it was, ModelNotAllowedError for an unknown one.

    Compared with files that Keras 2.2.4 wrote on Theano 1.0.5; depthwise kernels it did not turn.
    """
    if backend in SAME:
        return
    if backend not in OTHERS:
        raise ModelNotAllowedError(f"{place}: backend {backend[:40]!r} is not known, its arithmetic might differ")
    if kind.startswith("ConvLSTM"):
        raise ModelError(f"{place}: {backend} computed {kind} otherwise than TensorFlow")
    if options.get("interpolation") == "bilinear":
        raise ModelError(f"{place}: {backend} interpolated otherwise than TensorFlow")
    if options.get("padding") == "same" and (not kind.startswith(_CONVOLUTIONS) or not _is_symmetric(options)):
        raise ModelError(
            f"{place}: {backend} padded otherwise than TensorFlow for padding 'same', so every output would differ; "
            "only convolutions with odd kernels and strides of 1 are the same"
        )


def _is_symmetric(options: Mapping[str, Value]) -> bool:
    sizes, strides = _numbers(options.get("kernel_size")), _numbers(options.get("strides", 1))
    return all(size % 2 == 1 for size in sizes) and all(stride == 1 for stride in strides)


def _numbers(value: Value) -> list[int]:
    return [item for item in value if isinstance(item, int)] if isinstance(value, list) else [int(str(value))]
