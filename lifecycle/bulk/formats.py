"""Rows as a file: JSON lines as they are, CSV for spreadsheets, Parquet for Athena, Spark and pandas."""

from __future__ import annotations

import csv
import io
import json
from importlib import import_module
from itertools import batched, chain
from typing import IO, TYPE_CHECKING, Any

from classifier.bulk.rows import as_lines
from lifecycle.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from classifier.bulk.rows import Row

COLUMNS = (
    *("key", "label", "score", "format", "width", "height", "model", "engine"),
    *("error", "message", "predictions"),
)
ROWS_AT_ONCE = 10_000


def check_format(name: str) -> None:
    """UsageError where a format needs a library that isn't there: better now than when all is classified."""
    if name == "parquet":
        _arrow()


def write_rows(rows: Iterable[Row], name: str, file: IO[bytes]) -> None:
    """Write all rows in the named format."""
    {"jsonl": _write_lines, "csv": _write_csv, "parquet": _write_parquet}[name](rows, file)


def _write_lines(rows: Iterable[Row], file: IO[bytes]) -> None:
    for some in batched(rows, ROWS_AT_ONCE, strict=False):
        file.write(as_lines(some))


def _write_csv(rows: Iterable[Row], file: IO[bytes]) -> None:
    text = io.TextIOWrapper(file, "utf-8", newline="", write_through=True)
    columns, rows = _columns(rows)
    writer = csv.DictWriter(text, columns, extrasaction="ignore")  # RFC 4180
    writer.writeheader()
    for row in rows:
        writer.writerow({**flat(row), "predictions": json.dumps(row.get("predictions", []))})
    text.detach()


def _write_parquet(rows: Iterable[Row], file: IO[bytes]) -> None:
    arrow, parquet = _arrow()
    prediction = arrow.struct([("label", arrow.string()), ("score", arrow.float64())])
    columns, rows = _columns(rows)
    kinds = {
        "score": arrow.float64(),
        "sure": arrow.bool_(),
        "width": arrow.int32(),
        "height": arrow.int32(),
        "predictions": arrow.list_(prediction),
    }
    schema = arrow.schema([(name, kinds.get(name, arrow.string())) for name in columns])
    with parquet.ParquetWriter(file, schema, compression="zstd") as writer:
        for some in batched(rows, ROWS_AT_ONCE, strict=False):
            table = [{**flat(row), "predictions": row.get("predictions")} for row in some]
            writer.write_table(arrow.Table.from_pylist(table, schema))


def _columns(rows: Iterable[Row]) -> tuple[tuple[str, ...], Iterable[Row]]:
    """The columns, with `sure` after the score where the model has a threshold, and the same rows."""
    ahead, rest = [], iter(rows)
    for row in rest:
        ahead.append(row)
        if "predictions" in row:
            break
    at = COLUMNS.index("score") + 1
    columns = (*COLUMNS[:at], "sure", *COLUMNS[at:]) if ahead and "sure" in ahead[-1] else COLUMNS
    return columns, chain(ahead, rest)


def flat(row: Row) -> dict[str, Any]:
    """A row's best label and everything else in columns, None for what it has not."""
    best: Row = next(iter(row.get("predictions", [])), {})
    image, model, error = row.get("image", {}), row.get("model", {}), row.get("error", {})
    return {
        "key": row["key"],
        "label": best.get("label"),
        "score": best.get("score"),
        "sure": row.get("sure"),
        **{name: image.get(name) for name in ("format", "width", "height")},
        "model": model.get("version"),
        "engine": model.get("engine"),
        "error": error.get("code"),
        "message": error.get("message"),
    }


def _arrow() -> tuple[Any, Any]:
    try:
        return import_module("pyarrow"), import_module("pyarrow.parquet")
    except ImportError as error:
        raise UsageError("Parquet needs pyarrow, which is not installed: pip install pyarrow") from error
