"""What S3 answers in XML: listings of objects and versions, and errors."""

from __future__ import annotations

import time
from datetime import datetime
from typing import TYPE_CHECKING
from urllib.parse import unquote_plus
from xml.etree import ElementTree as ET

from classifier.errors import StorageUnavailableError
from classifier.records import Record

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from classifier.s3.http import Reply


LISTINGS = ("ListBucketResult", "ListVersionsResult")
MESSAGE_CHARACTERS = 500
MONTHS = "JanFebMarAprMayJunJulAugSepOctNovDec"


class ObjectInfo(Record):
    """One entry of a listing; `modified` in seconds since the epoch (S3 gives whole seconds)."""

    key: str
    etag: str
    size: int
    modified: float
    version_id: str | None = None
    deleted: bool = False


class Listing(Record):
    """Objects under a prefix, and S3's own clock when it answered."""

    objects: tuple[ObjectInfo, ...]
    server_time: float


class Page(Record):
    """One answer of a listing; `following` are the parameters that ask for the next, empty after the last."""

    objects: tuple[ObjectInfo, ...]
    server_time: float
    following: dict[str, str]


def parse_page(reply: Reply, markers: Mapping[str, str]) -> Page:
    """Read a page; StorageUnavailableError if it is none.

    `markers` maps request parameters to the elements that hold their next values.
    """
    try:
        root = ET.fromstring(reply.body)  # noqa: S314 - S3's own reply; expat limits entity expansion
        if _local(root) not in LISTINGS:
            raise ValueError(f"the root is {_local(root)}")
        objects = tuple(_entries(root))
    except (ET.ParseError, ValueError) as error:
        raise StorageUnavailableError(f"S3's listing can't be read: {error}") from error
    following = {name: _plain(root, root, tag) for name, tag in markers.items() if _text(root, tag)}
    truncated = _text(root, "IsTruncated") == "true"
    return Page(objects, _http_date(reply.headers.get("date", "")), following if truncated else {})


class Complaint(Record):
    """An error's body: its code, S3's words for it, and the region that it says the bucket is in."""

    code: str = "no code"
    message: str = ""
    region: str = ""

    def __str__(self) -> str:
        return f"{self.code}: {self.message}" if self.message else self.code


def complaint(body: bytes) -> Complaint:
    """Read an error's body; one that is none has `no code`."""
    try:
        root = ET.fromstring(body)  # noqa: S314 - S3's own reply; expat limits entity expansion
    except ET.ParseError:
        return Complaint()
    message = " ".join(_text(root, "Message").split())[:MESSAGE_CHARACTERS]
    return Complaint(_text(root, "Code") or "no code", message, _text(root, "Region"))


def _local(element: ET.Element) -> str:
    return element.tag.rpartition("}")[2]


def _text(element: ET.Element, tag: str) -> str:
    return next((child.text or "" for child in element if _local(child) == tag), "")


def _plain(root: ET.Element, element: ET.Element, tag: str) -> str:
    """The text of a child, keys decoded where the listing says that they are encoded; tokens and ids never are."""
    text = _text(element, tag)
    return unquote_plus(text) if tag.endswith(("Key", "KeyMarker")) and _text(root, "EncodingType") == "url" else text


def _entries(root: ET.Element) -> Iterator[ObjectInfo]:
    for element in root:
        if (tag := _local(element)) in ("Contents", "Version", "DeleteMarker"):
            yield ObjectInfo(
                key=_plain(root, element, "Key"),
                etag=_text(element, "ETag").strip('"'),
                size=int(_text(element, "Size") or 0),
                modified=datetime.fromisoformat(_text(element, "LastModified")).timestamp(),
                version_id=_text(element, "VersionId") or None,
                deleted=tag == "DeleteMarker",
            )


def _http_date(value: str) -> float:
    """A Date header (RFC 9110, 5.6.7) in seconds since the epoch; our own clock for one that can't be read."""
    try:
        _, day, month, year, clock, _ = value.split()
        return datetime.fromisoformat(f"{year}-{MONTHS.index(month) // 3 + 1:02}-{day}T{clock}Z").timestamp()
    except ValueError:
        return time.time()
