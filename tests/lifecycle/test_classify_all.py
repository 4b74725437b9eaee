"""classify-all: each picture exactly once in the results, whatever happens to the processes that work on it."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from classifier.bulk.rows import Row
from lifecycle.bulk import crew
from lifecycle.command import main
from local.launch import PROJECT
from local.s3 import S3Request
from tests.conftest import Bucket
from tests.support.bulk import place as place
from tests.support.bulk import put_pictures, read, rows_of, serve_demo
from tests.support.demo import SAMPLES, plain_keras

COMMAND = [sys.executable, str(PROJECT / "scripts" / "models"), "classify-all"]


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
        "import lifecycle.bulk.asking as asking, os\nrows = asking.Here.rows\n"
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
