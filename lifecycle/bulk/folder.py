"""Where results go: a folder in S3 or on this machine, whose objects appear whole, and only where none is yet."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import uuid
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, TYPE_CHECKING, Any, Protocol

from lifecycle.errors import PlaceError, UsageError
from lifecycle.place import NOT_THERE, error_code, s3_trouble
from lifecycle.record import LOST

if TYPE_CHECKING:
    from collections.abc import Iterable

FORMATS = {".jsonl": "jsonl", ".ndjson": "jsonl", ".csv": "csv", ".parquet": "parquet"}
OTHERS = frozenset({".json", ".txt", ".tsv", ".gz", ".zip", ".xlsx"})
NAME = "results"
_S3 = re.compile(r"s3://(?P<bucket>[a-z0-9][a-z0-9.-]{1,61}[a-z0-9])(?:/(?P<key>.*))?")
_DELETED_AT_ONCE = 1000


class Folder(Protocol):
    """Objects by name. Whatever is refused is PlaceError."""

    @property
    def url(self) -> str:
        """As the command line takes it; ends in a slash."""

    def read(self, name: str) -> bytes | None:
        """The object, None if there is none."""

    def names(self, under: str) -> set[str]:
        """What there is whose name begins so."""

    def token(self, name: str) -> str | None:
        """What tells this content of an object from another; None if there is none."""

    def write(self, name: str, content: bytes | IO[bytes], token: str | None) -> bool:
        """Write it whole, if it still is what `token` tells (None: not there yet); False if it isn't."""

    def remove(self, names: Iterable[str]) -> None:
        """Remove objects, whether they are there or not."""


@dataclass(frozen=True, slots=True)
class S3Folder:
    """A prefix of a bucket."""

    bucket: str
    prefix: str
    client: Any

    @property
    def url(self) -> str:
        return f"s3://{self.bucket}/{self.prefix}"

    def read(self, name: str) -> bytes | None:
        from botocore.exceptions import ClientError

        with s3_trouble(f"reading {self.url}{name}"):
            try:
                got = self.client.get_object(Bucket=self.bucket, Key=self.prefix + name)
            except ClientError as error:
                if error_code(error) in NOT_THERE:
                    return None
                raise
            body: bytes = got["Body"].read()
            return body

    def names(self, under: str) -> set[str]:
        with s3_trouble(f"listing {self.url}{under}"):
            pages = self.client.get_paginator("list_objects_v2").paginate(
                Bucket=self.bucket, Prefix=self.prefix + under
            )
            return {item["Key"].removeprefix(self.prefix) for page in pages for item in page.get("Contents", [])}

    def token(self, name: str) -> str | None:
        from botocore.exceptions import ClientError

        with s3_trouble(f"looking at {self.url}{name}"):
            try:
                etag: str = self.client.head_object(Bucket=self.bucket, Key=self.prefix + name)["ETag"]
            except ClientError as error:
                if error_code(error) in NOT_THERE:
                    return None
                raise
            return etag

    def write(self, name: str, content: bytes | IO[bytes], token: str | None) -> bool:
        from botocore.exceptions import ClientError

        condition = {"IfNoneMatch": "*"} if token is None else {"IfMatch": token}
        with s3_trouble(f"writing {self.url}{name}"):
            try:
                self.client.put_object(Bucket=self.bucket, Key=self.prefix + name, Body=content, **condition)
            except ClientError as error:
                if error_code(error) in (*LOST, *NOT_THERE):
                    return False
                raise
        return True

    def remove(self, names: Iterable[str]) -> None:
        keys = [{"Key": self.prefix + name} for name in sorted(names)]
        with s3_trouble(f"removing parts under {self.url}"):
            for start in range(0, len(keys), _DELETED_AT_ONCE):
                chunk = {"Objects": keys[start : start + _DELETED_AT_ONCE], "Quiet": True}
                self.client.delete_objects(Bucket=self.bucket, Delete=chunk)


@dataclass(frozen=True, slots=True)
class LocalFolder:
    """A folder of this machine."""

    path: Path

    @property
    def url(self) -> str:
        return f"{self.path}/"

    def read(self, name: str) -> bytes | None:
        try:
            return (self.path / name).read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise PlaceError(f"reading {self.path / name}: {error.strerror}") from error

    def names(self, under: str) -> set[str]:
        start = self.path / under
        found = start.rglob("*") if under.endswith("/") else start.parent.glob(f"{start.name}*")
        return {path.relative_to(self.path).as_posix() for path in found if path.is_file()}

    def token(self, name: str) -> str | None:
        data = self.read(name)
        return None if data is None else hashlib.sha256(data).hexdigest()

    def write(self, name: str, content: bytes | IO[bytes], token: str | None) -> bool:
        path = self.path / name
        unfinished = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with unfinished.open("xb") as file:
                shutil.copyfileobj(content, file) if not isinstance(content, bytes) else file.write(content)
                file.flush()
                os.fsync(file.fileno())
            if token is not None:
                return self._replace(unfinished, path, token)
            os.link(unfinished, path)  # unlike renaming, it never takes the place of a file
        except FileExistsError:
            return False
        except OSError as error:
            raise PlaceError(f"writing {path}: {error.strerror}") from error
        finally:
            unfinished.unlink(missing_ok=True)
        return True

    def _replace(self, unfinished: Path, path: Path, token: str) -> bool:
        if self.token(path.relative_to(self.path).as_posix()) != token:
            return False
        unfinished.replace(path)
        return True

    def remove(self, names: Iterable[str]) -> None:
        folders = set()
        for name in names:
            path = self.path / name
            path.unlink(missing_ok=True)
            folders.add(path.parent)
        for folder in folders - {self.path}:
            for left in folder.glob(".*"):  # half-written, by a process that was stopped
                left.unlink(missing_ok=True)
            if not any(folder.iterdir()):
                folder.rmdir()


@dataclass(frozen=True, slots=True)
class Destination:
    """The file of results: in which folder, under which name, of which format."""

    folder: Folder
    name: str
    format: str

    @property
    def url(self) -> str:
        """As the command line takes it."""
        return self.folder.url + self.name

    @property
    def work(self) -> str:
        """Where, in the folder, everything is until there is the file."""
        return f"{self.name}.parts/"


def find_destination(text: str, wanted: str | None, client: Any) -> Destination:  # noqa: ANN401 - boto3's
    """What `--to` names: a file by its ending, else a folder that gets `results.<format>`; UsageError if unclear."""
    place, name = _split(text)
    suffix = PurePosixPath(name).suffix.lower()
    if suffix in OTHERS:
        raise UsageError(f"{text}: results are .jsonl, .csv or .parquet; for a folder of that name end it with a slash")
    if wanted and FORMATS.get(suffix, wanted) != wanted:
        raise UsageError(f"{text} says {FORMATS[suffix]}, --format says {wanted}")
    kind = FORMATS.get(suffix) or wanted or "jsonl"
    if suffix not in FORMATS:
        place, name = f"{place}{name}/" if name else place, f"{NAME}.{kind}"
    return Destination(open_folder(place, client), name, kind)


def open_folder(url: str, client: Any) -> Folder:  # noqa: ANN401 - boto3's
    """The folder of a URL that ends in a slash."""
    if found := _S3.fullmatch(url):
        return S3Folder(found["bucket"], found["key"] or "", client)
    return LocalFolder(Path(url).absolute())


def _split(text: str) -> tuple[str, str]:
    """The folder, ending in a slash, and the name in it, empty if a folder is named."""
    if text.startswith("s3:"):
        found = _S3.fullmatch(text)
        if found is None:
            raise UsageError(f"{text!r} is no place: give s3://bucket/prefix")
        folder, _, name = (found["key"] or "").rpartition("/")
        folder = folder.strip("/")
        return f"s3://{found['bucket']}/{folder}/" if folder else f"s3://{found['bucket']}/", name
    path = Path(text).absolute()
    if text.endswith("/") or path.is_dir():
        return f"{path}/", ""
    return f"{path.parent}/".replace("//", "/"), path.name
