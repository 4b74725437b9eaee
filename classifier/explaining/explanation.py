"""The part of a reply that says why: which label, by which method, where in the picture, and the map itself."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Protocol

from classifier.errors import RequestError
from classifier.explaining import activation
from classifier.explaining.grids import normalised, resampled
from classifier.explaining.occlusion import occlusion
from classifier.pictures.covered import covered
from classifier.printable import printable
from classifier.records import Record

if TYPE_CHECKING:
    from array import array
    from collections.abc import Callable, Sequence

    from classifier.bundles.scores import Head
    from classifier.bundles.serving import Serving
    from classifier.explaining.activation import Places
    from classifier.explaining.grids import Grid
    from classifier.pictures.headers.picture import ImageLimits, Picture
    from classifier.pictures.render import DecodedImage
    from classifier.web.sources import Explain

    type Numbers = array[float]

ACTIVATION, OCCLUSION = "class activation map", "occlusion"
NAMED_LABELS = 10
_SHOWN = 60
_BOX_DIGITS = 4


class Model(Protocol):
    """What is needed of a loaded model."""

    @property
    def serving(self) -> Serving: ...
    @property
    def engine(self) -> Any: ...  # noqa: ANN401 - classifier.engines.Engine
    @property
    def read_head(self) -> Callable[[float], bytes] | None: ...


class Answered(Record):
    """One picture and what the model said of it: its file, its pixels, the model's input, and its output."""

    checked: Picture
    picture: DecodedImage
    input: memoryview[float]
    raw: Numbers
    places: Places | None


def answer(model: Model, picture: memoryview[float], deadline: float) -> tuple[Numbers, Places | None]:
    """The model's output for its input, just as without being asked why, and what places add, if one run tells both."""
    both = None
    if len(model.serving.heads) == 1:
        both = activation.answer(model.engine, model.read_head, picture, deadline)
    return both or (model.engine.predict(picture), None)


def explained(asked: Explain, model: Model, answered: Answered, limits: ImageLimits, deadline: float) -> dict[str, Any]:
    """The reply's `explanation`, and `overlay`, the picture with the map on it as PNG in base64, if that is asked for.

    RequestError for a label that the model has not, OutOfTimeError where the deadline (time.monotonic()) comes first.
    Of a model of several outputs the first is explained.
    """
    head, numbers = next(model.serving.parts(answered.raw))
    label = chosen(asked, head, numbers)
    grid, method = _map(model, head, label, answered, deadline)
    tall, wide = covered(model.serving.preprocessing, answered.picture.width, answered.picture.height)
    map_ = normalised(resampled(grid, tall.input, wide.input))
    box = [wide.picture[0], tall.picture[0], wide.picture[1], tall.picture[1]]
    explanation = {
        "label": head.labels[label],
        "method": method,
        "box": [round(edge, _BOX_DIGITS) for edge in box],
        "map": map_,
    }
    if not asked.png:
        return {"explanation": explanation}
    from classifier.explaining.overlay import overlay

    return {
        "explanation": explanation,
        "overlay": overlay(answered.checked, answered.picture, box, map_, limits, deadline),
    }


def chosen(asked: Explain, head: Head, numbers: Sequence[float]) -> int:
    """The label to explain, by its place among the output's: the one asked for, else the first of the predictions."""
    if asked.label is None:
        return head.labels.index(head.predictions(numbers, 1)[0]["label"])
    if asked.label in head.labels:
        return head.labels.index(asked.label)
    some = ", ".join(head.labels[:NAMED_LABELS])
    more = f" and {len(head.labels) - NAMED_LABELS} more" if len(head.labels) > NAMED_LABELS else ""
    raise RequestError(
        f"explain: {len(asked.label)} characters that are no label",
        public=printable(
            f"explain is {asked.label[:_SHOWN]!r}, which is no label of this model: give true for the best one, or one "
            f"of {some}{more}."
        ),
    )


def _map(model: Model, head: Head, label: int, answered: Answered, deadline: float) -> tuple[Grid, str]:
    """What speaks for the label at each place of the model's input, and how that was found."""
    one_for_two = head.units < len(head.labels)
    found = None if answered.places is None else answered.places.of(0 if one_for_two else label)
    if found is not None:
        against = one_for_two and label == 0
        return ([[-number for number in row] for row in found] if against else found), ACTIVATION

    def score(raw: Numbers) -> float:
        there = next(model.serving.parts(raw))[1]
        return head.scores(there)[label] if all(map(math.isfinite, there)) else math.nan

    return occlusion(model.engine.predict, score, answered.input, score(answered.raw), deadline), OCCLUSION
