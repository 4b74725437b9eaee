"""Whether a bundle gives what its source gives: on the probes that compiling uses, and on sample pictures.

A source of Keras 3 is loaded by Keras itself. For Keras 2's files the project's loader is the only one that reads them
right (today's Keras refuses them, or answers something else): there every number in the model is looked up in the file.
"""

from __future__ import annotations

import hashlib
import warnings
from collections import Counter
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from classifier.compiling.agreement import compared
from classifier.engines.keras_engine import KerasEngine, TracedModel, load
from classifier.engines.probes import answers, names, probe_arrays
from classifier.phases import Phases
from lifecycle.errors import ModelsError
from lifecycle.outputs import settled

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from mmap import mmap

    import numpy as np
    from numpy.typing import NDArray

    from classifier.bundles.reader import Bundle
    from lifecycle.source import KerasSource

LARGEST_DIFFERENCE = 1e-5
"""Largest difference of a score from the source's own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """What comparing came to. `by` is what the source was loaded with; without it the differences are None."""

    by: str
    probes: int
    samples: int
    largest_difference: float | None
    top_label_agreement: float | None
    left_out: tuple[str, ...]
    """Probes for which the source itself gives no numbers."""
    arrays: int
    """Arrays of the model that are in the source's file, bit by bit: all of them, or the model is refused."""

    def as_dict(self) -> dict[str, Any]:
        """As published.json holds it."""
        return asdict(self)


def compare(source: KerasSource, bundle: Bundle, samples: Sequence[bytes]) -> tuple[Agreement, TracedModel, list[str]]:
    """Load the bundle as the function does and hold it against its source.

    ModelsError when they differ by more than 1e-5, ModelError when the bundle can't be loaded.
    """

    model = load(bundle, Phases())  # first: it refuses what could run code, before Keras gets to see the file
    arrays = _count_arrays(model, bundle.weights)
    probes = probe_arrays(model.serving.preprocessing, samples)
    own = answers(KerasEngine(model.call).predict, probes)
    shape, serving, doubts = settled(model.shape, own, bundle.parts["serving"])
    model = replace(model, shape=shape, serving=serving)
    by, reference = _reference(source, model)
    agreement = None
    if reference is not None:
        agreement = compared(model.serving, own, answers(reference, probes), names(len(probes)))
        if why := agreement.refusal(f"{by}'s", LARGEST_DIFFERENCE):
            raise ModelsError(f"refused: {why}")
    return (
        Agreement(
            by=by,
            probes=len(probes) - len(samples),
            samples=len(samples),
            largest_difference=agreement.largest_difference if agreement else None,
            top_label_agreement=agreement.top_label if agreement else None,
            left_out=agreement.left_out if agreement else (),
            arrays=arrays,
        ),
        model,
        doubts,
    )


type Reference = Callable[[NDArray[np.float32]], NDArray[np.float32]]


def _reference(source: KerasSource, model: TracedModel) -> tuple[str, Reference | None]:
    """What the source says, by its own means, for a picture (1, height, width, channels); None where there are none."""
    import keras
    import numpy as np

    if source.load is None:
        return f"the project's loader only: no other reads Keras {source.writer}'s files", None
    try:
        original = source.load()
    except Exception as error:  # noqa: BLE001 - Keras raises whatever it stumbles over
        return f"the project's loader only: Keras {keras.__version__} itself can't load it ({_first(error)})", None
    own = tuple(original.inputs[0].shape[1:])
    shape = (model.shape.height, model.shape.width, model.shape.channels)

    def answer(picture: NDArray[np.float32]) -> NDArray[np.float32]:
        if len(own) < 3:
            picture = picture.reshape(1, *model.serving.row)
        elif own != shape:
            picture = picture.transpose(0, 3, 1, 2)
        with warnings.catch_warnings(action="ignore"):  # it likes its inputs in the form in which they were named
            found = keras.tree.flatten(original(picture, training=False))
        return np.concatenate([np.asarray(found[index], np.float32).reshape(-1) for index in model.outputs])

    return f"Keras {keras.__version__}", answer


def _count_arrays(model: TracedModel, weights: bytes | mmap) -> int:
    """How many arrays the model has, after checking that each is in the file as often as in the model."""
    import numpy as np

    from classifier.keras_weights.store import open_store
    from classifier.keras_weights.variables import is_random_state

    kept = [variable for variable in model.module.model.variables if not is_random_state(variable)]
    wanted = Counter(_digest(np.asarray(variable.value)) for variable in kept)
    with open_store(weights, 2**40) as store:
        there = Counter(_digest(dataset.read()) for dataset in store.datasets.values())
    if missing := (wanted - there).total():
        raise ModelsError(f"refused: {missing} of {len(kept)} arrays of the model are not in the file as it has them")
    return len(kept)


def _digest(array: NDArray[Any]) -> str:
    import numpy as np

    data = np.ascontiguousarray(array, np.float32)
    return hashlib.sha256(repr(data.shape).encode() + data.tobytes()).hexdigest()


def _first(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0][:160] if lines else ''}"
