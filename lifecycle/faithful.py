"""Whether a bundle gives what its source gives: on the probes that compiling uses, and on sample pictures.

A source of Keras 3 is loaded by Keras itself. For Keras 2's files the project's loader is the only one that reads them
right (today's Keras refuses them, or answers something else): there every number in the model is looked up in the file.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from classifier.compiling.compiler import TIE, probe_arrays
from classifier.engines.keras_engine import KerasEngine, TracedModel, load
from classifier.phases import Phases
from lifecycle.errors import ModelsError

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
    arrays: int
    """Arrays of the model that are in the source's file, bit by bit: all of them, or the model is refused."""

    def as_dict(self) -> dict[str, Any]:
        """As published.json holds it."""
        return asdict(self)


def compare(source: KerasSource, bundle: Bundle, samples: Sequence[bytes]) -> tuple[Agreement, TracedModel]:
    """Load the bundle as the function does and hold it against its source.

    ModelsError when they differ by more than 1e-5, ModelError when the bundle can't be loaded.
    """
    import numpy as np

    model = load(bundle, Phases())  # first: it refuses what could run code, before Keras gets to see the file
    arrays = _count_arrays(model, bundle.weights)
    probes = probe_arrays(model.serving.preprocessing, samples)
    own = KerasEngine(model.call)
    answers = np.array([model.serving.scores(own.predict(probe)) for probe in probes], np.float32)
    by, reference = _reference(source, model)
    difference = agreement = None
    if reference is not None:
        expected = np.array([model.serving.scores(reference(probe).tolist()) for probe in probes], np.float32)
        difference = float(np.abs(answers - expected).max())
        rows = np.arange(len(probes))
        agreement = float((expected.max(1) - expected[rows, answers.argmax(1)] <= TIE).mean())
        _refuse_difference(by, difference, agreement)
    return Agreement(
        by=by,
        probes=len(probes) - len(samples),
        samples=len(samples),
        largest_difference=difference,
        top_label_agreement=agreement,
        arrays=arrays,
    ), model


def _refuse_difference(by: str, difference: float, agreement: float) -> None:
    if not difference <= LARGEST_DIFFERENCE:  # NaN is a difference too
        raise ModelsError(
            f"refused: scores differ from {by}'s by {difference:.2g}, at most {LARGEST_DIFFERENCE:g} is allowed"
        )
    if agreement < 1:
        raise ModelsError(f"refused: the top label agrees with {by} on {agreement:.0%} of the pictures only")


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
    shape = (model.shape.height, model.shape.width, model.shape.channels)
    channels_first = tuple(original.input_shape[1:]) != shape

    def answer(picture: NDArray[np.float32]) -> NDArray[np.float32]:
        given = picture.transpose(0, 3, 1, 2) if channels_first else picture
        return np.asarray(original(given, training=False), np.float32).reshape(-1)

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
