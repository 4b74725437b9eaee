"""Where classify-all's results go: what a destination means, what is never overwritten, which parts count."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from lifecycle.bulk.folder import LocalFolder, S3Folder, find_destination
from lifecycle.bulk.listing import list_pictures
from lifecycle.bulk.plan import begin, read_plan
from lifecycle.bulk.results import finished_parts
from lifecycle.command import main
from lifecycle.errors import UsageError
from lifecycle.place import Place
from tests.conftest import Bucket
from tests.support.bulk import place as place
from tests.support.bulk import put_pictures, read


def test_parquet_without_its_library_is_refused_before_anything_is_read(
    place: Bucket, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    place.server.requests.clear()
    assert main(["classify-all", f"s3://{place.name}/images", "--to", "all.parquet"]) == 2
    assert "pip install pyarrow" in capsys.readouterr().err
    assert not any("/images/" in request.path for request in place.server.requests)


def test_results_of_other_work_are_never_overwritten(place: Bucket, capsys: pytest.CaptureFixture[str]) -> None:
    pictures, place_of_results = f"s3://{place.name}/images", f"s3://{place.name}/mine.jsonl"
    put_pictures(place, 3)
    place.put("mine.jsonl", b"{}\n")
    assert main(["classify-all", pictures, "--to", place_of_results]) == 2
    assert "is there already" in capsys.readouterr().err
    destination = find_destination(f"s3://{place.name}/other.jsonl", None, place.boto)
    known = {"source": "s3://another/prefix", "model": f"s3://{place.name}/models/dev", "version": None, "top": None}
    plan = begin(destination, **known, part_size=10, keys=["a"], again=False)  # type: ignore[arg-type]
    assert begin(destination, **known, part_size=9, keys=["b"], again=False) == plan  # type: ignore[arg-type]
    assert main(["classify-all", pictures, "--to", destination.url]) == 2
    assert "is the result for the pictures of s3://another/prefix" in capsys.readouterr().err
    assert read_plan(destination) == plan
    assert read(place, "mine.jsonl") == b"{}\n"


@pytest.mark.parametrize(
    ("to", "wanted", "url"),
    [
        ("s3://bucket/folder/", None, "s3://bucket/folder/results.jsonl"),
        ("s3://bucket/folder", "csv", "s3://bucket/folder/results.csv"),
        ("s3://bucket", None, "s3://bucket/results.jsonl"),
        ("s3://bucket/a.b/c.parquet", None, "s3://bucket/a.b/c.parquet"),
        ("s3://bucket/v1.2", None, "s3://bucket/v1.2/results.jsonl"),
        ("/somewhere/c.csv", "csv", "/somewhere/c.csv"),
        ("/somewhere/new", None, "/somewhere/new/results.jsonl"),
        ("/tmp", None, "/tmp/results.jsonl"),
    ],
)
def test_a_destination_is_a_file_by_its_ending_else_a_folder(to: str, wanted: str | None, url: str) -> None:
    assert find_destination(to, wanted, None).url == url


@pytest.mark.parametrize(("to", "wanted"), [("s3://b.", None), ("out.json", None), ("a.csv", "jsonl"), ("x.gz", "csv")])
def test_an_unclear_destination_is_refused(to: str, wanted: str | None) -> None:
    with pytest.raises(UsageError):
        find_destination(to, wanted, None)


def test_a_folder_takes_each_object_once(bucket: Bucket, tmp_path: Path) -> None:
    for folder in (S3Folder(bucket.name, "f/", bucket.boto), LocalFolder(tmp_path / "f")):
        assert (folder.read("w/a"), folder.token("w/a"), folder.names("w/")) == (None, None, set())
        assert folder.write("w/a", b"one", None)
        assert not folder.write("w/a", b"two", None)
        token = folder.token("w/a")
        assert folder.write("w/a", b"three", token)
        assert not folder.write("w/a", b"four", token)
        assert not folder.write("w/b", b"five", "a token of something else")
        assert (folder.read("w/a"), folder.names("w/")) == (b"three", {"w/a"})
        folder.remove(["w/a", "w/none"])
        assert folder.names("") == set()
    assert list((tmp_path / "f").rglob("*")) == []


def test_more_pictures_than_one_page_are_listed_in_order_without_the_results(bucket: Bucket) -> None:
    expected = put_pictures(bucket, 1002)
    for key in ("images/", "images/out/results.jsonl", "images/out/results.jsonl.parts/plan.json"):
        bucket.put(key, b"" if key.endswith("/") else b"{}")
    source = Place(bucket.name, "images/", bucket.boto)
    listed = list_pictures(source, find_destination(f"s3://{bucket.name}/images/out/", None, bucket.boto))
    assert listed.keys == tuple(sorted(expected, key=str.encode))


@pytest.mark.parametrize(
    "options",
    [
        ["classify-all", "pictures", "--to", "out"],
        ["classify-all", "s3://bucket/p", "--to", "out", "--endpoint", "ftp://a"],
        ["classify-all", "s3://bucket/p", "--to", "out", "--endpoint", "https://a", "--model", "dev"],
    ],
)
@pytest.mark.usefixtures("place")
def test_wrong_usage_ends_with_two(options: list[str]) -> None:
    assert main(options) == 2


def test_parts_of_another_run_do_not_count(bucket: Bucket) -> None:
    destination = find_destination(f"s3://{bucket.name}/all.jsonl", None, bucket.boto)
    known = {"source": "s", "model": "m", "version": None, "top": None, "part_size": 1}
    old = begin(destination, **known, keys=["a", "b"], again=False)  # type: ignore[arg-type]
    destination.folder.write(destination.work + old.name_of(0), b"", None)
    new = begin(destination, **known, keys=["a", "b"], again=True)  # type: ignore[arg-type]
    assert (finished_parts(destination, old), finished_parts(destination, new)) == ({0}, set())
    assert Path(old.name_of(0)).name == Path(new.name_of(0)).name
