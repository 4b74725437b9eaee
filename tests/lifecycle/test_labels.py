"""Label files in the forms that tools and people write."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from lifecycle.errors import UsageError
from lifecycle.labels import read_labels, without_numbers

if TYPE_CHECKING:
    from pathlib import Path

ANIMALS = ["cat", "dog", "eel"]


@pytest.mark.parametrize(
    ("name", "text", "labels"),
    [
        ("labels.txt", "cat\ndog\neel\n", ANIMALS),
        ("labels.txt", "0 cat\n1 dog\n2 eel\n", ANIMALS),  # Teachable Machine
        ("labels.txt", "0\tcat\r\n1: dog\n2,eel", ANIMALS),
        ("labels.txt", "0 cat\n1 dog\n3 eel", ["0 cat", "1 dog", "3 eel"]),
        ("labels.txt", "0\n1\n2", ["0", "1", "2"]),
        ("labels.txt", "1 cat\n2 dog\n3 eel", ANIMALS),
        ("labels.txt", "1 star\n2 stars\n3 stars", ["1 star", "2 stars", "3 stars"]),
        ("labels.txt", "1 person\n2 people", ["1 person", "2 people"]),
        ("labels.txt", "7 up", ["7 up"]),
        ("labels.txt", "['cat', 'dog', 'eel']", ANIMALS),  # print(dataset.class_names)
        ("labels.txt", "{'eel': 2, 'cat': 0, 'dog': 1}\n", ANIMALS),  # print(generator.class_indices)
        ("labels.json", "{0: 'cat', 1: 'dog', 2: 'eel'}", ANIMALS),
        ("labels.txt", '["cat", "dog", "eel"]', ANIMALS),
        ("labels.json", '["cat", "dog", "eel"]', ANIMALS),
        ("labels.json", "[0, 1, 2]", ["0", "1", "2"]),
        ("class_indices.json", '{"eel": 2, "cat": 0, "dog": 1}', ANIMALS),
        ("class_indices.json", '{"eel": 2.0, "cat": 0, "dog": "1"}', ANIMALS),
        ("class_indices.json", '{"0": 0, "1": 1}', ["0", "1"]),
        ("model_class.json", '{"0": "cat", "1": "dog", "2": "eel"}', ANIMALS),
        ("digits.json", '{"0": "7", "1": "3"}', ["7", "3"]),
        ("imagenet.json", '{"0": ["n01440764", "tench"], "1": ["n01443537", "goldfish"]}', ["tench", "goldfish"]),
        ("labels.csv", "id,name\n0,cat\n1,dog\n2,eel\n", ANIMALS),
        ("labels.csv", "cat,0\neel,2\ndog,1\n", ANIMALS),
        ("labels.csv", "0;cat\n1;dog\n2;eel\n", ANIMALS),
        ("labels.csv", "label\ncat\ndog\n", ["cat", "dog"]),
        ("labels.csv", 'cat\n"dog, small"\n', ["cat", "dog, small"]),
    ],
)
def test_a_label_file_is_read(tmp_path: Path, name: str, text: str, labels: list[str]) -> None:
    (tmp_path / name).write_text(text)
    assert read_labels(tmp_path / name) == labels


def test_windows_editors_files_are_read(tmp_path: Path) -> None:
    for encoding in ("utf-8-sig", "utf-16"):
        (tmp_path / "labels.txt").write_text("cat\ndög\n", encoding)
        assert read_labels(tmp_path / "labels.txt") == ["cat", "dög"]


@pytest.mark.parametrize(
    ("name", "data", "says"),
    [
        ("a.json", b'{"cat": 0, "dog": null}', "'dog' is None"),
        ("a.json", b'{"cat": 0, "dog": true}', "'dog' is True"),
        ("a.json", b'{"cat": 0, "dog": 2}', r"indices are \[0, 2\], expected 0 to 1"),
        ("a.json", b'{"cat": 1, "dog": 2}', "expected 0 to 1"),
        ("a.json", b'{"cat": 0, "dog": NaN}', "'dog' is nan"),
        ("a.json", b'["cat", null]', "label 1"),
        ("a.json", b'"cat"', "expected a list"),
        ("a.json", b"[]", "expected a list"),
        ("a.json", b"{", "not valid JSON"),
        ("a.txt", b"", "no labels"),
        ("a.txt", b"cat\n\ndog", "line 2 is empty"),
        ("a.txt", "Übel".encode("latin-1"), "not UTF-8"),
        ("a.pkl", b"\x80\x04\x95", "pickle"),
        ("a.csv", b"1,2,3\n", "expected a column"),
        ("a.csv", b"x,y\na,b\n", "neither of its two columns"),
        ("absent.txt", None, "No such file"),
    ],
)
def test_a_label_file_that_leaves_it_open_is_refused(tmp_path: Path, name: str, data: bytes | None, says: str) -> None:
    if data is not None:
        (tmp_path / name).write_bytes(data)
    with pytest.raises(UsageError, match=says):
        read_labels(tmp_path / name)


def test_only_labels_that_are_all_numbered_lose_their_numbers() -> None:
    assert without_numbers(("0 cat", "1 dog")) == ["cat", "dog"]
    assert without_numbers(("0 cat", "dog")) == ["0 cat", "dog"]
