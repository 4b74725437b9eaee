"""Label files as people have them: lines, numbered lines, JSON or Python's lists and objects either way round, CSV."""

from __future__ import annotations

import ast
import codecs
import csv
import json
import re
from typing import TYPE_CHECKING, Any

from lifecycle.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

_HEADINGS = frozenset({"label", "labels", "name", "names", "class", "classes", "class_name", "category", "categories"})
_NUMBERED = re.compile(r"\s*(\d+)\s*[\s:,;=]\s*(\S.*?)\s*")


def read_labels(path: Path) -> list[str]:
    """The labels in the order of the model's numbers; UsageError says what in the file leaves them open.

    One a line; `0 cat` as Teachable Machine writes; a JSON list; a JSON object of label to index (Keras's
    class_indices), of index to label, or of index to WordNet id and label (imagenet_class_index.json); a CSV with a
    column of labels, and maybe one of indices.
    """
    text = _text(path)
    if path.suffix.lower() == ".json" or text.lstrip()[:1] in ("[", "{"):
        return _of_json(path, text)
    if path.suffix.lower() in (".csv", ".tsv"):
        return _of_table(path, text)
    lines = text.rstrip().splitlines()
    if not lines:
        raise UsageError(f"{path} holds no labels")
    if empty := [number for number, line in enumerate(lines, 1) if not line.strip()]:
        raise UsageError(f"{path}: line {empty[0]} is empty; a label a line is expected")
    return without_numbers([line.strip() for line in lines])


def without_numbers(labels: Sequence[str]) -> list[str]:
    """`0 cat`, `1 dog` as cat, dog: only where every label begins with its own number, from 0, or of three from 1.

    Numbers stay where labels would be the same without them, as `1 star`, `2 stars`, `3 stars`.
    """
    found = [match for label in labels if (match := _NUMBERED.fullmatch(label))]
    numbers, bare = [int(match[1]) for match in found], [match[2] for match in found]
    counted = list(range(len(labels))), list(range(1, len(labels) + 1))
    if (numbers == counted[0] and len(labels) > 1) or (numbers == counted[1] and len(labels) > 2):
        return bare if len(set(bare)) == len(bare) else list(labels)
    return list(labels)


def _text(path: Path) -> str:
    try:
        data = path.read_bytes()
        if data[:1] == b"\x80":
            raise UsageError(f"{path} is a pickle, which runs code when it is opened: write the labels one a line")
        if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            return data.decode("utf-16")
        return data.decode("utf-8-sig")
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{path} is not UTF-8 ({error.reason} at byte {error.start}): save it as UTF-8") from error


def _of_json(path: Path, text: str) -> list[str]:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        found = _printed_by_python(text)
        if found is None:
            raise UsageError(f"{path} is not valid JSON: {error}") from error
    if isinstance(found, list) and found:
        return [_label(path, item, index) for index, item in enumerate(found)]
    if not isinstance(found, dict) or not found:
        raise UsageError(f"{path}: expected a list of labels, or an object of label to index or of index to label")
    if all(name.strip().isdecimal() for name in found) and all(
        isinstance(value, str | list) for value in found.values()
    ):
        return _in_order(path, {int(name): _label(path, value, int(name)) for name, value in found.items()}, len(found))
    indices = {name: _index(value) for name, value in found.items()}
    if wrong := [name for name, index in indices.items() if index is None]:
        raise UsageError(
            f"{path}: {wrong[0]!r} is {str(found[wrong[0]])[:40]}, expected its index, a whole number from 0"
        )
    return _in_order(path, {index: name for name, index in indices.items() if index is not None}, len(found))


def _printed_by_python(text: str) -> Any:  # noqa: ANN401 - a list or an object
    """What print() made of a list or a dict of literals; None for anything else."""
    try:
        found = ast.literal_eval(text.strip())
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        return None
    return {str(name): value for name, value in found.items()} if isinstance(found, dict) else found


def _index(value: Any) -> int | None:  # noqa: ANN401 - any JSON value
    if isinstance(value, str) and value.strip().isdecimal():
        return int(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return int(value) if float(value).is_integer() else None


def _label(path: Path, item: Any, index: int) -> str:  # noqa: ANN401 - any JSON value
    """A label, or the last text of [WordNet id, label]."""
    if isinstance(item, list) and len(item) == 2 and all(isinstance(part, str) for part in item):
        item = item[1]
    if isinstance(item, int) and not isinstance(item, bool):
        item = str(item)
    if not isinstance(item, str) or not item.strip():
        raise UsageError(f"{path}: label {index} is {str(item)[:40]!r}, expected text")
    return item.strip()


def _in_order(path: Path, found: dict[int, str], count: int) -> list[str]:
    if sorted(found) != list(range(count)):
        raise UsageError(f"{path}: its indices are {str(sorted(found))[:80]}, expected 0 to {count - 1}, each once")
    return [found[index] for index in sorted(found)]


def _of_table(path: Path, text: str) -> list[str]:
    try:
        dialect: Any = (
            csv.Sniffer().sniff(text[:4096], ",;\t") if len(text.split("\n", 1)[0].split(",")) == 1 else "excel"
        )
    except csv.Error:
        dialect = "excel"
    rows = [
        [cell.strip() for cell in row] for row in csv.reader(text.splitlines(), dialect) if any(map(str.strip, row))
    ]
    if not rows or len({len(row) for row in rows}) != 1 or len(rows[0]) > 2:
        raise UsageError(f"{path}: expected a column of labels, or one of indices and one of labels")
    if len(rows[0]) == 1:
        return without_numbers([row[0] for row in (rows[1:] if rows[0][0].lower() in _HEADINGS else rows)])
    for heading in (0, 1):
        body = rows[heading:]
        for column in (0, 1):
            if body and all(row[column].isdecimal() for row in body):
                return _in_order(path, {int(row[column]): row[1 - column] for row in body}, len(body))
    raise UsageError(f"{path}: neither of its two columns holds indices from 0")
