"""`npm start`: says where it is, serves the bundle it was given, explains what is wrong, leaves nothing behind."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import urllib.request
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from local.__main__ import main
from local.launch import PROJECT
from local.options import DEMO
from local.seed import SeedError, read_bundle, seed_bundle, seed_samples, version_of
from tests.support.framework import needs_framework

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.conftest import Bucket


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    folder = tmp_path / "bundle"
    (folder / "samples" / "more").mkdir(parents=True)
    (folder / "architecture.json").write_text("{}")
    (folder / "model.weights.h5").write_bytes(b"weights")
    (folder / "labels.txt").write_text("a\nb\n")
    (folder / "samples" / "more" / "space plus+file.jpg").write_bytes(b"picture")
    (folder / "samples" / "LICENSE").write_text("CC0")
    return folder


def test_a_bundle_is_published_with_every_objects_version_and_digest(bucket: Bucket, bundle: Path) -> None:
    from classifier.bundles.bundle import parse_publication

    files = read_bundle(bundle)
    version = seed_bundle(bucket.boto, bucket.name, "models/dev/", files, source="here")
    names = [entry["Key"] for entry in bucket.boto.list_objects_v2(Bucket=bucket.name)["Contents"]]
    assert sorted(names) == [
        f"models/dev/{name}" for name in ("architecture.json", "labels.txt", "model.weights.h5", "published.json")
    ]
    body = bucket.boto.get_object(Bucket=bucket.name, Key="models/dev/published.json")["Body"].read()
    assert (json.loads(body)["version"], json.loads(body)["source"]) == (version, "here")
    publication = parse_publication(body, 0.0, "models/dev/")
    for part in publication.parts:
        got = bucket.boto.get_object(Bucket=bucket.name, Key=part.key, VersionId=part.version_id)
        assert (got["Body"].read(), got["ETag"].strip('"')) == (files[part.key.removeprefix("models/dev/")], part.etag)


def test_labels_txt_is_part_of_the_version_only_when_it_decides(bundle: Path) -> None:
    files = read_bundle(bundle)
    plain = {name: data for name, data in files.items() if name != "labels.txt"}
    assert version_of(files) != version_of(plain)
    own = {"serving.json": b'{"labels": ["x", "y"]}'}
    assert version_of(files | own) == version_of(plain | own)


def test_samples_keep_their_folders_and_only_pictures_go(bucket: Bucket, bundle: Path) -> None:
    keys = seed_samples(bucket.boto, bucket.name, "images/", bundle / "samples")
    assert keys == ["images/more/space plus+file.jpg"]
    assert bucket.boto.head_object(Bucket=bucket.name, Key=keys[0])["ContentType"] == "image/jpeg"
    with pytest.raises(SeedError, match="There are no pictures in"):
        seed_samples(bucket.boto, bucket.name, "images/", PROJECT / "local")


@needs_framework
def test_what_is_wrong_is_told_in_one_sentence(bundle: Path, capfd: pytest.CaptureFixture[str]) -> None:
    before = signal.getsignal(signal.SIGTERM)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        cases = {
            ("--bundle", str(bundle / "nothing")): f"There is no bundle at {bundle / 'nothing'}: no such folder.",
            (
                "--bundle",
                str(bundle / "samples"),
            ): "holds no model: expected saved_model.pb, a .keras or .h5 file, or architecture JSON and its weights",
            ("--bundle", str(bundle), "--samples", "/nowhere"): "There are no pictures at /nowhere: no such folder.",
            ("--bundle", str(bundle), "--package", "/nowhere"): "There is no package at /nowhere: no such folder.",
            (
                "--bundle",
                str(bundle),
                "--port",
                str(port),
            ): f"Port {port} is in use. Choose another: npm start -- --port {port + 1}",
            (
                "--s3-port",
                str(port),
            ): f"Port {port} is in use. Choose another: npm start -- --s3-port {port + 1}",
        }
        for arguments, sentence in cases.items():
            assert main(arguments) == 1
            said = [line for line in capfd.readouterr().err.splitlines() if not line.startswith("[")]  # progress
            assert len(said) == 1
            assert sentence in said[0]
    signal.signal(signal.SIGTERM, before)


@needs_framework
@pytest.mark.lambda_
def test_a_model_that_can_not_be_served_ends_the_start(bundle: Path, capfd: pytest.CaptureFixture[str]) -> None:
    before = signal.getsignal(signal.SIGTERM)
    assert main(["--bundle", str(bundle), "--port", "0"]) == 1
    signal.signal(signal.SIGTERM, before)
    said = capfd.readouterr()
    assert said.err == "The model can't be loaded. Its owner has to publish a working one. The log above says more.\n"
    assert "Ready" not in said.out


@pytest.mark.parametrize("text", ["80000", "-1", "http", "3_000", "٣"])
def test_a_port_is_a_port(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main([f"--port={text}"])
    assert capsys.readouterr().err == (
        f"Argument --port: {text!r} is no port: expected 1 to 65535, or 0 for any. All options: npm start -- --help\n"
    )


@pytest.mark.parametrize("option", ["--prot", "--to", "--dry-run", "--Port=1", "--bundel=x"])
def test_an_option_of_nobodys_is_refused_before_anything_is_made(
    option: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main([option, "3450"])
    assert capsys.readouterr().err == f"No option {option.partition('=')[0]}. All options: npm start -- --help\n"


@contextmanager
def killed_after(process: subprocess.Popen[str]) -> Iterator[None]:
    """Leave no process when an assertion fails."""
    try:
        yield
    finally:
        process.kill()


@pytest.mark.parametrize("setting", ["MODEL_CHECK_SECOND=2", "MODEL_CHECK_SECONDS"])
def test_what_is_set_for_a_run_must_be_a_setting(setting: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--set", setting])
    assert "NAME as in docs/reference/settings.md" in capsys.readouterr().err


@needs_framework
@pytest.mark.lambda_
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_the_last_line_names_the_address_and_the_end_leaves_nothing(
    tmp_path: Path, bundle: Path, how: signal.Signals
) -> None:
    picture = next((DEMO / "samples" / "pants").glob("*.jpg"))
    (bundle / "samples" / "more" / "space plus+file.jpg").write_bytes(picture.read_bytes())
    command = [sys.executable, "-m", "local", "--samples", "samples", "--port", "0"]
    # As from a terminal: a job in the background of a shell would ignore SIGINT.
    with (
        subprocess.Popen(
            command,
            cwd=PROJECT,
            env={**os.environ, "TMPDIR": str(tmp_path), "INIT_CWD": str(bundle)},
            stdout=subprocess.PIPE,
            text=True,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        ) as process,
        killed_after(process),
    ):
        assert process.stdout is not None
        said = []
        for line in process.stdout:
            said.append(line)
            if line.startswith("Ready: "):
                break
        found = re.fullmatch(r"Ready: (http://127\.0\.0\.1:\d+)  Try: curl '(\S+)'\n", said[-1])
        assert found, said
        assert found[2] == f"{found[1]}/classify?s3key=images/more/space%20plus%2Bfile.jpg"
        with urllib.request.urlopen(f"{found[1]}/health") as reply:
            assert reply.status == 200
        groups = [int(path.read_text()) for path in tmp_path.glob("local-lambda-*/*/pid")]
        assert len(groups) == 1, "the model is compiled: only the function that answers has a sandbox"
        process.send_signal(how)
        assert process.wait(30) == 0
        said += process.stdout.readlines()  # the function's own lines come by another way, and may be later
    assert any("publish MODEL --to s3://keras-classifier-dev-modelbucket/models/dev " in line for line in said)
    assert any(re.fullmatch(r"\S+  GET /classify 200 in \S+ ms by litert.*\n", line) for line in said), said
    assert not any(line.startswith("{") for line in said)
    assert list(tmp_path.glob("local-lambda-*")) == []
    for group in groups:
        with pytest.raises(ProcessLookupError):
            os.killpg(group, 0)
