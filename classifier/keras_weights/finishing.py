"""What follows from the weights once they are set: kernels to turn round, constants that layers derive from weights."""

from __future__ import annotations

from typing import TYPE_CHECKING

from classifier.keras_json.backends import TURNED

if TYPE_CHECKING:
    from collections.abc import Iterator

    from classifier.keras_json.building import Built
    from classifier.keras_weights.variables import KerasLayer


def derive_constants(built: Built) -> None:
    """Have layers make anew what they had derived from their zero weights when they were built.

    An adapted Normalization computes with constants, not with its weights (preprocessing/normalization.py of Keras 3,
    `finalize_state`): without this it would leave pictures as they are.
    """
    for layer in _layers(built):
        finalize = getattr(layer, "finalize_state", None)
        if finalize is not None:
            finalize()


def turn_kernels(built: Built) -> None:
    """Turn each convolution's kernel round: Theano's convolutions do, so what it trained is stored the other way round.

    Keras did so when it loaded such a file with TensorFlow (`preprocess_weights_for_loading` of engine/saving.py in
    2.2.4, utils/conv_utils.py, `convert_kernel`). A kernel's last two axes are channels.
    """
    import numpy as np

    for layer in _layers(built):
        if type(layer).__name__ in TURNED:
            kernel = np.asarray(layer.kernel)
            layer.kernel.assign(np.flip(kernel, tuple(range(kernel.ndim - 2))))


def _layers(built: Built) -> Iterator[KerasLayer]:
    """Each layer of the model once, those inside of models and wrappers too."""
    seen: set[int] = set()
    for layer in built.model._flatten_layers():  # noqa: SLF001 - Keras offers no other walk into wrappers
        if id(layer) not in seen:
            seen.add(id(layer))
            yield layer
