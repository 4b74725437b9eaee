"""serving.json from the command line: labels, preprocessing and the output's kind, every default written out."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from classifier.bundles.scores import CALIBRATION
from classifier.bundles.serving import HEAD_FIELDS, LINES
from classifier.pictures.preprocessing import CHOICES
from lifecycle.errors import UsageError
from lifecycle.labels import read_labels
from lifecycle.trained_with import fields_of

if TYPE_CHECKING:
    import argparse

    from classifier.bundles.scores import Head
    from classifier.bundles.serving import Serving
    from lifecycle.containers import Found

SCALES = CHOICES["scale"]
PICTURE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".gif", ".webp", ".bmp"})
MOST_SAMPLES = 64


@dataclass(frozen=True, slots=True)
class Sample:
    """One sample picture, encoded."""

    name: str
    data: bytes


def wanted(options: argparse.Namespace, found: Found, output: str | None = None) -> bytes:
    """serving.json as asked for: --serving, or what lies beside the model, with single options on top.

    `output`: the one of a Keras model's outputs that --output names; the options are its own then.
    """
    document = _base(options.serving, options.source)
    if output:
        document["outputs"] = {output: {name: document.pop(name) for name in HEAD_FIELDS if name in document}}
    head = document["outputs"][output] if output else document
    several = "outputs" in document and not output
    if options.labels:
        head["labels"] = read_labels(options.labels)
    elif not head.get("labels") and found.labels and not several:
        head["labels"] = read_labels(found.labels)
    if options.scores:
        head["output"] = options.scores
    if options.top_k:
        head["top_k"] = options.top_k
    preprocessing = {**found.preprocessing, **(document.get("preprocessing") or {}), **_preprocessing(options)}
    if preprocessing:
        document["preprocessing"] = preprocessing
    return json.dumps(document).encode()


def written_out(serving: Serving) -> bytes:
    """serving.json with every default stated, so that a later version's defaults can't change the model."""
    heads = {head.name: _fields(head) for head in serving.heads}
    own: dict[str, Any] = heads.get("", {"outputs": heads})
    lines = {name: text for name in LINES if (text := getattr(serving, name))}
    return json.dumps({**lines, **own, "preprocessing": serving.preprocessing.to_json()}, indent=1).encode()


def _fields(head: Head) -> dict[str, Any]:
    own = {"labels": list(head.labels), "output": head.output, "top_k": head.top_k}
    return own | {name: value for name in CALIBRATION if (value := getattr(head, name)) is not None}


def read_samples(paths: list[Path]) -> list[Sample]:
    """The pictures that --sample names, and those in the folders that it names, at most 64."""
    files = [file for path in paths for file in (sorted(path.rglob("*")) if path.is_dir() else [path])]
    pictures = [file for file in files if file.suffix.lower() in PICTURE_SUFFIXES]
    if paths and not pictures:
        raise UsageError(f"there are no pictures in {', '.join(map(str, paths))}")
    try:
        return [Sample(file.name, file.read_bytes()) for file in pictures[:MOST_SAMPLES]]
    except OSError as error:
        raise UsageError(str(error)) from error


def _base(given: Path | None, sources: list[Path]) -> dict[str, Any]:
    path = given or _beside(sources, "serving.json")
    if path is None:
        return {}
    try:
        document = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise UsageError(f"{path}: {error}") from error
    if not isinstance(document, dict):
        raise UsageError(f"{path}: expected a JSON object")
    return document


def _beside(sources: list[Path], name: str) -> Path | None:
    """A file of a bundle's folder, when the source is one."""
    return next((path / name for path in sources if path.is_dir() and (path / name).is_file()), None)


def _preprocessing(options: argparse.Namespace) -> dict[str, Any]:
    found: dict[str, Any] = fields_of(options.trained_with) if options.trained_with else {}
    if text := options.preprocessing:
        if text in SCALES:
            found["scale"] = text
        elif Path(text).is_file():
            found |= _base(Path(text), [])
        else:
            raise UsageError(f"--preprocessing {text}: expected {', '.join(SCALES)}, or a JSON file")
    if options.size:
        found["size"] = options.size
    for name in ("pixels", "filter", "resize", "color"):
        if value := getattr(options, name):
            found[name] = value
    return found
