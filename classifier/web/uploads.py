"""Fields and files out of a multipart/form-data body (RFC 7578)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from classifier.errors import ImageTooLargeError, RequestError

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_PARTS = 20
MAX_FIELD_BYTES = 10_000
FILE_FIELDS = ("file", "image")


def read_form(body: bytes, content_type: str, max_image_bytes: int) -> Iterator[tuple[str, bytes]]:
    """The form's parts as (name, bytes); RequestError if malformed, ImageTooLargeError for a file over the limit."""
    import multipart

    try:
        _, options = multipart.parse_options_header(content_type)
        parser = multipart.PushMultipartParser(options.get("boundary", ""), max_segment_count=MAX_PARTS, strict=True)
        name, data = "", bytearray()
        with parser:
            for event in parser.parse(body):
                if isinstance(event, multipart.MultipartSegment):
                    name, data = event.name, bytearray()
                elif event:
                    data += event
                    _check_size(name, len(data), max_image_bytes)
                else:
                    yield name, bytes(data)
    except (multipart.MultipartError, ValueError) as error:
        # The parser's own text may repeat what was sent.
        detail = f"multipart: {type(error).__name__}"
        raise RequestError(detail, public="The multipart form is malformed or incomplete.") from error


def _check_size(name: str, size: int, max_image_bytes: int) -> None:
    if name not in FILE_FIELDS and size > MAX_FIELD_BYTES:
        raise RequestError(public=f"The form's field {name[:40]!r} has more than {MAX_FIELD_BYTES} bytes.")
    if size > max_image_bytes:
        raise ImageTooLargeError(public=f"The picture has more than {max_image_bytes} bytes.")
