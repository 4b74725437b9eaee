"""A service that keeps requests, over real HTTP, with a tiny engine and the tests' S3, which may be in trouble."""

from __future__ import annotations

import base64
import json
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import pytest
import urllib3
from werkzeug.serving import make_server

from classifier.app import App
from classifier.captures.capture import PREFIX, RECORD, Captures
from classifier.pictures.headers.picture import ImageLimits
from classifier.s3.endpoint import Endpoint
from classifier.s3.sigv4 import Credentials
from classifier.s3.storage import S3
from classifier.service import Classifier, ImageStore
from classifier.settings import Settings
from classifier.wsgi import application
from tests.support.application import MODEL, Models, picture

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from classifier.engines.opening import LoadedModel
    from model_loader import ModelLoader
    from tests.conftest import Bucket


@dataclass(frozen=True, slots=True)
class Service:
    """A running one."""

    url: str
    bucket: Bucket

    def post(self, path: str, body: bytes, **headers: str) -> Any:
        """The reply."""
        sent = {"content-type": "image/png", **{name.replace("_", "-"): value for name, value in headers.items()}}
        return urllib3.request("POST", self.url + path, body=body, headers=sent, timeout=20, retries=False)

    def get(self, path: str) -> Any:
        """The reply."""
        return urllib3.request("GET", self.url + path, timeout=20, retries=False)

    def classify(self, data: bytes | None = None, query: str = "") -> dict[str, Any]:
        """A good reply's JSON."""
        answer = self.post(f"/classify{query}", data or picture())
        assert answer.status == 200, answer.data
        document: dict[str, Any] = answer.json()
        return document

    def batch(self, *pictures: bytes) -> dict[str, Any]:
        """Several pictures' reply."""
        images = [{"image": base64.b64encode(one).decode()} for one in pictures]
        answer = self.post("/classify", json.dumps({"images": images}).encode(), content_type="application/json")
        document: dict[str, Any] = answer.json()
        return document

    def feedback(self, **document: Any) -> Any:
        """The reply to feedback."""
        return self.post("/feedback", json.dumps(document).encode(), content_type="application/json")

    def keys(self) -> list[str]:
        """What lies in the bucket."""
        return [item["Key"] for item in self.bucket.boto.list_objects_v2(Bucket=self.bucket.name).get("Contents", [])]

    def kept(self, request_id: str) -> tuple[bytes, dict[str, Any], Any]:
        """A capture: the picture, its record, and all that S3 says of it."""
        got = self.bucket.boto.get_object(Bucket=self.bucket.name, Key=PREFIX + request_id)
        return got["Body"].read(), json.loads(got["Metadata"][RECORD]), got


@pytest.fixture
def serve(bucket: Bucket) -> Iterator[Callable[..., Service]]:
    """Start a service; `draws` are what chance gives, `endpoint` where its S3 is."""
    running: list[Any] = []

    def start(
        capture: str = "1",
        *,
        draws: tuple[float, ...] = (),
        endpoint: str = "",
        served: LoadedModel = MODEL,
        fetch: Callable[[str, float], bytes] = lambda _link, _deadline: picture(),
    ) -> Service:
        environ = {"MODEL_BUCKET": "b", "MODEL_NAME": "things", "IMAGE_BUCKET": bucket.name, "CAPTURE": capture}
        settings = Settings.from_env(environ)
        s3 = S3(Endpoint("us-east-1", endpoint or bucket.endpoint_url), lambda: Credentials("test", "test"))
        captures = None
        if settings.capture is not None:
            drawn = iter(draws)
            share, unsure = settings.capture
            captures = Captures(s3, bucket.name, share=share, unsure=unsure, draw=lambda: next(drawn, 0.0))
        models = cast("ModelLoader", Models(served=served))
        store = ImageStore(s3, bucket.name, "images/", settings.max_image_bytes)
        classifier = Classifier(models, "things", fetch, store, ImageLimits.from_settings(settings))
        app = App(settings, models, classifier, time.monotonic(), captures=captures)
        server = make_server("127.0.0.1", 0, application(app, 10_000_000), threaded=True)
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        running.append(server)
        bucket.server.requests.clear()
        return Service(f"http://127.0.0.1:{server.port}", bucket)

    yield start
    for server in running:
        server.shutdown()
        server.server_close()
