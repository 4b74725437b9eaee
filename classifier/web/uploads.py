"""Pictures as requests carry them: the parts of a multipart/form-data body (RFC 7578), and base64 in its dialects.

Of a part only its field's name, and whether it is a file, is used. Everything else in its head is skipped, in whatever
code page, folding or number a client writes it.
"""

from __future__ import annotations

import base64
import binascii
import re
from typing import TYPE_CHECKING

from classifier.errors import ImageTooLargeError, RequestError
from classifier.records import Record
from classifier.web import parameters

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_PARTS = 20
MAX_FIELD_BYTES = 10_000
MAX_HEAD_BYTES = 16_384
PICTURE_FIELDS = ("file", "image")
SHOWN_CHARS = 300
"""A picture has more; what is shorter and text is a name, a path or a link."""
_OBJECTS = ("undefined", "null", "None")
"""What JavaScript and Python make of nothing when they need text."""
_BOUNDARY = re.compile(r'[;\s]boundary\s*=\s*(?:"([^"]+)"|([^;,\s"]+))', re.IGNORECASE)
_OPTION = re.compile(rb';\s*([a-z*]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^;"\s]*))', re.IGNORECASE | re.DOTALL)
_FOLD = re.compile(rb"\r\n[ \t]+")
_URL_SAFE = str.maketrans("-_", "+/")


class Part(Record):
    """One field of a form."""

    name: str
    data: bytes
    is_file: bool


def read_form(body: bytes, content_type: str, max_image_bytes: int) -> list[Part]:
    """The form's parts in order; ImageTooLargeError for a file over the limit.

    RequestError if the form has no boundary, is cut off, or has too many or too large fields.
    """
    found = _BOUNDARY.search(content_type)
    if not found:
        text = "The form's Content-Type has no boundary. Let your client set Content-Type: it knows the boundary."
        raise RequestError("multipart: no boundary", public=text)
    boundary = (found[1] or found[2]).encode("latin-1", "replace")
    parts = [_part(raw) for raw in _raw_parts(body, boundary)]
    for part in parts:
        _check_size(part, max_image_bytes)
    return parts


def _raw_parts(body: bytes, boundary: bytes) -> Iterator[bytes]:
    """Each part with its head, as RFC 2046 section 5.1.1 delimits them."""
    _, *found = (b"\r\n" + body).split(b"\r\n--" + boundary, MAX_PARTS + 2)
    for number, raw in enumerate(found):
        if raw.startswith(b"--"):
            return
        if number == MAX_PARTS:
            raise RequestError(public=f"The form has more than {MAX_PARTS} fields.")
        padding, line_end, part = raw.partition(b"\r\n")
        if padding.strip(b" \t") or not line_end:
            break
        yield part
    raise _malformed("its end is missing" if found else "its boundary isn't in it")


def _part(raw: bytes) -> Part:
    head, empty_line, data = (b"\r\n" + raw).partition(b"\r\n\r\n")
    if not empty_line or len(head) > MAX_HEAD_BYTES:
        raise _malformed("a part's head has no end")
    name, is_file = b"", False
    for line in _FOLD.sub(b" ", head).split(b"\r\n"):
        field, _, value = line.partition(b":")
        match field.strip().lower():
            case b"content-disposition":
                options = {key.lower(): quoted or plain for key, quoted, plain in reversed(_OPTION.findall(value))}
                name = options.get(b"name", b"")
                is_file |= b"filename" in options or b"filename*" in options
            case b"content-type":
                is_file |= not value.strip().lower().startswith((b"text/plain", b"application/json"))
    field_name = name.decode("utf-8", "replace")
    if field_name in parameters.PLAIN:  # some clients give every field a file name
        return Part(field_name, data, is_file=False)
    return Part(field_name, data, is_file or not _is_text(data))


def _is_text(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def _check_size(part: Part, max_image_bytes: int) -> None:
    size = len(part.data)
    if part.is_file or part.name in PICTURE_FIELDS:
        most = max_image_bytes if part.is_file else max_image_bytes * 4 // 3 + MAX_FIELD_BYTES  # it may be base64
        if size > most:
            raise ImageTooLargeError(public=f"The picture has more than {max_image_bytes} bytes.")
    elif size > MAX_FIELD_BYTES:
        shown = part.name[:40]
        raise RequestError(
            f"a form's field of {size} bytes",
            public=f"The form's field {shown!r} is no file and has more than {MAX_FIELD_BYTES} bytes. "
            "Send the picture as a file, in a field named file.",
        )


def picture_in(part: Part) -> bytes:
    """The picture in a field that is no file: base64, or text that nobody here knows, as it is.

    RequestError if it is the text of a name or a path, or if `image` is no base64.
    """
    try:
        return decode_base64(part.data.decode(), part.name)
    except RequestError as error:
        if text := shown_text(part.data):
            raise RequestError(str(error), public=not_a_file(part.name, text)) from error
        if part.name == "image":
            raise
        return part.data


def shown_text(data: bytes) -> str:
    """One short line of text, if the bytes are nothing but that."""
    text = data.decode("utf-8", "replace").strip() if len(data) <= SHOWN_CHARS else ""
    return text if text.isprintable() and "\ufffd" not in text else ""


def not_a_file(field: str, text: str) -> str:
    """What to do about a form's field that has text where a file belongs."""
    name, shown = field[:40] or "file", text[:80]
    if text.lower().startswith(("http://", "https://")):
        return f"The field {name} is a link, not a file: send it as imagelink."
    said = f"The field {name} is text ({shown!r}), not a file"
    if text.startswith("[object ") or text in _OBJECTS:
        return f"{said}: append the File or Blob itself (in React Native an object of uri, name and type)."
    return f"{said}: with curl write {name}=@{shown}, in a program send the opened file."


def decode_base64(text: str, name: str = "image") -> bytes:
    """Bytes of base64: standard or URL-safe (RFC 4648, 4 and 5), with or without padding, in lines, as a `data:` URL.

    RequestError if it is none of them; `name` is its field.
    """
    if text[:5].lower() == "data:":
        head, _, text = text.partition(",")
        if not head.lower().rstrip().endswith(";base64"):
            raise RequestError(public=f"{name} is a data: URL without ;base64.")
    text = "".join(text.split()).translate(_URL_SAFE).rstrip("=")
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError) as error:
        said = "is a link: send it as imagelink" if text.startswith(("http:", "https:")) else "is not valid base64"
        raise RequestError(f"{name}: not base64", public=f"{name} {said}.") from error


def _malformed(reason: str) -> RequestError:
    return RequestError(f"multipart: {reason}", public=f"The multipart form is malformed or incomplete: {reason}.")
