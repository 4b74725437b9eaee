"""A stored picture's classification: tagged, and not made again for a caller who has it."""

from __future__ import annotations

from copy import replace
from typing import TYPE_CHECKING

from classifier.web.conditional import caching_headers, entity_tag, is_known
from classifier.web.responses import Response
from classifier.web.sources import Key

if TYPE_CHECKING:
    from classifier.service import ImageStore, Models
    from classifier.web.events import Request
    from classifier.web.sources import Question


def stored_picture(request: Request, question: Question, store: ImageStore, cache_control: str) -> StoredPicture | None:
    """What GET asks of the image bucket; None for any other question: only a stored picture stays what it was."""
    if request.method not in ("GET", "HEAD") or request.direct or not isinstance(question.source, Key):
        return None
    return StoredPicture(request, question.source.key, store, cache_control)


class StoredPicture:
    """One picture on its way to an answer; its own ETag is known once it was read."""

    def __init__(self, request: Request, key: str, store: ImageStore, cache_control: str) -> None:
        self._request, self._key, self._store, self._cache_control = request, key, store, cache_control
        self._object_tag = ""

    def known_answer(self, models: Models, deadline: float) -> Response | None:
        """304 when the caller has the answer of the model that would give it now: nothing is read or decoded for it.

        For a loaded model only: nobody starts one to learn that nothing has changed.
        """
        if "if-none-match" not in self._request.headers:
            return None
        models.look_ahead()
        object_tag = self._store.tag(self._key, deadline)
        tag = entity_tag(self._request, models.acquire(deadline).version, object_tag)
        return Response(304, caching_headers(tag, self._cache_control)) if is_known(self._request, tag) else None

    def read(self, deadline: float) -> bytes:
        """The picture's bytes; errors as ImageStore has them."""
        data, self._object_tag = self._store.read_tagged(self._key, deadline)
        return data

    def tagged(self, response: Response, version: str) -> Response:
        """The answer of the model of this version, with its ETag."""
        tag = entity_tag(self._request, version, self._object_tag)
        return replace(response, headers={**response.headers, **caching_headers(tag, self._cache_control)})
