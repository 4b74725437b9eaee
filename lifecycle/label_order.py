"""Whether labels are the model's, and in its order: by files alone, by how Keras numbers folders, and by pictures."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import TYPE_CHECKING

from classifier.errors import ClassifierError, ModelError
from classifier.keras_json.architecture import read_architecture
from lifecycle.labelled import labelled
from lifecycle.scoring import at_least
from lifecycle.training_call import read_call

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping, Sequence

    from lifecycle.console import Console
    from lifecycle.scoring import Quality

BY_FOLDER = frozenset(("image_dataset_from_directory", "ImageDataGenerator"))
"""Calls that number the labels by the sorted names of their folders (keras.src.utils.dataset_utils.index_directory)."""
CHANCE = 0.001
"""An order is told when as many right answers come by chance less often than this."""
ENOUGH = 3
"""Pictures of a label from which on it is said what they are taken for."""


def check_labels(architecture: bytes | None, asked: bytes, options: argparse.Namespace, console: Console) -> None:
    """What files alone show, before anything is loaded: ModelError, UsageError, or a warning.

    `architecture`: a Keras model's; `asked`: serving.json as it was asked for, of one output or of several.
    """
    document = json.loads(asked)
    heads = document.get("outputs") or {"": document}
    units = _units(architecture) if architecture else {}
    for name, head in heads.items():
        labels = head.get("labels") if isinstance(head, dict) else None
        if not isinstance(labels, list) or not all(isinstance(label, str) for label in labels):
            continue
        count = units.get(name) if name else next(iter(units.values())) if len(units) == 1 else None
        if count and len(labels) not in ((1, 2) if count == 1 else (count,)):
            scores = 2 if count == 1 else count
            raise ModelError(f"{len(labels)} labels for {scores} scores ({count} output units)")
        if options.trained_with and (doubt := unsorted_folders(options.trained_with, labels)):
            console.warn(doubt)
        if options.against and len(heads) == 1:
            labelled(options.against, {label: index for index, label in enumerate(labels)})


def _units(architecture: bytes) -> dict[str, int | None]:
    """How many numbers each output has, where the JSON says so; what is wrong with it, loading tells."""
    try:
        return {output.name: output.units for output in read_architecture(architecture).outputs}
    except ClassifierError:
        return {}


def unsorted_folders(words: Sequence[str], labels: Sequence[str]) -> str:
    """What there is to doubt about labels of a model that was trained with this call; empty where there is nothing."""
    name, arguments = read_call(words)
    if name not in BY_FOLDER or {"class_names", "classes"} & arguments.keys() or list(labels) == sorted(labels):
        return ""
    after, before = next((one, two) for one, two in pairwise(labels) if one > two)
    return (
        f"{name} numbers the labels by the sorted names of their folders, and these labels are not sorted: {after!r} "
        f"stands before {before!r}. If the folders had these names, sort the labels"
    )


def other_order(found: Sequence[Quality], labels: Sequence[str]) -> str:
    """The order of the labels that fits these confusions clearly better, as a sentence; empty where none does."""
    told = [each for quality in found for each in (_by_name(quality, labels), _by_pictures(quality, labels)) if each[1]]
    return max(told, key=lambda each: each[0], default=(0, ""))[1]


def _by_name(quality: Quality, labels: Sequence[str]) -> tuple[int, str]:
    """How many would be right with the labels sorted, and what to say; labels may be of any order."""
    order = sorted(labels)
    right = sum(row[order.index(label)] for row, label in zip(quality.confusion, labels, strict=True))
    if not _better(right, quality):
        return right, ""
    return right, (
        f"sorted by name, as Keras numbers folders, the labels would be right for {right / quality.pictures:.1%} of "
        f"{quality.pictures} pictures, and as they are for {quality.accuracy:.1%}"
    )


def _by_pictures(quality: Quality, labels: Sequence[str]) -> tuple[int, str]:
    """The same for labels that are exchanged: most pictures of each get another's label, and none gets two's."""
    moved = _moved(quality.confusion)
    right = sum(row[moved.get(index, index)] for index, row in enumerate(quality.confusion))
    if not moved or not _better(right, quality):
        return right, ""
    if len(moved) == 2:
        first, second = sorted(labels[index] for index in moved)
        return right, f"the labels {first!r} and {second!r} seem to be exchanged: most pictures of each get the other"
    pairs = [f"{labels[one]!r} get {labels[other]!r}" for one, other in moved.items()]
    more = f" and {len(pairs) - 5} more" if len(pairs) > 5 else ""
    return right, f"the labels seem to be in another order: most pictures of {', '.join(pairs[:5])}{more}"


def _moved(confusion: Sequence[Sequence[int]]) -> Mapping[int, int]:
    """Labels whose pictures mostly get another one's, as far as these are a permutation of each other; else none."""
    most = {index: row.index(max(row)) for index, row in enumerate(confusion) if _mostly(row)}
    moved = {one: other for one, other in most.items() if one != other}
    return moved if set(moved) == set(moved.values()) else {}


def _mostly(row: Sequence[int]) -> bool:
    return sum(row) >= ENOUGH and max(row) * 2 > sum(row)


def _better(right: int, quality: Quality) -> bool:
    """Whether so many right answers are beyond chance for labels as they are, and beyond guessing."""
    guessing = max(map(sum, quality.confusion)) / quality.pictures
    return at_least(right, quality.pictures, max(quality.accuracy, guessing)) < CHANCE
