"""From an architecture and a weights file to a model that is ready to answer; the layout is told by content."""

from __future__ import annotations

from math import prod
from pathlib import Path
from typing import TYPE_CHECKING

from classifier.errors import ModelError
from classifier.keras_weights import finishing, keras3, legacy, variables
from classifier.keras_weights.assign import Assigner
from classifier.keras_weights.store import Store, open_store

if TYPE_CHECKING:
    from collections.abc import Callable
    from mmap import mmap

    import keras

    from classifier.keras_json.architecture import Architecture
    from classifier.keras_json.building import Built
    from classifier.keras_json.limits import Limits

_LEAST_BYTES = 1_000_000
_FLOAT32_BYTES = 4
_ROOTS = ("", "model_weights")
"""Where Keras 2 puts weights: a file of weights only, and a whole model's."""


def load_model(
    architecture: Architecture, weights: bytes | mmap | Path, check: Callable[[int], None] = lambda _: None
) -> keras.Model:
    """Build the model and set every weight from `weights` (an HDF5 file's bytes, its mapping, or its path).

    `check` gets the bytes that the variables will take before any is made, and may raise. Memory holds them once.

    Layouts: Keras 3's, Keras 2's `save_weights`, Keras 2's whole-model file, TensorFlow 2.12's. The model is not
    compiled. Raises ModelError naming layer and shapes where they don't fit, ModelNotAllowedError for a file that reads
    elsewhere, ModelTooLargeError.
    """
    with open_store(weights, _max_bytes(weights, architecture.limits)) as store:
        check(store.elements * _FLOAT32_BYTES)
        built = architecture.build(stored=store.elements)
        assigner = Assigner()
        try:
            _load(built, store, assigner)
            assigner.check_all_set(built.model)
        except ModelError as error:
            raise _of_another_model(error, built, store) from error
        if _backend(store, architecture) == "theano":
            finishing.turn_kernels(built)
        finishing.derive_constants(built)
        return built.model


def _of_another_model(error: ModelError, built: Built, store: Store) -> ModelError:
    """The same error; with both counts where they say that the weights are not this model's."""
    asked = sum(prod(owned.variable.shape) for owned in variables.of("", built))
    if type(error) is not ModelError or asked == store.elements:
        return error
    return ModelError(f"{error}; the file has {store.elements:,} numbers, the architecture asks for {asked:,}")


def _max_bytes(weights: bytes | mmap | Path, limits: Limits) -> int:
    """What a file of this size may declare: zlib shrinks zeros a thousandfold, real weights hardly."""
    try:
        size = weights.stat().st_size if isinstance(weights, Path) else len(weights)
    except OSError as error:
        raise ModelError(f"weights: {error}") from error
    return min(limits.max_parameters * 4, max(size * limits.max_inflation, _LEAST_BYTES))


def _backend(store: Store, architecture: Architecture) -> str:
    """What the weights were trained with; Keras 2 notes it in the file, too, which may be another than the JSON's."""
    for root in _ROOTS:
        if root in store.groups and (found := store.text(root, "backend")):
            return found
    return architecture.backend


def _load(built: Built, store: Store, assigner: Assigner) -> None:
    for root in _ROOTS:
        if root in store.groups and store.names(root, "layer_names") is not None:
            legacy.load(built, store, root, assigner)
            return
    if keras3.is_layout(store):
        keras3.Loader(built, store, assigner).load()
        return
    raise ModelError(f"weights: unknown layout, its groups are {', '.join(sorted(store.groups)[:10])!r}")
