"""TensorFlow's pack in S3: read by ranges from a real server, and everything that can go wrong on the way."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from classifier.bootstrap import archive, frames
from classifier.bootstrap.archive import PackError
from classifier.bootstrap.dependencies import PACK_NAME
from classifier.bootstrap.frames import FramesOfObject
from classifier.bootstrap.unpack import unpack
from classifier.errors import StorageUnavailableError
from classifier.s3.endpoint import Endpoint
from classifier.s3.sigv4 import Credentials
from classifier.s3.storage import S3
from local.launch import PROJECT
from local.s3 import LocalS3
from tests.classifier.bootstrap.test_unpack import GUIDE, content, listed, tree
from tests.support.roles import Call, call_of
from tests.support.troubled_s3 import TroubledS3
from tools.packaging.packer import pack

if TYPE_CHECKING:
    from collections.abc import Iterator

    from classifier.bootstrap.archive import Archive

__all__ = ["tree"]
BUCKET, PREFIX = "deployment", "serverless/keras-classifier/dev/packs/"


@pytest.fixture(scope="module")
def s3() -> Iterator[LocalS3]:
    server = LocalS3()
    server.start()
    server.client().create_bucket(Bucket=BUCKET)
    yield server
    server.stop()


@pytest.fixture
def whole(tree: Path, tmp_path: Path, s3: LocalS3) -> bytes:
    """The whole pack's bytes; its head lies in `tmp_path/root`, all of it in S3."""
    target = tmp_path / "root" / PACK_NAME
    target.parent.mkdir()
    pack.write_pack(tree, target, name="tensorflow", level="quick", guide=GUIDE)
    data = target.read_bytes()
    target.write_bytes(pack.head(target))
    put(s3, target, data)
    return data


@pytest.fixture
def head(whole: bytes, tmp_path: Path) -> Path:
    del whole
    return tmp_path / "root" / PACK_NAME


def put(s3: LocalS3, head: Path, data: bytes) -> None:
    s3.client().put_object(Bucket=BUCKET, Key=PREFIX + archive.digest_of(head), Body=data)


def unpacked(head: Path, parent: Path, endpoint: str) -> tuple[Path, dict[str, float]]:
    def apart(opened: Archive) -> FramesOfObject:
        client = S3(Endpoint("us-east-1", endpoint), lambda: Credentials("testing", "testing"))
        return FramesOfObject(opened, client, BUCKET, PREFIX)

    return unpack(head, parent, apart=apart)


def test_what_lies_in_s3_is_unpacked_whole_by_ranges(tree: Path, head: Path, tmp_path: Path, s3: LocalS3) -> None:
    before = len(s3.requests)
    folder, phases = unpacked(head, tmp_path / "tmp", s3.endpoint)
    opened = archive.read(head)

    assert content(folder) == content(tree)
    assert phases.keys() == {"index", "prepare", "write", "rename"}
    # What the functions' roles allow (tests/test_template.py), and no more.
    read = Call("s3:GetObject", f"arn:aws:s3:::{BUCKET}/{PREFIX}{opened.digest}")
    assert [call_of(one) for one in s3.requests[before:]] == [read] * len(opened.frames)
    assert (opened.is_apart, head.stat().st_size) == (True, opened.head_bytes)


def test_an_index_without_a_place_says_so(head: Path, tmp_path: Path) -> None:
    with pytest.raises(PackError, match="nothing says where the frames lie"):
        unpack(head, tmp_path / "tmp")


def spoilt(whole: bytes, what: str) -> bytes:
    middle = len(whole) // 2
    return {
        "one byte": whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :],
        "cut in a frame": whole[:middle],
        "cut before the last frame": whole[:-1],
        "empty": b"",
        "another's": random.Random(1).randbytes(len(whole)),
    }[what]


@pytest.mark.parametrize("what", ["one byte", "cut in a frame", "cut before the last frame", "empty", "another's"])
def test_a_spoilt_object_is_one_clear_error_and_a_clean_retry(
    tree: Path, whole: bytes, head: Path, tmp_path: Path, s3: LocalS3, what: str
) -> None:
    put(s3, head, spoilt(whole, what))
    with pytest.raises(PackError, match="damaged"):
        unpacked(head, tmp_path / "tmp", s3.endpoint)
    assert listed(tmp_path / "tmp") == []

    put(s3, head, whole)
    folder, _ = unpacked(head, tmp_path / "tmp", s3.endpoint)
    assert content(folder) == content(tree)


def test_every_single_byte_counts(whole: bytes, head: Path, tmp_path: Path, s3: LocalS3) -> None:
    first = archive.read(head).head_bytes
    for place in random.Random(5).sample(range(first, len(whole)), 12):
        put(s3, head, whole[:place] + bytes([whole[place] ^ 0x10]) + whole[place + 1 :])
        with pytest.raises(PackError, match="damaged"):
            unpacked(head, tmp_path / "tmp", s3.endpoint)


@pytest.mark.parametrize("how", ["missing", "denied"])
def test_an_object_that_cannot_be_had_names_itself_and_what_to_do(
    head: Path, tmp_path: Path, s3: LocalS3, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    if how == "missing":
        s3.client().delete_object(Bucket=BUCKET, Key=PREFIX + archive.digest_of(head))
    else:
        monkeypatch.setattr(s3, "denying", lambda _request: True)
    where = f"s3://{BUCKET}/{PREFIX}{archive.digest_of(head)}"
    with pytest.raises(PackError, match=rf"{where} is missing, or the role may not read it .*serverless deploy"):
        unpacked(head, tmp_path / "tmp", s3.endpoint)
    assert listed(tmp_path / "tmp") == []


@pytest.mark.parametrize("fault", ["503", "500", "reset", "truncated"])
def test_trouble_that_passes_is_not_noticed(tree: Path, head: Path, tmp_path: Path, s3: LocalS3, fault: str) -> None:
    with TroubledS3(s3.endpoint) as troubled:
        troubled.fault = lambda number, _method: fault if number in (0, 3) else None
        folder, _ = unpacked(head, tmp_path / "tmp", troubled.url)

    assert content(folder) == content(tree)


@pytest.mark.parametrize("fault", ["503", "reset", "truncated"])
def test_trouble_that_stays_is_unavailable_and_leaves_nothing(
    head: Path, tmp_path: Path, s3: LocalS3, fault: str
) -> None:
    with TroubledS3(s3.endpoint) as troubled:
        troubled.fault = lambda _number, _method: fault
        with pytest.raises(StorageUnavailableError, match=PREFIX):
            unpacked(head, tmp_path / "tmp", troubled.url)

    assert listed(tmp_path / "tmp") == []


def test_a_transfer_that_takes_too_long_is_given_up(
    head: Path, tmp_path: Path, s3: LocalS3, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(frames, "TRANSFER_S", 0.0)
    with pytest.raises(StorageUnavailableError):
        unpacked(head, tmp_path / "tmp", s3.endpoint)


STREAMED = """
import sys; from pathlib import Path; from classifier.bootstrap import dependencies
dependencies.ensure_tensorflow(Path(sys.argv[1]), Path(sys.argv[2]))
print(dependencies._folder)
"""


def streaming(head: Path, parent: Path, endpoint: str) -> subprocess.Popen[str]:
    """A process that unpacks as a function does, by its settings."""
    place = {"MODEL_BUCKET": "models", "PACK_BUCKET": BUCKET, "PACK_PREFIX": PREFIX, "AWS_ENDPOINT_URL": endpoint}
    keys = {"AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing", "AWS_REGION": "us-east-1"}
    command = [sys.executable, "-c", STREAMED, str(head.parent), str(parent)]
    environment = {**os.environ, **place, **keys}
    return subprocess.Popen(command, cwd=PROJECT, env=environment, stdout=subprocess.PIPE, text=True)


def test_a_process_killed_anywhere_while_streaming_leaves_a_clean_retry(
    tree: Path, head: Path, tmp_path: Path, s3: LocalS3
) -> None:
    """Killed after each number of requests that S3 has got, the reply to the last one held back."""
    held = threading.Event()
    for reached in range(0, len(archive.read(head).frames), 3):
        with TroubledS3(s3.endpoint) as troubled, streaming(head, tmp_path / "tmp", troubled.url) as process:
            arrived = threading.Event()

            def fault(number: int, _method: str, reached: int = reached, arrived: Any = arrived) -> None:
                if number >= reached:
                    arrived.set()
                    held.wait(0.1)

            troubled.fault = fault
            assert arrived.wait(30)
            process.send_signal(signal.SIGKILL)
    (partial,) = listed(tmp_path / "tmp")
    assert ".partial-" in partial
    folder, _ = unpacked(head, tmp_path / "tmp", s3.endpoint)

    assert content(folder) == content(tree)
    assert listed(tmp_path / "tmp") == [folder.name]


def test_two_sandboxes_at_once_agree(tree: Path, head: Path, tmp_path: Path, s3: LocalS3) -> None:
    running = [streaming(head, tmp_path / "tmp", s3.endpoint) for _ in range(2)]
    folders = {process.communicate()[0].splitlines()[-1] for process in running}

    (folder,) = folders
    assert content(Path(folder)) == content(tree)
