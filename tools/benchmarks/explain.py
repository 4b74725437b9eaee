"""Do explanations show what the model saw, and what do they cost? The demo on its sample pictures, on the local Lambda.

Deletion and insertion curves (Petsiuk et al. 2018, "RISE"): the picture loses its pixels to gray, or a blurred one gets
them back, in the order in which a map ranks them; the area under the label's score says how soon it falls or comes.
Against maps of chance with as many places, and against a blob in the middle, where photographers put things.
"""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Any

from classifier.bundles.compiled import EXPLAIN, REPORT, parse_report
from classifier.engines.litert_engine import open_litert
from classifier.pictures.decode import decode
from classifier.pictures.headers.inspection import inspect
from classifier.pictures.headers.picture import ImageLimits
from local.launch import Code
from tools.benchmarks.bundles import DEMO, compiled_form
from tools.benchmarks.result import Options, Result, median, ratio
from tools.benchmarks.sandboxes import classify_function, sandboxes, storage, upload_event

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from classifier.engines.engine import Loaded
    from local.cloud import LocalLambda

    type Floats = NDArray[np.float32]

STEPS = 24
CHANCES = 5
"""Maps of chance a picture; their areas are averaged."""
GRAY = 0.0
"""In the demo's input, which is -1 to 1."""
BLUR = 5.0
SEED = 1
KINDS = ("activation", "occlusion", "chance", "centre")
WAYS = {
    "plain": ("", "application/json"),
    "explain": ("explain=true", "application/json"),
    "png": ("explain=true", "image/png"),
}


def run(options: Options) -> Result:
    """Mean areas under both curves by kind of map, and what an explained request costs beside a plain one."""
    import numpy as np

    pictures = [path.read_bytes() for path in sorted((options.pictures or DEMO / "samples").glob("*/*.jpg"))]
    pictures = pictures[: 2 if options.quick else None]
    place = compiled_form(DEMO)
    model = open_litert(place.read_bytes(), parse_report((place.parent / REPORT).read_bytes()))
    replies: dict[str, list[dict[str, Any]]] = {}
    medians: dict[str, float] = {}
    ratios: dict[str, float] = {}
    with storage() as s3:
        for kind, source in (("activation", DEMO), ("occlusion", _without_head(options.work / "no-head"))):
            function = classify_function(s3, source, f"bench-explain-{kind}")
            with sandboxes(function, Code(), s3) as cloud:
                rounds = options.count(100 if kind == "activation" else 5, quick=2)
                replies[kind], durations = _asked(cloud, pictures, rounds)
            medians |= {f"{kind}_{way}_ms": median(found) for way, found in durations.items()}
            ratios |= {f"{kind}_{way}_over_plain": _paired(durations, way) for way in ("explain", "png")}
    chance = np.random.default_rng(SEED)
    areas: dict[str, list[tuple[float, float]]] = {kind: [] for kind in KINDS}
    for data, activation, occlusion in zip(pictures, replies["activation"], replies["occlusion"], strict=True):
        curves = Curves(model, data, activation["label"])
        size = len(activation["map"]), len(activation["map"][0])
        areas["activation"].append(curves.areas(activation["map"]))
        areas["occlusion"].append(curves.areas(occlusion["map"]))
        areas["chance"].append(tuple(np.mean([curves.areas(chance.random(size)) for _ in range(CHANCES)], 0).tolist()))
        areas["centre"].append(curves.areas(_centre(size)))
    for kind, found in areas.items():
        for at, curve in enumerate(("deletion", "insertion")):
            medians[f"{curve}_{kind}"] = round(float(np.mean([one[at] for one in found])), 4)
    return _result(medians, ratios, areas, len(pictures))


def _paired(durations: dict[str, list[float]], way: str) -> float:
    """By round, then the median: a busy moment of the machine is in both of a round's figures."""
    return median(ratio(one, plain) for one, plain in zip(durations[way], durations["plain"], strict=True))


def _result(
    medians: dict[str, float], ratios: dict[str, float], areas: dict[str, list[tuple[float, float]]], count: int
) -> Result:
    for kind in KINDS[:2]:
        for other in KINDS[2:]:
            pairs = list(zip(areas[kind], areas[other], strict=True))
            ratios[f"{kind}_deletes_sooner_than_{other}"] = ratio(sum(one[0] < two[0] for one, two in pairs), count)
            ratios[f"{kind}_inserts_sooner_than_{other}"] = ratio(sum(one[1] > two[1] for one, two in pairs), count)
    notes = [
        f"{count} pictures, the demo's best label for each; areas are means over them, between 0 and 1",
        "deletion_*: lower is better; insertion_*: higher is better; *_sooner_than_*: share of the pictures",
    ]
    return Result(name="explain", runs=count, medians=medians, ratios=ratios, notes=notes)


def _asked(
    cloud: LocalLambda, pictures: list[bytes], rounds: int
) -> tuple[list[dict[str, Any]], dict[str, list[float]]]:
    """Each picture's explanation; milliseconds of warm requests by way, asked in turn, and of the first to explain."""
    cloud.invoke(upload_event(pictures[0]))
    replies = [_answer(cloud, data, "explain") for data in pictures]
    explanations = [json.loads(reply["body"])["explanation"] for reply in replies]
    first = cloud.reports[-len(pictures)].duration_ms
    durations: dict[str, list[float]] = {way: [] for way in WAYS}
    for _ in range(rounds):
        for way, found in durations.items():
            _answer(cloud, pictures[0], way)
            found.append(cloud.reports[-1].duration_ms)
    return explanations, {**durations, "first": [first]}


def _answer(cloud: LocalLambda, picture: bytes, way: str) -> dict[str, Any]:
    query, accept = WAYS[way]
    event = upload_event(picture)
    asked = {**event, "rawQueryString": query, "headers": {**event["headers"], "accept": accept}}
    reply = cloud.invoke(asked)
    assert isinstance(reply, dict), reply
    assert reply["statusCode"] == 200, reply
    return reply


def _without_head(target: Path) -> Path:
    """The demo with a compiled form of before there were class activation maps."""
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(DEMO, target)
    report = compiled_form(target).parent / REPORT
    document = json.loads(report.read_bytes())
    document["measured"].pop(EXPLAIN)
    report.write_text(json.dumps(document))
    return target


def _centre(size: tuple[int, int]) -> Floats:
    """A bell in the middle."""
    import numpy as np

    rows, columns = (np.linspace(-1, 1, count, dtype=np.float32) for count in size)
    return np.exp(-2 * (rows[:, None] ** 2 + columns[None] ** 2)).astype(np.float32)


class Curves:
    """One picture, as the model takes it, on its way to gray and out of the blur."""

    def __init__(self, model: Loaded, data: bytes, label: str) -> None:
        import numpy as np
        from PIL import Image, ImageFilter

        spec, limits = model.serving.preprocessing, ImageLimits()
        pixels = decode(inspect(data, limits), spec, limits).pixels
        image = Image.frombytes("RGB", spec.size[::-1], pixels)
        blurred = image.filter(ImageFilter.GaussianBlur(BLUR)).tobytes()
        self._sharp, self._blurred = (np.array(spec.to_array(one)) for one in (pixels, blurred))
        self._model, self._unit = model, model.serving.labels.index(label)
        self._size = spec.size

    def areas(self, map_: Any) -> tuple[float, float]:  # noqa: ANN401 - rows of numbers
        """The areas under the deletion and the insertion curve."""
        import numpy as np

        order = np.argsort(-_enlarged(np.asarray(map_, np.float32), self._size).ravel(), kind="stable")
        gray = np.full_like(self._sharp, GRAY)
        return self._area(self._sharp, gray, order), self._area(self._blurred, self._sharp, order)

    def _area(self, start: Floats, end: Floats, order: NDArray[np.int64]) -> float:
        import numpy as np

        scores = [self._score(picture) for picture in _between(start, end, order)]
        return float(np.trapezoid(scores, dx=1 / (len(scores) - 1)))

    def _score(self, picture: Floats) -> float:
        return self._model.serving.first_scores(self._model.engine.predict(picture))[self._unit]


def _between(start: Floats, end: Floats, order: NDArray[np.int64]) -> Iterator[Floats]:
    """Pictures from one to the other, pixel by pixel in this order, in equal steps."""
    picture, channels = start.copy(), start.shape[-1]
    now, then = picture.reshape(-1, channels), end.reshape(-1, channels)
    yield picture
    for step in range(STEPS):
        part = order[len(order) * step // STEPS : len(order) * (step + 1) // STEPS]
        now[part] = then[part]
        yield picture


def _enlarged(map_: Floats, size: tuple[int, int]) -> Floats:
    import numpy as np
    from PIL import Image

    return np.asarray(Image.fromarray(map_).resize(size[::-1], Image.Resampling.BICUBIC))
