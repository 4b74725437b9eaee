"""reference.json: what pictures and answers were like when a version was published, kept beside its objects."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from classifier.documents import Fields, blamed, check
from classifier.errors import ClassifierError
from lifecycle import record
from lifecycle.marks import read_beside
from lifecycle.release import VERSIONS, put
from lifecycle.traffic.features import WIDTH
from lifecycle.traffic.measures import NUMBERS, Measured, measure

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

    from classifier.bundles.serving import Serving
    from classifier.engines.engine import Engine
    from lifecycle.console import Console
    from lifecycle.place import Place
    from lifecycle.serving_options import Sample
    from lifecycle.traffic.features import Features, Row

NAME = "reference.json"
MOST_PICTURES = 1_000
MAX_BYTES = 5_000_000
_REFERENCE = Fields({"recorded": str, "of": str, "labels": [str]})


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """What was measured, of what, and when (ISO 8601)."""

    measured: Measured
    of: str
    recorded: str

    def to_json(self) -> bytes:
        """The document."""
        about = {"recorded": self.recorded, "of": self.of, "pictures": len(self.measured.labels)}
        return json.dumps({**about, **self.measured.as_dict()}).encode()


def record_pictures(
    serving: Serving,
    engine: Engine,
    samples: Sequence[Sample],
    folder: Path | None,
    console: Console,
    find_features: Callable[[], Features | None] = lambda: None,
) -> Reference | None:
    """What --against's pictures, or else --sample's, are to the engine that will serve; None without any."""
    if folder is None and not samples:
        return None
    console.progress("recording what pictures and answers are like, for `drift`")
    pictures = _of_folder(folder) if folder else [sample.data for sample in samples]
    features = find_features()
    found = [row for data in pictures if (row := _row(serving, engine, features, data))]
    of = f"--against {folder.name}" if folder else "--sample"
    rows, own = [row for row, _ in found], [each for _, each in found if each is not None]
    return Reference(measured=Measured.of(rows, own), of=of, recorded=record.now()) if rows else None


def _of_folder(folder: Path) -> Iterable[bytes]:
    """At most so many of its pictures, from all over it."""
    from lifecycle.serving_options import PICTURE_SUFFIXES

    paths = [path for path in sorted(folder.rglob("*")) if path.suffix.lower() in PICTURE_SUFFIXES]
    count = min(len(paths), MOST_PICTURES)
    return (paths[len(paths) * place // count].read_bytes() for place in range(count))


def _row(
    serving: Serving, engine: Engine, features: Features | None, data: bytes
) -> tuple[tuple[str, dict[str, float]], Row | None] | None:
    from lifecycle.labelled import model_input

    try:
        picture = model_input(data, serving.preprocessing)
        (best, *_) = serving.predictions(engine.predict(picture), 1)
        return (best["label"], measure(data, best["score"])), features(picture) if features else None
    except ClassifierError:
        return None  # as no request could send it


def write_reference(place: Place, version: str, reference: Reference) -> None:
    """Keep it; nothing that serves reads it."""
    put(place, _key(place, version), reference.to_json(), "application/json")


def read_reference(place: Place, version: str) -> Reference | None:
    """The version's, ModelError if it is none; None if nothing was recorded."""
    key = _key(place, version)
    document = read_beside(place, key, MAX_BYTES)
    if document is None:
        return None
    check(document, _REFERENCE, key)
    with blamed(key):
        numbers = {name: tuple(map(float, document[name])) for name in NUMBERS}
        if {len(column) for column in numbers.values()} != {len(document["labels"])} or not document["labels"]:
            raise ValueError("its columns differ in length, or are empty")
        features = tuple(tuple(map(float, row)) for row in document.get("features", []))
        if features and (len(features) != len(document["labels"]) or {len(row) for row in features} != {WIDTH}):
            raise ValueError(f"its features are not {WIDTH} numbers for each picture")
        measured = Measured(tuple(document["labels"]), numbers, features)
    return Reference(measured=measured, of=document["of"], recorded=document["recorded"])


def copy_reference(source: Place, target: Place, version: str) -> None:
    """What one place knows of a version, for another."""
    if reference := read_reference(source, version):
        write_reference(target, version, reference)


def _key(place: Place, version: str) -> str:
    return f"{place.prefix}{VERSIONS}{version}/{NAME}"
