"""Rows as CSV: a column `sure` where the model has a threshold, and none where it has not."""

from __future__ import annotations

import csv
import io
from typing import Any

import pytest

from lifecycle.bulk.formats import COLUMNS, write_rows

REFUSED = {"key": "a", "error": {"code": "invalid_image", "message": "No picture."}, "status": 422}
PLAIN = {"key": "b", "predictions": [{"label": "cat", "score": 0.9}], "image": {}, "model": {}}


def written(*rows: dict[str, Any]) -> list[list[str]]:
    file = io.BytesIO()
    write_rows(iter(rows), "csv", file)
    return list(csv.reader(io.StringIO(file.getvalue().decode())))


@pytest.mark.parametrize("rows", [(), (REFUSED,), (REFUSED, PLAIN)])
def test_without_a_threshold_the_columns_are_as_ever(rows: tuple[dict[str, Any], ...]) -> None:
    found = written(*rows)
    assert found[0] == list(COLUMNS)
    assert [row[0] for row in found[1:]] == [row["key"] for row in rows]


def test_with_a_threshold_each_row_says_whether_it_is_sure() -> None:
    heading, *rows = written(REFUSED, PLAIN | {"sure": True}, PLAIN | {"sure": False}, REFUSED)
    assert heading[:4] == ["key", "label", "score", "sure"]
    assert [row[3] for row in rows] == ["", "True", "False", ""]
    assert {len(row) for row in rows} == {len(COLUMNS) + 1}
