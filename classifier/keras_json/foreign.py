"""Layers that are not Keras's own and that half the field uses all the same: without weights, of known arithmetic.

A class of the same name may be somebody else's. So only the options of the source named here are taken, and a weights
file that has numbers for such a layer is refused (keras_weights).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from classifier.errors import ModelNotAllowedError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from classifier.documents import Json
    from classifier.keras_json.graph import Value


@dataclass(frozen=True, slots=True)
class Foreign:
    """What is built for such a layer, the options that it may have (None: any value), and where it comes from."""

    kind: str
    source: str
    options: Mapping[str, Value] = field(default_factory=dict)
    takes: Mapping[str, tuple[Json, ...] | None] = field(default_factory=dict)


FOREIGN: dict[str, Foreign] = {
    "FixedDropout": Foreign(
        "Identity",
        "github.com/qubvel/efficientnet, efficientnet/model.py, get_dropout: Dropout, its mask's shape made complete",
        takes={"rate": None, "noise_shape": None, "seed": None},
    ),
    "DropConnect": Foreign(
        "Identity",
        "github.com/titu1994/keras-efficientnets, custom_objects.py: leaves pictures out of a block in training only",
        takes={"drop_connect_rate": None},
    ),
    "Swish": Foreign(
        "Activation",
        "github.com/titu1994/keras-efficientnets, custom_objects.py: tf.nn.swish; with `beta` in other projects",
        options={"activation": "silu"},
        takes={"beta": (1, None)},
    ),
}
_OF_ANY_LAYER = {"name", "trainable", "dtype", "batch_input_shape", "dynamic", "autocast"}


def read(kind: str, config: Mapping[str, Json], place: str) -> tuple[str, dict[str, Value]]:
    """Today's kind and options; ModelNotAllowedError for an option that the source does not have."""
    known = FOREIGN[kind]
    for option, value in config.items():
        allowed = known.takes.get(option) if option in known.takes else ()
        if option not in _OF_ANY_LAYER and allowed is not None and value not in allowed:
            shown = f"{option!r} = {str(value)[:80]}"
            raise ModelNotAllowedError(f"{place}: {kind} with {shown} is not that of {known.source}")
    return known.kind, dict(known.options)
