"""Puts arrays into variables, checks shapes and numbers, and knows afterwards which variables were left out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from classifier.errors import ModelError
from classifier.keras_json import sharing
from classifier.keras_weights.variables import KerasLayer, Variable, is_random_state

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np

    from classifier.keras_weights.store import Dataset

_PART = 1 << 22


class Assigner:
    """Assigns weights; one for each load."""

    def __init__(self) -> None:
        self._set: set[int] = set()

    def assign(self, place: str, variables: Sequence[Variable], datasets: Sequence[Dataset]) -> None:
        """Set each variable of the layer `place` from the dataset at its position."""
        if len(variables) != len(datasets):
            raise ModelError(
                f"weights: layer {place!r} needs {len(variables)} arrays ({_shapes(variables)}), "
                f"the file has {len(datasets)} ({_shapes(datasets)})"
            )
        for variable, dataset in zip(variables, datasets, strict=True):
            self.set(place, variable, dataset)

    def set(self, place: str, variable: Variable, dataset: Dataset) -> None:
        """Set one variable; the shapes must be equal, the numbers finite."""
        import numpy as np

        if tuple(variable.shape) != dataset.shape:
            raise ModelError(
                f"weights: {variable.name!r} of layer {place!r} has shape {tuple(variable.shape)}, "
                f"the file's {dataset.path!r} has {dataset.shape}"
            )
        array = dataset.read()
        if array.dtype.kind not in "fiub":
            raise ModelError(f"weights: {dataset.path!r} holds {array.dtype}, not numbers")
        if variable.dtype in ("float16", "float32", "float64"):
            with np.errstate(over="ignore"):
                array = array.astype(variable.dtype, copy=False)
        if not _is_finite(array):
            raise ModelError(f"weights: {dataset.path!r} of layer {place!r} holds NaN or infinity")
        variable.assign(sharing.tensor(array))
        self._set.add(id(variable))

    def check_all_set(self, model: KerasLayer) -> None:
        """Raise ModelError if a weight of the model got no value; states of random generators don't count."""
        left = [weight for weight in model.weights if id(weight) not in self._set]
        missing = [weight.path for weight in left if not is_random_state(weight)]
        if missing:
            raise ModelError(f"weights: {len(missing)} of the model's are not in the file: {', '.join(missing[:10])}")


def _is_finite(array: np.ndarray) -> bool:
    """Whether no number is NaN or infinite, found out in parts: the answer of a whole array takes a quarter of it."""
    import numpy as np

    flat = array.reshape(-1)
    return all(bool(np.isfinite(flat[start : start + _PART]).all()) for start in range(0, flat.size, _PART))


def _shapes(items: Sequence[Any]) -> str:
    return ", ".join(str(tuple(item.shape)) for item in items[:8])
