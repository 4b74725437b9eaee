"""What the loss that a model was trained with takes, for each of its outputs: a witness of what its numbers are.

Read from `compile_config` (Keras 2.12 and later) and `training_config` (HDF5 files); nothing of it is ever built.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from classifier.keras_json.words import words

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from classifier.documents import Json

_ONE_LABEL: Final = words("""
    categorical_crossentropy sparse_categorical_crossentropy categorical_focal_crossentropy kl_divergence kld
    kullback_leibler_divergence categorical_generalized_cross_entropy
""")
_INDEPENDENT: Final = words("binary_crossentropy binary_focal_crossentropy")
_QUANTITIES: Final = words("""
    mean_squared_error mse mean_absolute_error mae mean_absolute_percentage_error mape huber huber_loss
    mean_squared_logarithmic_error msle log_cosh logcosh poisson
""")
_MARGINS: Final = words("hinge squared_hinge categorical_hinge")


def taken(config: Json, names: Sequence[str]) -> tuple[str | None, ...]:
    """For each output "softmax", "sigmoid", "logits", "sigmoid_logits", "regression" or "margins"; None: not known."""
    losses = config.get("loss") if isinstance(config, dict) else None
    if isinstance(losses, list) and len(losses) == len(names):
        return tuple(map(_taken, losses))
    if isinstance(losses, dict) and "class_name" not in losses:
        return tuple(_taken(losses.get(name)) for name in names)
    return tuple(_taken(losses) for _ in names)


def _taken(loss: Json) -> str | None:
    from_logits = False
    if isinstance(loss, dict):
        config = loss.get("config")
        from_logits = isinstance(config, dict) and config.get("from_logits") is True
        loss = config if loss.get("class_name") == "function" else loss.get("class_name")
    if not isinstance(loss, str):
        return None
    name = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", loss.rpartition(">")[2]).lower()
    name = "kl_divergence" if name == "kldivergence" else name
    if name in _ONE_LABEL:
        return "logits" if from_logits else "softmax"
    if name in _INDEPENDENT:
        return "sigmoid_logits" if from_logits else "sigmoid"
    if name in _QUANTITIES:
        return "regression"
    return "margins" if name in _MARGINS else None


def of_training(config: Mapping[str, Json]) -> dict[str, Json]:
    """The part of an HDF5 file's `training_config` that is read here, as `compile_config` has it."""
    nested = config.get("config") if isinstance(config.get("config"), dict) else config
    return {"loss": nested.get("loss")} if isinstance(nested, dict) else {}
