"""Where a request's pictures come from: one link, key or upload, or several; `questions` reads them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from classifier.records import Record

if TYPE_CHECKING:
    from classifier.errors import ClassifierError


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
