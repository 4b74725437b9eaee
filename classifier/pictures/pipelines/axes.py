"""Which samples of an axis make which output, with what weights: the resizes of TensorFlow and OpenCV.

Sources: TensorFlow's image_resizer_state.h, resize_bilinear_op, resize_bicubic_op, resize_area_op,
scale_and_translate_op and sampling_kernels.h (float32; pixel centres at i + 0.5); OpenCV's resize.cpp (float64 scale).
"""

from __future__ import annotations

import math
from array import array
from functools import lru_cache
from typing import TYPE_CHECKING

from classifier.pictures.pipelines.gather import Pick
from classifier.records import Record

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

BICUBIC_STEPS = 1024
"""Entries of the table of cubic weights that TensorFlow rounds positions to (resize_bicubic_op.cc)."""
OPENCV_CUBIC = -0.75


class Part(Record):
    """What of an axis is read and written: `first` and `size` of the source, `outputs` in all, a middle of them kept.

    A negative `first` is black border before the source, a `size` past its end border behind: `length` is the real one.
    """

    length: int
    first: int
    size: int
    outputs: int
    kept_first: int
    kept: int


class Pair(Record):
    """Two samples an output, and how far it is from the first to the second (float32)."""

    low: Pick
    high: Pick
    fraction: array[float]


class Taps(Record):
    """For each of some taps one index and one weight (float32) an output. Outputs of no weight are black."""

    indices: tuple[tuple[int, ...], ...]
    weights: tuple[array[float], ...]


def rounded(numbers: Sequence[float]) -> array[float]:
    """Numbers rounded to float32."""
    return array("f", numbers)


def single(number: float) -> float:
    """One number rounded to float32."""
    return array("f", (number,))[0]


@lru_cache(64)
def nearest(part: Part) -> Pick:
    """`tf.image.resize(method="nearest")`: floor((i + 0.5) * scale) in float32."""
    scale = single(part.size / part.outputs)
    places = rounded([(i + 0.5) * scale for i in _kept(part)])
    return _pick(part, [min(math.floor(place), part.size - 1) for place in places], scale, 0.0)


@lru_cache(64)
def opencv_nearest(part: Part) -> Pick:
    """`cv2.resize(interpolation=INTER_NEAREST)`: floor(i * scale)."""
    scale = _opencv_scale(part)
    indices = [min(math.floor(i * scale), part.size - 1) for i in _kept(part)]
    return _pick(part, indices, scale, -0.5 * scale)


@lru_cache(64)
def bilinear(part: Part) -> Pair:
    """`tf.image.resize(method="bilinear")` without antialiasing: half-pixel centres, all in float32."""
    scale = single(part.size / part.outputs)
    return _pair(part, rounded([place - 0.5 for place in rounded([(i + 0.5) * scale for i in _kept(part)])]), scale)


@lru_cache(64)
def opencv_linear(part: Part) -> Pair:
    """`cv2.resize(interpolation=INTER_LINEAR)`: the same with a scale of float64."""
    scale = _opencv_scale(part)
    return _pair(part, rounded([(i + 0.5) * scale - 0.5 for i in _kept(part)]), scale)


@lru_cache(64)
def bicubic(part: Part) -> Taps:
    """`tf.image.resize(method="bicubic")` without antialiasing: Keys' kernel of -0.5 out of a table of 1,024 steps."""
    scale = single(part.size / part.outputs)
    places = rounded([place - 0.5 for place in rounded([(i + 0.5) * scale for i in _kept(part)])])
    spans = []
    for place in places:
        first = math.floor(place)
        offset = round((place - first) * BICUBIC_STEPS) / BICUBIC_STEPS
        spans.append([(first + k, _cubic(-0.5, offset - k)) for k in (-1, 0, 1, 2)])
    return _taps(part, spans, normalised=True)


@lru_cache(64)
def opencv_cubic(part: Part) -> Taps:
    """`cv2.resize(interpolation=INTER_CUBIC)`: a kernel of -0.75; the border's samples are repeated."""
    scale = _opencv_scale(part)
    spans = []
    for i in _kept(part):
        place = (i + 0.5) * scale - 0.5
        first = math.floor(place)
        taps = [(first + k, _cubic(OPENCV_CUBIC, place - first - k)) for k in (-1, 0, 1, 2)]
        spans.append([(min(max(index, 0), part.size - 1), weight) for index, weight in taps])
    return _taps(part, spans, normalised=False)


@lru_cache(64)
def area(part: Part) -> Taps:
    """`tf.image.resize(method="area")`, and OpenCV's INTER_AREA when it shrinks: samples by what is covered of them."""
    scale, spans = single(part.size / part.outputs), []
    for i in _kept(part):
        low, high = rounded([i * scale, (i + 1) * scale])
        covered = [
            (k, (scale if k + 1 > high else k + 1 - low) if k < low else min(high - k, 1.0))
            for k in range(math.floor(low), math.ceil(high))
        ]
        spans.append([(min(k, part.size - 1), single(weight) / scale) for k, weight in covered])
    return _taps(part, spans, normalised=False)


@lru_cache(64)
def opencv_area_enlarged(part: Part) -> Taps:
    """OpenCV's INTER_AREA when it does not shrink: two samples, of which one output sees two only at a border."""
    scale = _opencv_scale(part)
    spans = []
    for i in _kept(part):
        first = math.floor(i * scale)
        share = single((i + 1) - (first + 1) * (part.outputs / part.size))  # 1, not 0.9999..., is 0 then
        share = 0.0 if share <= 0 else share - math.floor(share)
        spans.append([(min(first, part.size - 1), 1 - share), (min(first + 1, part.size - 1), share)])
    return _taps(part, spans, normalised=False)


@lru_cache(64)
def spans(part: Part, kernel: str, *, antialias: bool) -> Taps:
    """TensorFlow's ScaleAndTranslate: lanczos3, lanczos5, gaussian, mitchellcubic; antialiased bilinear and bicubic."""
    function, radius = KERNELS[kernel]
    inverse = single(1 / single(part.outputs / part.size))
    width = max(inverse, 1.0) if antialias else 1.0
    reach, narrowing = single(radius * width), single(1 / width)
    found = []
    for place in rounded([(i + 0.5) * inverse for i in _kept(part)]):
        first, last = rounded([single(place - reach) - 0.5, single(place + reach) - 0.5])
        taps = range(max(math.ceil(first), 0), min(math.floor(last), part.size - 1) + 1)
        away = rounded([k + 0.5 - place for k in taps])
        places = rounded([abs(distance * narrowing) for distance in away])
        found.append([(k, function(distance)) for k, distance in zip(taps, places, strict=True)])
    return _taps(part, found, normalised=True)


def _cubic(sharpness: float, x: float) -> float:
    x, a = abs(x), sharpness
    if x <= 1:
        return ((a + 2) * x - (a + 3)) * x * x + 1
    return ((a * x - 5 * a) * x + 8 * a) * x - 4 * a if x < 2 else 0.0


def _lanczos(radius: int) -> Callable[[float], float]:
    def kernel(x: float) -> float:
        if x > radius:
            return 0.0
        if x <= 1e-3:
            return 1.0
        return radius * math.sin(math.pi * x) * math.sin(math.pi * x / radius) / (math.pi * x) ** 2

    return kernel


def _gaussian(x: float) -> float:
    return 0.0 if x >= 1.5 else math.exp(-2 * x * x)  # sigma is a third of the radius


def _mitchell(x: float) -> float:
    if x >= 2:
        return 0.0
    if x >= 1:
        return ((-7 / 18 * x + 2) * x - 10 / 3) * x + 16 / 9
    return (7 / 6 * x - 2) * x * x + 8 / 9


KERNELS: dict[str, tuple[Callable[[float], float], float]] = {
    "bilinear": (lambda x: max(0.0, 1 - x), 1),
    "bicubic": (lambda x: _cubic(-0.5, x), 2),
    "lanczos3": (_lanczos(3), 3),
    "lanczos5": (_lanczos(5), 5),
    "gaussian": (_gaussian, 1.5),
    "mitchellcubic": (_mitchell, 2),
}


def _opencv_scale(part: Part) -> float:
    """The reciprocal of the scale, which is what OpenCV computes first: another last bit decides some places."""
    return 1 / (part.outputs / part.size)


def _kept(part: Part) -> range:
    return range(part.kept_first, part.kept_first + part.kept)


def _pair(part: Part, places: array[float], scale: float) -> Pair:
    floors = [math.floor(place) for place in places]
    low = _pick(part, [max(floor, 0) for floor in floors], scale, -0.5)
    high = _pick(part, [min(max(floor + 1, 0), part.size - 1) for floor in floors], scale, 0.5)
    return Pair(low, high, rounded([place - floor for place, floor in zip(places, floors, strict=True)]))


def _pick(part: Part, indices: list[int], step: float, start: float) -> Pick:
    """Indices of the source; those in the border are named as blank."""
    moved = [part.first + index for index in indices]
    blank = tuple(place for place, index in enumerate(moved) if not 0 <= index < part.length)
    inside = tuple(min(max(index, 0), part.length - 1) for index in moved) if blank else tuple(moved)
    return Pick.of(inside, step, start + part.first + part.kept_first * step, blank)


def _taps(part: Part, spans: list[list[tuple[int, float]]], *, normalised: bool) -> Taps:
    """Pad the spans to one number of taps; samples in the border, or outside of the axis, weigh nothing."""
    count = max(map(len, spans))
    indices = [[0] * len(spans) for _ in range(count)]
    weights = [[0.0] * len(spans) for _ in range(count)]
    for place, span in enumerate(spans):
        inside = [(index, weight) for index, weight in span if 0 <= index < part.size]
        total = sum(weight for _, weight in inside) if normalised else 1.0
        for tap, (index, weight) in enumerate(inside):
            real = part.first + index
            if 0 <= real < part.length and total:
                indices[tap][place], weights[tap][place] = real, weight / total
    return Taps(tuple(map(tuple, indices)), tuple(map(rounded, weights)))
