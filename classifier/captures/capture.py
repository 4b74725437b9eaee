"""Keeping a share of what was asked, for the next training: one object for each picture, written before the reply.

The object is the picture itself, so that whoever opens it sees it; what was answered is JSON in its metadata. Kept is
what decides the answer: no link, key, address or header, and none of what a camera wrote into the file (place, time).
Lambda freezes a function once it has replied, so the PUT comes first; it has a second, and whatever is wrong with it is
logged and counted, never the caller's.
"""

from __future__ import annotations

import json
import random
import time
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from classifier import logs
from classifier.pictures.headers.inspection import inspect
from classifier.settings import SettingsError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from classifier.pictures.headers.picture import ImageLimits, Picture
    from classifier.s3.storage import S3
    from classifier.settings import Settings
    from classifier.web.routes import Exchange

    type Chosen = tuple[str, Picture, dict[str, Any]]

PREFIX = "captures/"
"""Of the image bucket. Flat, as whoever gives feedback knows a request's id and not its day."""
RECORD = "record"
"""The name of the metadata that holds the record, `x-amz-meta-record`."""
RECORD_BYTES = 1_900
"""S3 takes 2 KB of metadata, names included (Amazon S3 User Guide, "Working with object metadata")."""
PUT_S = 1.0
"""The most that keeping may lengthen a request."""
REST_S = 10.0
"""So long nothing is kept after a failure: S3 that is down or denies costs one request its second, not each."""
MOST_BYTES = 20_000_000
"""Of the pictures of one request, which wait in memory until all are answered."""
KEPT = {"kept": True}
"""In the reply: who is told may say what the picture shows, and knows that it will be looked at."""
MEDIA_TYPES = {"JPEG": "image/jpeg", "PNG": "image/png", "GIF": "image/gif", "WEBP": "image/webp", "BMP": "image/bmp"}


def now() -> str:
    """The time as records hold it."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class Captures:
    """Which requests are kept, and where."""

    def __init__(
        self, s3: S3, bucket: str, *, share: float, unsure: bool, draw: Callable[[], float] = random.random
    ) -> None:
        self.s3, self.bucket = s3, bucket
        self._share, self._unsure, self._draw = share, unsure, draw
        self._rests_until = 0.0

    @classmethod
    def from_settings(cls, s3: S3, settings: Settings) -> Captures:
        """As CAPTURE says; SettingsError where what is kept would be in reach of `s3key`, or has no bucket."""
        if not settings.image_bucket:
            raise SettingsError(
                "CAPTURE is set, but IMAGE_BUCKET is not: expected the bucket that pictures are kept in"
            )
        for name, given in (("IMAGE_PREFIX", settings.image_prefix), ("EXAMPLES_PREFIX", settings.examples_prefix)):
            shown = name == "IMAGE_PREFIX" or given  # without examples there is no prefix of theirs
            if shown and (PREFIX.startswith(given) or given.startswith(PREFIX)):
                text = f"{name}={given!r} with CAPTURE: expected a prefix apart from {PREFIX}, where pictures are kept"
                raise SettingsError(text)
        assert settings.capture is not None
        share, unsure = settings.capture
        return cls(s3, settings.image_bucket, share=share, unsure=unsure)

    def begin(self) -> Keeping:
        """What one request may leave."""
        return Keeping(self)

    def why(self, answered: Mapping[str, Any]) -> str:
        """Why an answer is kept: "drawn" by chance, or "unsure"; empty if it isn't."""
        if self._share and self._draw() < self._share:
            return "drawn"
        return "unsure" if self._unsure and answered.get("sure") is False else ""

    def put(self, name: str, picture: Picture, record: Mapping[str, Any], deadline: float) -> None:
        """Write one; errors as S3's PUT has them, and ValueError of `written`."""
        kind = MEDIA_TYPES.get(picture.format, "application/octet-stream")
        metadata = {RECORD: written(record)}
        self.s3.put(self.bucket, PREFIX + name, picture.data, deadline, content_type=kind, metadata=metadata)

    @property
    def rests(self) -> bool:
        """Whether a PUT failed moments ago."""
        return time.monotonic() < self._rests_until

    def rest(self) -> None:
        """Keep nothing for a while."""
        self._rests_until = time.monotonic() + REST_S


class Keeping:
    """What is kept of one request. Its methods never raise: the caller has an answer that is as good without."""

    def __init__(self, captures: Captures) -> None:
        self._captures = captures
        self._data = b""
        self._chosen: list[Chosen] = []
        self._bytes = 0

    def reading(self, read: Callable[[float], bytes]) -> Callable[[float], bytes]:
        """The same as `read`, and what it read is remembered."""

        def remembered(deadline: float) -> bytes:
            self._data = read(deadline)
            return self._data

        return remembered

    def keep(self, answered: Mapping[str, Any], limits: ImageLimits, exchange: Exchange) -> dict[str, Any]:
        """Keep the request's only picture, if it is chosen; what the reply tells of it, nothing if it wasn't."""
        with self._harmless(exchange.request_id):
            if why := self._captures.why(answered):
                self._choose("", inspect(self._data, limits), answered, why)
                return dict(KEPT) if self._finish(answered["model"], exchange) else {}
        return {}

    def offer(self, number: int, picture: Picture, answered: Mapping[str, Any]) -> None:
        """One of several pictures, by its place in the reply's results: each is chosen or not by itself."""
        with self._harmless(f"picture {number}"):
            if (why := self._captures.why(answered)) and self._bytes + len(picture.data) <= MOST_BYTES:
                self._choose(f"-{number}", picture, answered, why)

    def finish(self, answered: Mapping[str, Any], exchange: Exchange) -> None:
        """Keep those of several pictures that were chosen, and tell so in their results."""
        for end in self._finish(answered["model"], exchange):
            answered["results"][int(end[1:])].update(KEPT)

    def _finish(self, model: Mapping[str, Any] | None, exchange: Exchange) -> list[str]:
        """Write what was chosen, in a second together and before the request's deadline; the log counts it.

        The ends of the names of what was written.
        """
        if not self._chosen:
            return []
        began, done = time.monotonic(), 0
        deadline = min(exchange.deadline, began + PUT_S)
        about = {"time": now(), "model": model}
        with self._harmless(exchange.request_id):
            for end, picture, record in () if self._captures.rests else self._chosen:
                name = exchange.request_id + end
                self._captures.put(name, picture, {"request_id": name, **about, **record}, deadline)
                done += 1
        kept = [end for end, _, _ in self._chosen[:done]]
        exchange.log["capture_ms"] = round((time.monotonic() - began) * 1000, 2)
        for counted, count in (("captured", done), ("captures_failed", len(self._chosen) - done)):
            if count:
                exchange.log[counted] = count
        return kept

    @contextmanager
    def _harmless(self, what: str) -> Iterator[None]:
        try:
            yield
        except Exception as error:  # noqa: BLE001 - see the class
            self._captures.rest()
            logs.emit("warning", "a picture could not be kept", error=error, fields={"request_id": what})

    def _choose(self, end: str, picture: Picture, answered: Mapping[str, Any], why: str) -> None:
        turned = {"orientation": picture.orientation} if picture.orientation != 1 else {}
        record = {name: answered[name] for name in ("sure", "predictions", "outputs") if name in answered}
        self._bytes += len(picture.data)
        self._chosen.append((end, picture, {"why": why, "image": {**answered["image"], **turned}, **record}))


def written(record: Mapping[str, Any]) -> str:
    """The record as the value of a header: ASCII, no two spaces in a row, without the last predictions if it is long.

    ValueError where even the best one does not fit.
    """
    kept = dict(record)
    while len(text := _ascii(kept)) > RECORD_BYTES:
        if kept.pop("outputs", None) is None:
            if len(kept["predictions"]) < 2:
                raise ValueError(f"a label too long for S3's metadata: the record has {len(text)} bytes")
            kept["predictions"] = kept["predictions"][:-1]
    return text


def _ascii(record: Mapping[str, Any]) -> str:
    # Signing takes several spaces for one, as HTTP does.
    return json.dumps(record, separators=(",", ":")).replace("  ", " \\u0020")
