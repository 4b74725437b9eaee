"""An application asked in TensorFlow Serving's protocol, with an engine whose rows depend on every number."""

from __future__ import annotations

import base64
import json
import time
from array import array
from collections.abc import Buffer
from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from classifier.app import App
from classifier.arrays import floats
from classifier.bundles.serving import ModelShape, Serving, parse_serving
from classifier.engines.opening import LoadedModel
from classifier.pictures.headers.picture import ImageLimits
from classifier.s3.storage import S3
from classifier.service import Classifier, ImageStore
from classifier.settings import Settings
from model_loader import ModelLoader
from tests.support.application import Context, Models, http, picture

VERSION = 1773119783
FINGERPRINT = "0123456789abcdef"
SHAPE = (2, 3, 3)


@dataclass
class SumEngine:
    """Answers with a row that depends on every number: thousandths, means of the channels, and their maximum."""

    name: str = "tiny"
    asked: list[NDArray[np.float32]] = field(default_factory=list)
    seconds: float = 0.0

    def predict(self, picture: Buffer) -> array[float]:
        found = np.asarray(picture)
        assert found.shape == (1, *SHAPE)
        assert found.dtype == np.float32
        assert found.flags.c_contiguous
        self.asked.append(found)
        time.sleep(self.seconds)
        return floats(np.append(found.mean(axis=(0, 1, 2)), found.max()).astype(np.float32))


def serving(**fields: Any) -> Serving:
    document = {"labels": ["red", "green", "blue", "most"], "output": "sigmoid", **fields}
    return parse_serving(json.dumps(document).encode(), None, ModelShape(*SHAPE, len(document["labels"]), "sigmoid"))


class Served:
    """An application with one tiny model, asked by events."""

    def __init__(self, model: Serving | None = None, **environ: str) -> None:
        settings = Settings.from_env({"MODEL_BUCKET": "b", "MODEL_NAME": "things", **environ})
        self.engine = SumEngine()
        self.models = ServedModels(
            model=LoadedModel(FINGERPRINT, VERSION + 0.9, self.engine, model or serving(), frozenset(), {"pull": 1.0})
        )
        store = ImageStore(cast("S3", None), "", "images/", settings.max_image_bytes)
        limits = ImageLimits.from_settings(settings)
        classifier = Classifier(self.models, "things", lambda _link, _deadline: b"", store, limits)
        self.app = App(settings, cast("ModelLoader", self.models), classifier, time.monotonic())

    def ask(self, method: str, path: str, body: object = None, context: Context | None = None) -> Any:
        """The whole reply; a body of bytes comes as gzip."""
        if isinstance(body, bytes):
            headers = {"content-type": "application/json", "content-encoding": "gzip"}
            text = base64.b64encode(body).decode()
            event = http(method, path, headers=headers, body=text, isBase64Encoded=True)
            return self.app.handle(event, context or Context())
        text = body if isinstance(body, str) else "" if body is None else json.dumps(body)
        return self.app.handle(http(method, path, body=text, isBase64Encoded=False), context or Context())

    def answer(self, method: str, path: str, body: object = None) -> tuple[int, Any]:
        """Status and parsed body."""
        reply = self.ask(method, path, body)
        return reply["statusCode"], json.loads(reply["body"])

    def predict(self, body: object, path: str = "/v1/models/things:predict") -> tuple[int, Any]:
        """Status and parsed body of a predict request."""
        return self.answer("POST", path, body)


@dataclass
class ServedModels(Models):
    model: LoadedModel | None = None

    def acquire(self, deadline: float) -> LoadedModel:
        self.deadlines.append(deadline - time.monotonic())
        if self.failure:
            raise self.failure
        assert self.model
        self.current = self.model
        return self.model


X = np.linspace(-1, 1, 36).reshape(2, *SHAPE)
WANTED = [
    np.append(row.astype(np.float32).mean(axis=(0, 1)), row.astype(np.float32).max()).astype(np.float32) for row in X
]
B64 = {"b64": base64.b64encode(picture()).decode()}
FLAT = [[0.5] * 3] * 3


def as_float32(rows: list[list[float]]) -> list[list[float]]:
    return np.asarray(rows, np.float32).tolist()


PREDICT, CLASSIFY = "/v1/models/things:predict", "/v1/models/things:classify"
