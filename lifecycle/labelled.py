"""Pictures whose labels are known: a folder with a folder for each label, decoded as the function decodes them."""

from __future__ import annotations

from copy import replace
from typing import TYPE_CHECKING

from lifecycle.errors import UsageError
from lifecycle.serving_options import PICTURE_SUFFIXES

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from classifier.bundles.serving import Serving
    from classifier.engines.engine import Engine
    from classifier.pictures.headers.picture import ImageLimits
    from classifier.pictures.preprocessing import Preprocessing
    from lifecycle.console import Console

TELL_EVERY = 100


def labelled(folder: Path, indices: Mapping[str, int]) -> list[tuple[Path, int]]:
    """Each picture with the index of its label; UsageError where folders and labels don't match."""
    if not folder.is_dir():
        raise UsageError(f"there is no folder {folder}")
    classes = sorted(item for item in folder.iterdir() if item.is_dir())
    if unknown := [item.name for item in classes if item.name not in indices]:
        raise UsageError(f"{folder}: {', '.join(unknown[:5])}: no labels of the model, which has {', '.join(indices)}")
    found = [(path, indices[item.name]) for item in classes for path in sorted(item.rglob("*"))]
    pictures = [(path, index) for path, index in found if path.suffix.lower() in PICTURE_SUFFIXES]
    if not pictures:
        raise UsageError(f"{folder} holds no pictures in folders named as the labels")
    return pictures


def model_input(
    data: bytes, preprocessing: Preprocessing, limits: ImageLimits | None = None, orientation: int = 1
) -> memoryview[float]:
    """The model's input, by the function's own decoder; ImageError and its kin for what no request could send.

    `orientation` is EXIF's, where the bytes have lost it.
    """
    from classifier.pictures.decode import decode
    from classifier.pictures.headers.inspection import inspect
    from classifier.pictures.headers.picture import ImageLimits

    limits = limits or ImageLimits()
    picture = inspect(data, limits)
    if 1 < orientation <= 8:  # EXIF's numbers
        picture = replace(picture, orientation=orientation)
    return preprocessing.to_array(decode(picture, preprocessing, limits).pixels)


def answered(
    engines: Mapping[str, Engine], serving: Serving, paths: Sequence[Path], console: Console
) -> tuple[dict[str, list[Sequence[float]]], list[int]]:
    """Each engine's numbers of the first output for the pictures that can be read, and the indices of those."""
    from classifier.errors import ClassifierError

    found: dict[str, list[Sequence[float]]] = {name: [] for name in engines}
    kept = []
    for index, path in enumerate(paths):
        if index % TELL_EVERY == 0:
            console.progress(f"scoring picture {index + 1} of {len(paths)}")
        try:
            array = model_input(path.read_bytes(), serving.preprocessing)
        except ClassifierError as error:
            console.warn(f"{path} is left out: {error.public}")
            continue
        kept.append(index)
        for name, engine in engines.items():
            _, numbers = next(serving.parts(engine.predict(array)))
            found[name].append(list(numbers))
    return found, kept


def known(pictures: list[tuple[Path, int]], preprocessing: Preprocessing) -> list[tuple[bytes, int]]:
    """The pictures' bytes, without those that the function would refuse."""
    from classifier.errors import ClassifierError

    found = []
    for path, index in pictures:
        data = path.read_bytes()
        try:
            model_input(data, preprocessing)
        except ClassifierError:
            continue
        found.append((data, index))
    return found
