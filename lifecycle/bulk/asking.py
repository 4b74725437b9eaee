"""Who classifies a part's pictures: the function's own code in this process, or the deployed API."""

from __future__ import annotations

import json
import os
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Protocol

from classifier.bulk.rows import may_pass, row_of
from classifier.errors import ClassifierError, UnavailableError
from lifecycle.errors import PlaceError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from classifier.bulk.rows import Row
    from classifier.s3.storage import S3
    from classifier.service import ImageStore

PART_S = 900.0
PICTURE_S = 60.0
PAUSES_S = (0.5, 2.0, 5.0, 15.0, 30.0)
"""Between attempts at what may pass; about a minute in all, after which the run stops and can be resumed."""
PASSING = frozenset({429, 502, 503, 504})


class Asker(Protocol):
    """Classifies pictures by key."""

    def rows(self, keys: Sequence[str]) -> list[Row]:
        """A row for each, in order."""


def settled_rows(asker: Asker, keys: Sequence[str], pauses_s: Sequence[float] = PAUSES_S) -> list[Row]:
    """A row for each key, none of which could pass by asking again; PlaceError if that doesn't help."""
    rows = asker.rows(keys)
    for pause in pauses_s:
        again = [index for index, row in enumerate(rows) if may_pass(row)]
        if not again:
            return rows
        time.sleep(pause)
        for index, row in zip(again, asker.rows([keys[index] for index in again]), strict=True):
            rows[index] = row
    if passing := next((row for row in rows if may_pass(row)), None):
        raise PlaceError(f"{passing['key']}: {passing['error']['code']}: {passing['error']['message']}")
    return rows


class Here:
    """The function's service, with one model, in this process."""

    def __init__(self, pictures: ImageStore, models: Any, limits: Any, top: int | None) -> None:  # noqa: ANN401
        from classifier.service import Classifier

        # To the service a picture's key is a link here: keys of a listing need not be those that callers may name.
        self._classifier = Classifier(models, "", pictures.read_listed, pictures, limits)
        self._top = top

    def rows(self, keys: Sequence[str]) -> list[Row]:
        from classifier.batches import classify_batch
        from classifier.phases import Phases
        from classifier.web.sources import Batch, Link, Question

        batch = Batch(tuple(Question(Link(key), self._top) for key in keys))
        everything = len(keys) * self._classifier.store.max_bytes
        done = classify_batch(self._classifier, batch, Phases(), time.monotonic() + PART_S, max_bytes=everything)
        model = done["model"]
        return [row_of({"key": key}, result, model) for key, result in zip(keys, done["results"], strict=True)]


class Api:
    """The deployed API: pictures are read here and posted to it."""

    def __init__(
        self, pictures: ImageStore, url: str, headers: Mapping[str, str], top: int | None, concurrency: int
    ) -> None:
        import urllib3

        self._pictures = pictures
        self._url = f"{url.rstrip('/')}/classify" + (f"?top={top}" if top else "")
        self._headers = {**headers, "Content-Type": "application/octet-stream", "Accept": "application/json"}
        self._http = urllib3.PoolManager(maxsize=concurrency, retries=False, timeout=PICTURE_S)
        self._threads = ThreadPoolExecutor(concurrency, "ask")

    def rows(self, keys: Sequence[str]) -> list[Row]:
        return list(self._threads.map(self._row, keys))

    def _row(self, key: str) -> Row:
        try:
            data = self._pictures.read_listed(key, time.monotonic() + PICTURE_S)
            reply = self._asked(data)
        except ClassifierError as error:
            reply = {"error": {"code": error.code, "message": error.public}, "status": error.status}
        return row_of({"key": key}, reply, reply.get("model"))

    def _asked(self, data: bytes) -> dict[str, Any]:
        import urllib3

        try:
            answer = self._http.request("POST", self._url, body=data, headers=self._headers)
        except urllib3.exceptions.HTTPError as error:
            return _passing(f"the API does not answer: {type(error).__name__}")
        document = _document(answer.data)
        if answer.status == 200 and "predictions" in document:
            return document
        if answer.status in PASSING:
            return _passing(f"the API answers {answer.status}")
        if answer.status in (401, 403):
            raise PlaceError(f"the API answers {answer.status}; --header gives what it asks for")
        told = document.get("error")
        ours = isinstance(told, dict) and {"code", "message"} <= told.keys()
        return {"error": told if ours else _gateway(answer.status), "status": answer.status}


def _passing(text: str) -> dict[str, Any]:
    return {"error": {"code": UnavailableError.code, "message": text}, "status": UnavailableError.status}


def _gateway(status: int) -> dict[str, str]:
    """What an answer means that is not the function's own: the gateway takes 6 MB, base64 and all."""
    from classifier.errors import ImageTooLargeError

    if status == ImageTooLargeError.status:
        return {"code": ImageTooLargeError.code, "message": "The picture is too large for the API's gateway."}
    return {"code": ClassifierError.code, "message": f"The API answered {status}."}


def _document(body: bytes) -> dict[str, Any]:
    try:
        document = json.loads(body)
    except ValueError:
        return {}
    return document if isinstance(document, dict) else {}


def make_asker(job: Mapping[str, Any], tell: Callable[[dict[str, Any]], None]) -> Asker:
    """What the job describes, made ready; `tell` hears which model it is."""
    from classifier.pictures.headers.picture import ImageLimits
    from classifier.service import ImageStore
    from classifier.settings import Settings
    from lifecycle.bulk.model import OneModel, open_version
    from lifecycle.place import find_place

    settings = Settings.from_env({**os.environ, "MODEL_BUCKET": job["bucket"]})
    pictures = ImageStore(open_s3(), job["bucket"], "", settings.max_image_bytes)
    if job["endpoint"]:
        tell({"version": None, "engine": None})
        return Api(pictures, job["endpoint"], job["headers"], job["top"], job["concurrency"])
    model = open_version(find_place(job["model"]), job["version"])
    tell({"version": model.version, "engine": model.engine.name})
    return Here(pictures, OneModel(model), ImageLimits.from_settings(settings), job["top"])


def open_s3() -> S3:
    """The function's client, in the region that boto3 would take."""
    import boto3

    from classifier.s3.credentials import environment_credentials
    from classifier.s3.endpoint import Endpoint
    from classifier.s3.storage import S3

    try:
        environment_credentials()
    except OSError as error:
        raise PlaceError(str(error)) from error
    region = boto3.session.Session().region_name
    return S3(Endpoint.from_env(os.environ, region), environment_credentials)
