"""classify-all: each picture exactly once in the results, whatever happens to the processes that work on it."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from classifier.bulk.rows import Row
from local.launch import PROJECT
from local.s3 import S3Request
from models.bulk import crew
from models.bulk.asking import Api, settled_rows
from models.bulk.folder import LocalFolder, S3Folder, find_destination
from models.bulk.listing import list_pictures
from models.bulk.plan import begin, read_plan
from models.bulk.results import finished_parts
from models.command import main
from models.errors import PlaceError, UsageError
from models.place import Place
from tests.bulk import environment, put_pictures, rows_of, serve_demo
from tests.conftest import Bucket
from tests.demo import SAMPLES, plain_keras
from tests.origin import Origin, reply

if TYPE_CHECKING:
    from tests.origin import Behaviour

COMMAND = [sys.executable, str(PROJECT / "scripts" / "models"), "classify-all"]


@pytest.fixture
def place(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> Bucket:
    """A bucket that the environment names."""
    for name, value in environment(bucket).items():
        monkeypatch.setenv(name, value)
    return bucket


@pytest.fixture
def served(place: Bucket) -> Bucket:
    """With the demo model in it."""
    serve_demo(place)
    return place


def start(bucket: Bucket, *options: str, to: str = "results/all.jsonl") -> subprocess.Popen[bytes]:
    command = [*COMMAND, f"s3://{bucket.name}/images", "--to", f"s3://{bucket.name}/{to}", "--json", *options]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def keys_under(bucket: Bucket, prefix: str) -> list[str]:
    return [item["Key"] for item in bucket.boto.list_objects_v2(Bucket=bucket.name, Prefix=prefix).get("Contents", [])]


def parts_there(bucket: Bucket) -> int:
    return sum("/part-" in key for key in keys_under(bucket, "results/"))


def read(bucket: Bucket, key: str) -> bytes:
    data: bytes = bucket.boto.get_object(Bucket=bucket.name, Key=key)["Body"].read()
    return data


def check_exactly_once(rows: list[Row], expected: dict[str, str | None], version: str) -> None:
    assert [row["key"] for row in rows] == sorted(expected, key=str.encode)
    assert {row["key"]: row.get("error", {}).get("code") for row in rows} == expected
    assert {row["model"]["version"] for row in rows if "model" in row} == {version}


@pytest.mark.tensorflow
def test_killed_twice_every_picture_is_in_the_results_once_in_order(served: Bucket) -> None:
    expected = put_pictures(served, 200)
    for parts in (2, 5):
        running = start(served, "--part-size", "10")
        while parts_there(served) < parts and running.poll() is None:
            time.sleep(0.02)
        running.kill()
        running.communicate()
        assert running.returncode == -9, "it was done before it could be killed"
    assert keys_under(served, "results/all.jsonl") != ["results/all.jsonl"]
    seen = len(served.server.requests)
    running = start(served)
    said, heard = running.communicate()
    assert running.returncode == 0, heard.decode()
    summary = json.loads(said)
    assert summary["classified_before"] >= 5 * 10
    assert (summary["pictures"], summary["errors"]) == (200, {"invalid_image": 10, "unsupported_image_format": 10})
    rows = rows_of(read(served, "results/all.jsonl"))
    (version,) = summary["versions"]
    check_exactly_once(rows, expected, version)
    reads = [request.path for request in served.server.requests[seen:] if "/images/" in request.path]
    assert len(reads) == 200 - summary["classified_before"]
    assert keys_under(served, "results/") == ["results/all.jsonl", "results/all.jsonl.parts/done.json"]
    check_against_keras(rows)


def check_against_keras(rows: list[Row]) -> None:
    for row in rows:
        index = int(row["key"][-8:-4])
        if "error" in row:
            continue
        scores = plain_keras()[SAMPLES[index % len(SAMPLES)].name]
        assert row["predictions"][0]["score"] == pytest.approx(max(scores), abs=1e-4)
        assert row["model"]["engine"] == "litert"


@pytest.mark.tensorflow
def test_two_machines_at_once_share_the_work_and_no_row_is_double(served: Bucket) -> None:
    expected = put_pictures(served, 100)
    both = [start(served, "--part-size", "10", "--concurrency", "1") for _ in range(2)]
    said = [running.communicate() for running in both]
    assert [running.returncode for running in both] == [0, 0], said
    first, second = (json.loads(out) for out, _ in said)
    assert first["run"] == second["run"]
    (version,) = first["versions"]
    check_exactly_once(rows_of(read(served, "results/all.jsonl")), expected, version)
    assert keys_under(served, "results/") == ["results/all.jsonl", "results/all.jsonl.parts/done.json"]


@pytest.mark.tensorflow
def test_a_picture_that_ends_the_process_gets_a_row_and_costs_no_other_picture(
    served: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = put_pictures(served, 30)
    deadly = next(key for key, code in expected.items() if code is None and key.startswith("images/3/"))
    dies = (
        "import models.bulk.asking as asking, os\nrows = asking.Here.rows\n"
        f"asking.Here.rows = lambda self, keys: os._exit(9) if {deadly!r} in keys else rows(self, keys)\n"
    )
    monkeypatch.setattr(crew, "START", "import sys,json;sys.path[:]=json.loads(sys.argv[1])\n" + dies + crew.START)
    code = main(
        ["classify-all", f"s3://{served.name}/images", "--to", str(tmp_path), "--part-size", "10", "--concurrency", "1"]
    )
    rows = rows_of((tmp_path / "results.jsonl").read_bytes())
    assert code == 0
    assert {row["key"]: row.get("error", {}).get("code") for row in rows} == expected | {deadly: "internal_error"}


@pytest.mark.tensorflow
def test_results_are_a_table_in_a_folder_and_what_is_done_is_not_done_again(
    served: Bucket, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    expected = put_pictures(served, 40)
    command = [
        "classify-all",
        f"s3://{served.name}/images",
        "--concurrency",
        "1",
        "--to",
        str(tmp_path / "table.csv"),
        "--top",
        "2",
        "--json",
    ]
    assert main([*command, "--dry-run"]) == 0
    assert json.loads(capfd.readouterr().out)["pictures"] == 40
    assert list(tmp_path.iterdir()) == []
    assert main(command) == 0
    with (tmp_path / "table.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert {row["key"]: row["error"] or None for row in rows} == expected
    fine = next(row for row in rows if not row["error"])
    best, _ = json.loads(fine["predictions"])
    assert (fine["label"], float(fine["score"]), fine["format"]) == (best["label"], best["score"], "JPEG")
    assert [path.name for path in sorted(tmp_path.rglob("*"))] == ["table.csv", "table.csv.parts", "done.json"]
    capfd.readouterr()
    served.put("images/new.jpg", SAMPLES[0].read_bytes())
    served.server.requests.clear()
    assert main(command) == 0
    captured = capfd.readouterr()
    assert json.loads(captured.out)["changed"] is False
    assert "there are 41 pictures now, 40 when this began" in captured.err
    assert not any("/images/" in request.path for request in served.server.requests)
    assert main([*command, "--again"]) == 0
    assert json.loads(capfd.readouterr().out)["pictures"] == 41


@pytest.mark.tensorflow
def test_parquet_has_the_rows_with_their_types(served: Bucket) -> None:
    parquet = pytest.importorskip("pyarrow.parquet", reason="needs pyarrow")
    expected = put_pictures(served, 20)
    assert (
        main(["classify-all", f"s3://{served.name}/images", "--to", f"s3://{served.name}/out/", "--format", "parquet"])
        == 0
    )
    import io

    table = parquet.read_table(io.BytesIO(read(served, "out/results.parquet")))
    rows = table.to_pylist()
    assert {row["key"]: row["error"] for row in rows} == expected
    fine = next(row for row in rows if row["error"] is None)
    assert fine["predictions"][0] == {"label": fine["label"], "score": fine["score"]}
    assert (type(fine["score"]), fine["width"]) == (float, 400)


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


@pytest.mark.tensorflow
def test_storage_that_fails_for_a_moment_leaves_no_trace_in_the_results(served: Bucket, tmp_path: Path) -> None:
    expected = put_pictures(served, 20)
    failed: list[str] = []

    def failing(request: S3Request) -> bool:
        if request.method == "GET" and "/images/" in request.path and len(failed) < 12:
            failed.append(request.path)
            return True
        return False

    served.server.failing = failing
    assert (
        main(["classify-all", f"s3://{served.name}/images", "--to", str(tmp_path / "all.jsonl"), "--concurrency", "1"])
        == 0
    )
    rows = rows_of((tmp_path / "all.jsonl").read_bytes())
    assert len(failed) == 12
    assert {row["key"]: row.get("error", {}).get("code") for row in rows} == expected


class Weather:
    """Answers as it is told to, one attempt after the other."""

    def __init__(self, *statuses: int) -> None:
        self.statuses = list(statuses)

    def rows(self, keys: Any) -> list[Row]:
        status = self.statuses.pop(0)
        error = {"error": {"code": "c", "message": "m"}, "status": status}
        return [{"key": key, **({} if status == 200 else error)} for key in keys]


def test_only_what_may_pass_is_asked_again_and_not_for_ever() -> None:
    assert settled_rows(Weather(503, 503, 200), ["a"], (0, 0)) == [{"key": "a"}]
    assert settled_rows(Weather(415), ["a"], (0, 0))[0]["status"] == 415
    with pytest.raises(PlaceError, match="a: c: m"):
        settled_rows(Weather(503, 503, 503), ["a"], (0, 0))


OURS = json.dumps(
    {
        "predictions": [{"label": "hat", "score": 0.9}],
        "model": {"name": "classifier", "version": "v1", "engine": "litert"},
        "image": {"source": "upload", "format": "JPEG", "width": 1, "height": 2},
    }
).encode()
REFUSAL = b'{"error": {"code": "invalid_image", "message": "broken"}, "request_id": "r"}'


@pytest.mark.parametrize(
    ("answer", "status", "code"),
    [
        (reply(OURS), None, None),
        (reply(REFUSAL, status="422 Unprocessable"), 422, "invalid_image"),
        (reply(b'{"message": "Request Too Long"}', status="413 Too Large"), 413, "image_too_large"),
        (reply(b"<html>", status="500 Oops"), 500, "internal_error"),
        (reply(b'{"message": "Too Many Requests"}', status="429 Too Many"), 503, "model_unavailable"),
        (reply(b'{"message": "Service Unavailable"}', status="503 Busy"), 503, "model_unavailable"),
        (reply(OURS, length=9999), 503, "model_unavailable"),
    ],
)
def test_what_the_api_answers_becomes_a_row(
    bucket: Bucket, answer: Behaviour, status: int | None, code: str | None
) -> None:
    from classifier.service import ImageStore

    bucket.put("images//odd key.jpg", b"picture")
    pictures = ImageStore(bucket.s3, bucket.name, "", 1000)
    with Origin({"/classify": answer}) as origin:
        api = Api(pictures, origin.url("/"), {}, 2, 1)
        (row,) = api.rows(["images//odd key.jpg"])
        assert origin.requests[0].startswith(b"POST /classify?top=2 ")
    assert (row.get("status"), row.get("error", {}).get("code")) == (status, code)
    if code is None:
        assert row["predictions"] == [{"label": "hat", "score": 0.9}]
        assert row["model"] == {"version": "v1", "engine": "litert"}


def test_an_api_that_wants_a_key_ends_the_run(bucket: Bucket) -> None:
    from classifier.service import ImageStore

    bucket.put("images/a.jpg", b"picture")
    pictures = ImageStore(bucket.s3, bucket.name, "", 1000)
    forbidden = reply(b'{"message": "Forbidden"}', status="403 Forbidden")
    with Origin({"/classify": forbidden}) as origin, pytest.raises(PlaceError, match="--header"):
        Api(pictures, origin.url("/"), {}, None, 1).rows(["images/a.jpg"])


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
