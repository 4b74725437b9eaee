"""Which part of a picture the model's input shows, whatever the pipeline crops or pads."""

from __future__ import annotations

from typing import TYPE_CHECKING

from classifier.pictures.pipelines.geometry import axes_of, middle, resized_to
from classifier.pictures.render import crop_box, inner_size
from classifier.records import Record

if TYPE_CHECKING:
    from classifier.pictures.pipelines.geometry import Axis
    from classifier.pictures.preprocessing import Preprocessing

type Span = tuple[float, float]


class Covered(Record):
    """Along one axis: the part of the picture that the input shows, and the part of the input that shows it.

    Both as fractions, from 0 to 1; the rest of the input is padding, and the rest of the picture is cut off.
    """

    picture: Span
    input: Span


def covered(spec: Preprocessing, width: int, height: int) -> tuple[Covered, Covered]:
    """The vertical and the horizontal part of an upright picture of that size."""
    if spec.pixels == "keras" and not spec.own:
        spans = _as_pillow(spec, width, height)
    else:
        tall, wide = axes_of(spec, height, width)
        spans = _span(tall), _span(wide)
    return _clipped(*spans[0]), _clipped(*spans[1])


def _span(axis: Axis) -> Span:
    """Where the input begins and ends in the picture, as fractions of it; beyond 0 and 1 where it is padded."""
    part, scale = axis.part, axis.part.size / axis.part.outputs
    first = part.first + (part.kept_first - axis.offset) * scale
    return first / part.length, (first + axis.outputs * scale) / part.length


def _as_pillow(spec: Preprocessing, width: int, height: int) -> tuple[Span, Span]:
    """The same for the boxes of `keras.utils.load_img`, and a centre crop after them."""
    whole = resized_to(spec, height, width)
    spans: tuple[Span, Span] = (0.0, 1.0), (0.0, 1.0)
    if spec.resize == "crop":
        left, top, right, bottom = crop_box((width, height), whole[1], whole[0])
        spans = (top / height, bottom / height), (left / width, right / width)
    elif spec.resize == "pad":
        inner = inner_size((width, height), whole[1], whole[0])
        spans = _padded(inner[1], whole[0]), _padded(inner[0], whole[1])
    tall, wide = map(_within, spans, whole, spec.size)
    return tall, wide


def _padded(inner: int, length: int) -> Span:
    first = (length - inner) // 2
    return -first / inner, (length - first) / inner


def _within(span: Span, length: int, kept: int) -> Span:
    """The middle `kept` of `length` places."""
    first, scale = middle(length, kept), (span[1] - span[0]) / length
    return span[0] + first * scale, span[0] + (first + kept) * scale


def _clipped(first: float, end: float) -> Covered:
    shown = max(first, 0.0), min(end, 1.0)
    if shown[0] >= shown[1]:  # a hair's breadth of a picture, of which rounding leaves nothing
        return Covered((0.0, 1.0), (0.0, 1.0))
    return Covered(shown, ((shown[0] - first) / (end - first), (shown[1] - first) / (end - first)))
