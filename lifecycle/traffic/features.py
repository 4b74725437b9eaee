"""What a model's last but one layer makes of pictures: its own view of them, where labels and scores show little.

Kept as 32 numbers a picture, a random projection (Johnson and Lindenstrauss 1984, with the signs of Achlioptas 2003):
distances between pictures change by a few tenths, and a reference stays small however wide the layer is.
"""

from __future__ import annotations

import hashlib
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Buffer, Callable

    import numpy as np
    from numpy.typing import NDArray

    from classifier.bundles.reader import Bundle
    from classifier.engines.keras_engine import TracedModel

    type Row = tuple[float, ...]
    type Features = Callable[[Buffer], Row]

WIDTH = 32
_SEED = b"features"


def features_of(bundle: Bundle, model: TracedModel | None = None) -> Features | None:
    """The function of a picture (the model's input) that gives these numbers; None where there is no layer for it.

    `model` is the bundle's if it is there already. ModelError where Keras can't build it.
    """
    from classifier.engines.keras_engine import load, own_shape, traced
    from classifier.keras_json.architecture import read_architecture
    from classifier.phases import Phases

    architecture = read_architecture(bundle.parts["architecture"])
    model = model or load(bundle, Phases())
    whole = model.module.model
    tensor = _before_last(whole, model.outputs[0])
    if tensor is None:
        return None
    import keras

    preprocessing = model.serving.preprocessing
    inner = keras.Model(whole.inputs, tensor)
    call, module = traced(inner, preprocessing.shape, own_shape(architecture, preprocessing), [0])

    def features(picture: Buffer) -> Row:
        import numpy as np

        row = np.asarray(call(np.asarray(picture)), np.float32).ravel()
        assert module is not None  # a traced function does not keep its variables itself
        return tuple(float(f"{number:.5g}") for number in row @ _projection(len(row)))

    return features


def _before_last(model: Any, output: int) -> Any | None:  # noqa: ANN401 - Keras's tensors
    """What the last layer with weights takes before an output; None if that is the picture, or several things."""
    tensor = model.outputs[output]
    while True:
        layer, node, _ = tensor._keras_history  # noqa: SLF001 - a layer's public `input` fails where it is used twice
        given = layer._inbound_nodes[node].input_tensors  # noqa: SLF001
        if len(given) != 1:
            return None
        if layer.weights:
            return None if any(given[0] is one for one in model.inputs) else given[0]
        tensor = given[0]


@cache
def _projection(width: int) -> NDArray[np.float32]:
    """Signs, (width, 32), over the root of the width: from a hash, as no library's random numbers stay for ever."""
    import numpy as np

    bits = np.frombuffer(hashlib.shake_128(_SEED).digest(width * WIDTH // 8), np.uint8)
    signs = np.unpackbits(bits).astype(np.float32) * 2 - 1
    return signs.reshape(width, WIDTH) / np.float32(np.sqrt(width))
