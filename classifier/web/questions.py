"""What a request asks, read from the query and every kind of body: one question or several, and of which model."""

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
from classifier.web.sources import SOURCES, Batch, Explain, Key, Link, Question, Source, Upload
from classifier.web.uploads import PICTURE_FIELDS, decode_base64, picture_in, read_form

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from classifier.web.events import Request

LOOSE_TYPES = ("", "text/plain", "application/x-www-form-urlencoded")
"""What clients announce without being asked: `fetch` plain text, `curl -d` a form, others nothing."""
MAX_TOP = 10_000
_BODY = "the body"
_TOLD_SOURCES = 5


class Asked(Record):
    """A request's question, and the name of the model that is asked; empty for the service's own."""

    question: Question | Batch
    model: str = ""


class Top(Record):
    """The wanted number of predictions."""

    number: int


class Several(Record):
    """The value of `images`, not read yet."""

    items: Any


class Named(Record):
    """The name of the model that is asked."""

    name: str


class Empty(Record):
    """A field that would have been a picture and holds nothing."""


type Field = tuple[str, Any]
"""A field's name and value; a picture's bytes are an Upload by then."""
type Given = tuple[str, Source | Top | Several | Explain | Named | Empty]
"""What was given, with the name of its field."""


def read_question(
    request: Request,
    max_image_bytes: int,
    max_pictures: int,
    budget: Callable[[], Budget] = Budget,
    unread: list[str] | None = None,
) -> Asked:
    """The request's one source and its `top`, or the several of `images`; RequestError and its kin say what is wrong.

    What is wrong with one of several pictures is in its place, unless there are more than `max_pictures`. `budget` is
    what reading JSON may cost. Names of fields that nobody reads are added to `unread`, also when an error is raised.
    """
    unread = [] if unread is None else unread
    unread += [name for name, _ in request.query if name not in parameters.KNOWN]
    fields = _body_fields(request, max_image_bytes, budget)
    parameters.check_count(len(fields))
    unread += _unread(fields)
    given = [*_given(request.query, max_image_bytes), *_given(fields, max_image_bytes)]
    model = only_model(item.name for _, item in given if isinstance(item, Named))
    lists = [item for _, item in given if isinstance(item, Several)]
    if not lists:
        question = _question(given)
        explained = question if question.explain is None else _in_form(question, question.explain, request)
        return Asked(explained, model)
    if len(lists) > 1 or _sources(given):
        raise AmbiguousInputError("images and another source", public="Give either images or one picture, not both.")
    items, top = lists[0].items, _only_top(given)
    _check_unexplained(_only_explain(given))
    if not isinstance(items, list):
        raise RequestError(public="images must be a list of objects, in JSON.")
    if not items:
        raise MissingInputError(public="images is empty: give one object for each picture.")
    if len(items) > max_pictures:
        raise RequestError(public=f"There are {len(items)} images; at most {max_pictures} are taken at once.")
    return Asked(Batch(tuple(_question_of(item, top, max_image_bytes, unread) for item in items)), model)


def only_model(names: Iterable[str]) -> str:
    """The one name of all that `model` was given as, empty if it wasn't; RequestError if they differ."""
    found = set(names) - {""}
    if len(found) > 1:
        raise RequestError(public="model was given more than once, with different values.")
    return found.pop() if found else ""


def _unread(fields: Iterable[Field]) -> list[str]:
    return [str(name) for name, value in fields if name not in parameters.KNOWN and not isinstance(value, Upload)]


def _question(given: list[Given], top: int | None = None) -> Question:
    sources = _sources(given)
    if not sources:
        empty = next((name for name, item in given if isinstance(item, Empty)), "")
        what = "body" if empty == _BODY else f"field {empty[:40]}"
        raise MissingInputError(public=f"The {what} is empty. {MissingInputError.text}" if empty else None)
    if len(sources) > 1:
        names = ", ".join(name[:40] or "a file" for name, _ in sources[:_TOLD_SOURCES])
        several = (
            " Several at once go into images, as JSON." if all(isinstance(it, Upload) for _, it in sources) else ""
        )
        text = f"{AmbiguousInputError.text} This request has {len(sources)}: {names}.{several}"
        kinds = ", ".join(item.kind for _, item in sources)
        raise AmbiguousInputError(f"{len(sources)} sources: {kinds}", public=text)
    return Question(sources[0][1], _only_top(given) or top, _only_explain(given))


def _sources(given: Iterable[Given]) -> list[tuple[str, Source]]:
    return [(name, item) for name, item in given if isinstance(item, SOURCES)]


def _in_form(question: Question, explain: Explain, request: Request) -> Question:
    png = prefers_png(request.headers.get("accept", ""))
    return Question(question.source, question.top, Explain(explain.label, png=png))


def _check_unexplained(explain: Explain | None) -> None:
    if explain is not None:
        raise RequestError(public="explain is for one picture at a time: send it without images.")


def _question_of(item: object, top: int | None, max_image_bytes: int, unread: list[str]) -> Question | ClassifierError:
    names: list[str] = []
    try:
        if not isinstance(item, dict):
            raise RequestError(public=f"Each of images must be an object, not {json_type(item)}.")
        parameters.check_count(len(item))
        names = _unread(item.items())
        given = list(_given(item.items(), max_image_bytes))
        if any(isinstance(found, Several) for _, found in given):
            raise RequestError(public="images can't be inside images: give one list of all pictures.")
        if any(isinstance(found, Named) for _, found in given):
            raise RequestError(public="model is one for all pictures: give it beside images, not in it.")
        question = _question(given, top)
        _check_unexplained(question.explain)
        return question
    except ClassifierError as error:
        error.public = f"{error.public} {parameters.hint(parameters.unknown(names))}".rstrip()
        return error
    finally:
        unread += names


def _only_top(given: Iterable[Given]) -> int | None:
    tops = [item.number for _, item in given if isinstance(item, Top)]
    if len(tops) > 1:
        raise RequestError(public="top was given more than once.")
    return tops[0] if tops else None


def _only_explain(given: Iterable[Given]) -> Explain | None:
    found = [item for _, item in given if isinstance(item, Explain)]
    if len(found) > 1:
        raise RequestError(public="explain was given more than once.")
    return found[0] if found else None


def _body_fields(request: Request, max_image_bytes: int, budget: Callable[[], Budget]) -> list[Field]:
    if request.document is not None:
        return list(request.document.items())
    if request.method in ("GET", "HEAD"):
        return []
    content_type = request.headers.get("content-type", "")
    name = content_type.partition(";")[0].strip().lower()
    start = request.body[:100].removeprefix(b"\xef\xbb\xbf").lstrip()
    if not request.body:
        return [(_BODY, Upload(b""))]
    if name.startswith("multipart/form-data"):
        return list(_form_fields(request.body, content_type, max_image_bytes))
    if name == "application/json" or name.endswith("+json") or (name in LOOSE_TYPES and start.startswith(b"{")):
        return list(read_json(request.body, budget()).items())
    if name == "application/x-www-form-urlencoded" and (text := _as_text(request.body)) is not None:
        most = parameters.MAX_CHARS + 4 * max_image_bytes  # a picture in base64, much of it percent-encoded
        return list(parameters.encoded(text.strip(), most))
    if start[:5].lower() == b"data:" and (text := _as_text(request.body)) is not None:
        return [(_BODY, Upload(decode_base64(text, "The body")))]
    return [(_BODY, Upload(request.body))]


def _form_fields(body: bytes, content_type: str, max_image_bytes: int) -> Iterator[Field]:
    for part in read_form(body, content_type, max_image_bytes):
        if part.is_file:
            yield part.name, Upload(part.data)
        elif part.name in PICTURE_FIELDS:
            yield part.name, Upload(picture_in(part))
        else:
            yield part.name, part.data


def _given(fields: Iterable[Field], max_image_bytes: int) -> Iterator[Given]:
    for name, value in fields:
        if isinstance(value, Upload):
            yield name, _checked(value, max_image_bytes) if value.data else Empty()
        elif value is None or value in ("", b""):
            if name in ("imagelink", "s3key", "image"):
                yield name, Empty()
        elif (item := _read(name, value, max_image_bytes)) is not None:
            yield name, item


def _read(name: str, value: object, max_image_bytes: int) -> Any:  # noqa: ANN401 - one of Given
    match name:
        case "imagelink":
            return Link(_text(name, value))
        case "s3key":
            return Key(_text(name, value))
        case "image":
            return _checked(Upload(decode_base64(_text(name, value))), max_image_bytes)
        case "top":
            return Top(_top(value))
        case "images":
            return Several(value)
        case "model":
            return Named(_text(name, value))
        case "explain":
            return _explain(value)
    return None


def _checked(picture: Upload, max_image_bytes: int) -> Upload:
    if (size := len(picture.data)) > max_image_bytes:
        raise ImageTooLargeError(public=f"The picture has {size} bytes; at most {max_image_bytes} are accepted.")
    return picture


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


def _explain(value: object) -> Explain | None:
    """What `explain` asks for: true for the best label, a label, or nothing."""
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    if not isinstance(value, str | bool):
        raise RequestError(public=f"explain must be true or a label, not {json_type(value)}.")
    said = str(value).lower()
    return None if said == "false" else Explain(None if said == "true" else str(value))


def _as_text(body: bytes) -> str | None:
    """The body as text, None if it is none: `curl --data-binary @picture.jpg` announces a form, too."""
    try:
        return None if b"\0" in body else body.decode()
    except UnicodeDecodeError:
        return None
