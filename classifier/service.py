"""Classifying one picture: from a question to a reply. Its collaborators are given to it."""

from __future__ import annotations

import re
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol

from classifier.errors import (
    ImageError,
    ImageTooLargeError,
    S3KeyError,
    S3ObjectNotFoundError,
    S3ObjectNotReadableError,
)
from classifier.records import Record
from classifier.s3.storage import S3, ObjectMissingError, ObjectTooLargeError, ObjectUnreadableError
from classifier.web.sources import Key, Link, Question, Source, Upload

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from classifier.bundles.serving import Serving
    from classifier.phases import Phases
    from classifier.pictures.headers.picture import ImageLimits
    from classifier.pictures.render import DecodedImage

MAX_KEY_BYTES = 1024
_CONTROLS = re.compile("[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")
"""Controls of terminals, lines and writing direction. Other invisible characters are in the names that phones give."""


class Model(Protocol):
    """What the service needs of a loaded model."""

    @property
    def version(self) -> str: ...
    @property
    def updated(self) -> float: ...
    @property
    def serving(self) -> Serving: ...
    @property
    def engine(self) -> Any: ...  # noqa: ANN401 - classifier.engines.Engine
    @property
    def read_head(self) -> Callable[[float], bytes] | None: ...
    def named(self, name: str) -> dict[str, str | bool]: ...


class Models(Protocol):
    """Where the service gets a model to answer with."""

    def look_ahead(self) -> None: ...
    def acquire(self, deadline: float) -> Model: ...


class ImageStore(Record):
    """The only place that `s3key` may read: one prefix of one bucket."""

    s3: S3
    bucket: str
    prefix: str
    max_bytes: int

    def read(self, key: str, deadline: float) -> bytes:
        """The object's bytes; S3KeyError and its kin. A key that is denied looks like a missing one."""
        self._check(key)
        return self.read_listed(key, deadline)

    def read_tagged(self, key: str, deadline: float) -> tuple[bytes, str]:
        """The same with the object's ETag."""
        self._check(key)
        with self._translated():
            data, tag = self.s3.get_tagged(self.bucket, key, deadline, max_bytes=self.max_bytes)
        return _unpacked(data, self.max_bytes), tag

    def tag(self, key: str, deadline: float) -> str:
        """The object's ETag alone; errors as of `read`."""
        self._check(key)
        with self._translated():
            return self.s3.tag(self.bucket, key, deadline)

    def read_listed(self, key: str, deadline: float, version_id: str | None = None) -> bytes:
        """The same for a key that S3 itself named and no caller: whatever is a key to S3 is one here."""
        with self._translated():
            data = self.s3.get(self.bucket, key, deadline, max_bytes=self.max_bytes, version_id=version_id)
        return _unpacked(data, self.max_bytes)

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except ObjectMissingError as error:
            raise S3ObjectNotFoundError(str(error)) from error
        except ObjectUnreadableError as error:
            raise S3ObjectNotReadableError(str(error)) from error
        except ObjectTooLargeError as error:
            raise ImageTooLargeError(str(error), public=f"The picture has more than {self.max_bytes} bytes.") from error

    def _check(self, key: str) -> None:
        if not self.bucket:
            raise S3KeyError("no IMAGE_BUCKET is set", public="This service reads no pictures by s3key.")
        try:
            size = len(key.encode())
        except UnicodeEncodeError as error:
            raise S3KeyError("half a surrogate pair") from error
        if size > MAX_KEY_BYTES:
            raise S3KeyError(
                f"key of {size} bytes", public=f"s3key has {size} bytes; a key has at most {MAX_KEY_BYTES}."
            )
        if not key.startswith(self.prefix) or key == self.prefix:
            raise S3KeyError(f"{_loggable(key)} is outside {self.prefix!r}")
        if any(part in ("", ".", "..") for part in key.removeprefix(self.prefix).split("/")) or _CONTROLS.search(key):
            raise S3KeyError(f"{_loggable(key)} is not a plain key")


def _unpacked(data: bytes, max_bytes: int) -> bytes:
    """The picture out of an object that was stored with `Content-Encoding: gzip`, as a browser would see it."""
    if not data.startswith(b"\x1f\x8b"):  # as no picture does, whatever the object's metadata say
        return data
    import zlib

    decoder = zlib.decompressobj(wbits=31)
    try:
        plain = decoder.decompress(data, max_bytes + 1)
    except zlib.error as error:
        raise ImageError(f"gzip: {error}") from error
    if len(plain) > max_bytes:
        raise ImageTooLargeError(public=f"The picture has more than {max_bytes} bytes.")
    if not decoder.eof:
        raise ImageError("gzip: cut off")
    return plain


def _loggable(key: str) -> str:
    # A signed link is easily given as a key; its query is a credential.
    return repr(key.partition("?")[0][:200])


class Classifier(Record):
    """Answers questions: fetches or takes the picture, decodes it, asks the model."""

    models: Models
    model_name: str
    fetch: Callable[[str, float], bytes]
    """Fetch a link before a deadline (time.monotonic())."""
    store: ImageStore
    limits: ImageLimits

    def classify(
        self, question: Question, phases: Phases, deadline: float, read: Callable[[float], bytes] | None = None
    ) -> dict[str, Any]:
        """The reply without request id and timings. Nothing heavy is imported before the picture looks like one.

        `read` gives the picture's bytes before a deadline, in place of the method of that name.
        """
        from classifier.pictures.decode import admit, decode

        self.models.look_ahead()
        with phases.measure("fetch"):
            data = read(deadline) if read else self.read(question.source, deadline)
        checked = admit(data, self.limits, deadline)
        with phases.measure("load"):
            model = self.models.acquire(deadline)
        with phases.measure("decode"):
            show = question.explain is not None and question.explain.png
            picture = decode(checked, model.serving.preprocessing, self.limits, deadline, show=show)
            array = model.serving.preprocessing.to_array(picture.pixels)
        with phases.measure("infer"):
            if question.explain is None:
                raw, places = model.engine.predict(array), None
            else:
                from classifier.explaining.explanation import answer

                raw, places = answer(model, array, deadline)
        reply = {
            **model.serving.answer(raw, question.top),
            "model": model.named(self.model_name),
            "image": described(question.source, picture),
        }
        if question.explain is not None:
            from classifier.explaining.explanation import Answered, explained

            with phases.measure("explain"):
                answered = Answered(checked, picture, array, raw, places)
                reply |= explained(question.explain, model, answered, self.limits, deadline)
        return reply

    def read(self, source: Source, deadline: float) -> bytes:
        """The picture's bytes, from wherever it is; errors as fetching, `s3key` and uploads have them."""
        match source:
            case Link(url):
                return self.fetch(url, deadline)
            case Key(key):
                return self.store.read(key, deadline)
            case Upload(data):
                return data


def described(source: Source, picture: DecodedImage) -> dict[str, Any]:
    """What a reply says of the picture."""
    return {"source": source.kind, "format": picture.format, "width": picture.width, "height": picture.height}
