"""Where the pictures of a request come from: one link, key or upload, or several; and how many predictions to give."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from classifier.errors import (
    AmbiguousInputError,
    ClassifierError,
    ImageTooLargeError,
    MissingInputError,
    RequestError,
)
from classifier.records import Record
from classifier.web import parameters
from classifier.web.bodies import Budget, json_type, read_json
from classifier.web.responses import prefers_png
from classifier.web.uploads import PICTURE_FIELDS, decode_base64, picture_in, picture_of, read_form

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from classifier.web.events import Request

TEXT_FIELDS = ("imagelink", "s3key")
LOOSE_TYPES = ("", "text/plain", "application/x-www-form-urlencoded")
"""What clients announce without being asked: `fetch` plain text, `curl -d` a form, others nothing."""
MAX_TOP = 10_000


class Link(Record):
    """A picture somewhere on the web."""

    url: str
    kind = "imagelink"


class Key(Record):
    """A picture in the image bucket."""

    key: str
    kind = "s3key"


class Upload(Record):
    """A picture that came with the request."""

    data: bytes
    kind = "upload"


type Source = Link | Key | Upload
SOURCES = (Link, Key, Upload)


class Explain(Record):
    """What to explain: a label, None for the best one; and whether as a picture, instead of the reply."""

    label: str | None
    png: bool = False


class Question(Record):
    """One picture to classify; `top` is the most predictions wanted, None for the model's own number."""

    source: Source
    top: int | None
    explain: Explain | None = None


class Batch(Record):
    """Several pictures of one request, in order; in place of one that can't be asked about stands its error."""

    questions: tuple[Question | ClassifierError, ...]


class Top(Record):
    """The wanted number of predictions."""

    number: int


class Several(Record):
    """The value of `images`, not read yet."""

    items: Any


class Unread(Record):
    """A field of a body that nobody reads, by its name."""

    name: str


type Given = Source | Top | Several | Explain | Unread


def read_question(
    request: Request, max_image_bytes: int, max_pictures: int, budget: Callable[[], Budget] = Budget
) -> Question | Batch:
    """The request's one source and its `top`, or the several of `images`; RequestError and its kin say what is wrong.

    What is wrong with one of several pictures is in its place, unless there are more than `max_pictures`. `budget` is
    what reading JSON may cost.
    """
    body = _from_body(request, max_image_bytes, budget)
    query = (item for item in _from_fields(request.query, max_image_bytes) if not isinstance(item, Unread))  # app tells
    given = [*query, *body]
    lists = [item for item in given if isinstance(item, Several)]
    if not lists:
        question = _question(given)
        return question if question.explain is None else _in_form(question, question.explain, request)
    if len(lists) > 1 or any(isinstance(item, SOURCES) for item in given):
        raise AmbiguousInputError("images and another source", public="Give either images or one picture, not both.")
    items, top = lists[0].items, _only_top(given)
    _check_unexplained(_only_explain(given))
    if not isinstance(items, list):
        raise RequestError(public="images must be a list of objects, in JSON.")
    if not items:
        raise MissingInputError(public="images is empty: give one object for each picture.")
    if len(items) > max_pictures:
        raise RequestError(public=f"There are {len(items)} images; at most {max_pictures} are taken at once.")
    return Batch(tuple(_question_of(item, top, max_image_bytes) for item in items))


def _question(given: Iterable[Given], top: int | None = None) -> Question:
    sources = [item for item in given if isinstance(item, SOURCES)]
    if not sources:
        unread = parameters.unknown([(item.name, "") for item in given if isinstance(item, Unread)])
        raise MissingInputError(public=f"{MissingInputError.text} {parameters.hint(unread)}".rstrip())
    if len(sources) > 1:
        raise AmbiguousInputError(f"{len(sources)} sources: {', '.join(source.kind for source in sources)}")
    return Question(sources[0], _only_top(given) or top, _only_explain(given))


def _in_form(question: Question, explain: Explain, request: Request) -> Question:
    png = prefers_png(request.headers.get("accept", ""))
    return Question(question.source, question.top, Explain(explain.label, png=png))


def _check_unexplained(explain: Explain | None) -> None:
    if explain is not None:
        raise RequestError(public="explain is for one picture at a time: send it without images.")


def _question_of(item: object, top: int | None, max_image_bytes: int) -> Question | ClassifierError:
    try:
        if not isinstance(item, dict):
            raise RequestError(public=f"Each of images must be an object, not {json_type(item)}.")
        question = _question(list(_from_fields(item.items(), max_image_bytes)), top)
        _check_unexplained(question.explain)
        return question
    except ClassifierError as error:
        return error


def _only_top(given: Iterable[Given]) -> int | None:
    tops = [item.number for item in given if isinstance(item, Top)]
    if len(tops) > 1:
        raise RequestError(public="top was given more than once.")
    return tops[0] if tops else None


def _only_explain(given: Iterable[Given]) -> Explain | None:
    found = [item for item in given if isinstance(item, Explain)]
    if len(found) > 1:
        raise RequestError(public="explain was given more than once.")
    return found[0] if found else None


def _from_body(request: Request, max_image_bytes: int, budget: Callable[[], Budget]) -> Iterable[Given]:
    if request.document is not None:
        return _from_fields(request.document.items(), max_image_bytes)
    if not request.body or request.method in ("GET", "HEAD"):
        return ()
    content_type = request.headers.get("content-type", "")
    name = content_type.partition(";")[0].strip().lower()
    start = request.body[:100].removeprefix(b"\xef\xbb\xbf").lstrip()
    if name.startswith("multipart/form-data"):
        return _from_form(request.body, content_type, max_image_bytes)
    if name == "application/json" or name.endswith("+json") or (name in LOOSE_TYPES and start.startswith(b"{")):
        return _from_fields(read_json(request.body, budget()).items(), max_image_bytes)
    if name == "application/x-www-form-urlencoded" and (text := _as_text(request.body)) is not None:
        most = parameters.MAX_CHARS + 4 * max_image_bytes  # a picture in base64, much of it percent-encoded
        return _from_fields(parameters.encoded(text.strip(), most), max_image_bytes)
    if start[:5].lower() == b"data:" and (text := _as_text(request.body)) is not None:
        return (_upload(decode_base64(text, "The body"), max_image_bytes),)
    return (_upload(request.body, max_image_bytes),)


def _from_form(body: bytes, content_type: str, max_image_bytes: int) -> Iterable[Given]:
    picture, others = picture_of(read_form(body, content_type, max_image_bytes))
    if picture is not None:
        yield _upload(picture.data, max_image_bytes)
    for part in others:
        data = picture_in(part) if part.name in PICTURE_FIELDS and not part.is_file else part.data
        yield from _from_fields([(part.name, data)], max_image_bytes)


def _from_fields(fields: Iterable[tuple[str, Any]], max_image_bytes: int) -> Iterable[Given]:
    for name, value in fields:
        if value is None or value in ("", b""):
            continue
        if name in TEXT_FIELDS:
            text = _text(name, value)
            yield Link(text) if name == "imagelink" else Key(text)
        elif name == "image" or (name == "file" and isinstance(value, bytes)):
            yield _upload(value if isinstance(value, bytes) else decode_base64(_text(name, value)), max_image_bytes)
        elif name == "top":
            yield Top(_top(value))
        elif name == "images":
            yield Several(value)
        elif name == "explain":
            yield from _explain(value)
        else:
            yield Unread(str(name))


def _upload(data: bytes, max_image_bytes: int) -> Upload:
    if len(data) > max_image_bytes:
        raise ImageTooLargeError(public=f"The picture has {len(data)} bytes; at most {max_image_bytes} are accepted.")
    return Upload(data)


def _text(name: str, value: object) -> str:
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    if not isinstance(value, str):
        raise RequestError(public=f"{name} must be a string, not {json_type(value)}.")
    return value


def _top(value: object) -> int:
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= 6:
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= MAX_TOP:
        raise RequestError(public=f"top must be a whole number from 1 to {MAX_TOP}.")
    return value


def _explain(value: object) -> Iterable[Explain]:
    """What `explain` asks for: true for the best label, a label, or nothing."""
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    if not isinstance(value, str | bool):
        raise RequestError(public=f"explain must be true or a label, not {json_type(value)}.")
    said = str(value).lower()
    return () if said == "false" else (Explain(None if said == "true" else str(value)),)


def _as_text(body: bytes) -> str | None:
    """The body as text, None if it is none: `curl --data-binary @picture.jpg` announces a form, too."""
    try:
        return None if b"\0" in body else body.decode()
    except UnicodeDecodeError:
        return None
