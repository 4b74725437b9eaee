"""An application with a tiny engine and no TensorFlow, its events, and what it logs."""

from __future__ import annotations

import base64
import io
import json
import time
from array import array
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pytest
from PIL import Image

from classifier.app import App
from classifier.bundles.serving import ModelShape, parse_serving
from classifier.engines.opening import LoadedModel
from classifier.errors import ModelError, UrlHostError
from classifier.pictures.headers.picture import ImageLimits
from classifier.service import Classifier, ImageStore
from classifier.settings import Settings
from tests.support.events import recorded
from tests.support.scripted_s3 import ScriptedS3, error

if TYPE_CHECKING:
    from collections.abc import Buffer, Callable, Iterator

    from model_loader import ModelLoader
    from tests.support.origin import Behaviour


@dataclass
class RednessEngine:
    """Answers how red the picture is, and how blue."""

    name: str = "tiny"

    def predict(self, picture: Buffer) -> array[float]:
        found = np.asarray(picture)
        assert found.shape == (1, 8, 8, 3)
        assert found.dtype == np.float32
        red, _, blue = found.mean(axis=(0, 1, 2)).tolist()
        return array("f", [red / max(red + blue, 1), blue / max(red + blue, 1)])


SERVING = parse_serving(b'{"labels": ["red", "blue"]}', None, ModelShape(8, 8, 3, 2, "softmax"))
MODEL = LoadedModel(
    "0123456789abcdef", 1773119783.0, RednessEngine(), SERVING, frozenset(), {"pull": 1.0, "build": 2.0}
)


@dataclass
class Models:
    """A loader whose model is there on the second look; `deadlines` is what it was asked with."""

    current: LoadedModel | None = None
    failure: Exception | None = None
    deadlines: list[float] = field(default_factory=list)
    refusal: ModelError | None = None
    served: LoadedModel = MODEL
    canary: None = None

    init_s: float = 0.0
    """How long loading goes on in INIT."""

    def look_ahead(self) -> None:
        """Nothing is newer."""

    def prefetch(self) -> None:
        """Loading has begun."""

    def wait_prefetched(self, _until: float) -> None:
        """Loading has ended, with the model unless that fails."""
        time.sleep(self.init_s)
        self.current = None if self.failure else self.served

    def acquire(self, deadline: float) -> LoadedModel:
        """The model, or what makes it fail."""
        self.deadlines.append(deadline - time.monotonic())
        if self.failure:
            raise self.failure
        self.current = self.served
        return self.served


@dataclass
class Context:
    """Lambda's context."""

    aws_request_id: str = "r-1"
    remaining_ms: int = 60_000

    def get_remaining_time_in_millis(self) -> int:
        """Time left."""
        return self.remaining_ms


def refuse_link(_link: str, _deadline: float) -> bytes:
    raise UrlHostError("10.0.0.1 is private")


def picture(image_format: str = "PNG", color: tuple[int, int, int] = (255, 0, 0)) -> bytes:
    """A small red picture."""
    file = io.BytesIO()
    Image.new("RGB", (20, 10), color).save(file, image_format)
    return file.getvalue()


@dataclass
class Running:
    """An application, its models, and its S3."""

    app: App
    models: Models

    def ask(self, event: object, context: Context | None = None) -> Any:
        """The reply to an event."""
        return self.app.handle(event, context or Context())

    def body(self, event: object) -> dict[str, Any]:
        """The JSON body of the reply."""
        document: dict[str, Any] = json.loads(self.ask(event)["body"])
        return document


@pytest.fixture
def start() -> Iterator[Callable[..., Running]]:
    """Start an application; its S3 stops with the test."""
    servers: list[ScriptedS3] = []

    def make(
        *,
        fetch: Callable[[str, float], bytes] = refuse_link,
        s3: Behaviour | None = None,
        started: float | None = None,
        **environ: str,
    ) -> Running:
        server = ScriptedS3(s3 or error("404 Not Found", "NoSuchKey")).__enter__()
        servers.append(server)
        settings = Settings.from_env(
            {"MODEL_BUCKET": "b", "MODEL_NAME": "things", "IMAGE_BUCKET": "pictures", **environ}
        )
        models = Models()
        store = ImageStore(server.client, "pictures", "images/", settings.max_image_bytes)
        classifier = Classifier(models, "things", fetch, store, ImageLimits.from_settings(settings))
        app = App(settings, cast("ModelLoader", models), classifier, time.monotonic() if started is None else started)
        return Running(app, models)

    yield make
    for server in servers:
        server.__exit__()


def http(method: str = "GET", path: str = "/classify", query: str = "", **changes: Any) -> dict[str, Any]:
    """An HTTP API event."""
    event = recorded("http_api", rawPath=path, rawQueryString=query, routeKey="$default", **changes)
    event["requestContext"]["http"]["method"] = method
    return event


def upload(data: bytes, content_type: str = "image/png", query: str = "", **headers: str) -> dict[str, Any]:
    """An upload as the gateway passes it on."""
    return http(
        "POST",
        query=query,
        headers={"content-type": content_type, **headers},
        body=base64.b64encode(data).decode(),
        isBase64Encoded=True,
    )


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    """What was logged."""
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]
