"""Several models under one prefix, by name; the least recently used make room."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable
from copy import replace
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urlencode

import pytest
import requests

from classifier.app import App
from classifier.bundles.bundle import Part, Snapshot, Unsettled
from classifier.bundles.canary import Plan
from classifier.bundles.reader import BundleReader, View
from classifier.errors import NotFoundError
from classifier.named_models import MAX_MODELS, NamedModels, Place
from classifier.pictures.headers.picture import ImageLimits
from classifier.service import Classifier, ImageStore
from classifier.settings import Settings
from model_loader import ModelLoader
from tests.support.application import MODEL, Context, Models, http, picture, upload
from tests.support.scripted_s3 import ScriptedS3, error

if TYPE_CHECKING:
    from collections.abc import Iterator

MB = 1_000_000


@dataclass
class Shelf:
    """A prefix with folders, and a function's memory: what is there, what was opened, what is left."""

    sizes: dict[str, int]
    memory: int | None = None
    looked: list[str] = field(default_factory=list)
    opened: list[str] = field(default_factory=list)
    models: dict[str, Models] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.named = NamedModels(self.place_of, self.left)

    def left(self) -> int | None:
        if self.memory is None:
            return None
        return self.memory - sum(self.sizes[name] * 4 for name in self.named.loaded)

    def place_of(self, name: str) -> Place:
        return Place(cast("BundleReader", _Reader(self, name)), lambda: self.open(name))

    def open(self, name: str) -> ModelLoader:
        self.opened.append(name)
        self.models[name] = Models()
        return cast("ModelLoader", self.models[name])

    def get(self, name: str) -> Any:
        return self.named.get(name, time.monotonic() + 1)


@dataclass
class _Reader:
    shelf: Shelf
    name: str

    def look(self, _deadline: float) -> View:
        self.shelf.looked.append(self.name)
        size = self.shelf.sizes.get(self.name)
        if size is None:
            return View(None, (), 0.0)
        if size < 0:
            return View(Unsettled(1.0), (), 0.0)
        return View(Snapshot((Part("weights", "k", "e", size, 0.0),), 0.0), (), 0.0)


def test_a_model_is_looked_for_once_and_kept() -> None:
    shelf = Shelf({"cats": MB, "fresh": -1})
    assert shelf.get("cats") is shelf.get("cats")
    assert shelf.get("fresh") is shelf.get("fresh")
    assert (shelf.looked, shelf.opened) == (["cats", "fresh"], ["cats", "fresh"])


@pytest.mark.parametrize("name", ["dogs", "Cats", "c" * 64])
def test_a_name_without_a_bundle_is_not_found(name: str) -> None:
    shelf = Shelf({"cats": MB})
    with pytest.raises(NotFoundError):
        shelf.get(name)
    assert (shelf.looked, shelf.named.loaded) == ([name], ())


@pytest.mark.parametrize(
    "name", ["", ".", "..", "a/b", "../prod", "cats/", "cats\n", "c" * 65, "käse", "a b", "a%2fb", "compiled", "probes"]
)
def test_a_name_that_is_a_path_or_a_folder_of_ours_is_not_even_looked_for(name: str) -> None:
    shelf = Shelf({name: MB})
    with pytest.raises(NotFoundError):
        shelf.get(name)
    assert shelf.looked == []


def test_the_least_recently_used_make_room_when_memory_is_short() -> None:
    shelf = Shelf({"a": 50 * MB, "b": 50 * MB, "c": 50 * MB}, memory=450 * MB)
    for name in ("a", "b", "a", "c"):
        shelf.get(name)
    assert shelf.named.loaded == ("a", "c")
    shelf.get("b")
    assert shelf.named.loaded == ("c", "b")
    assert shelf.opened == ["a", "b", "c", "b"]


def test_a_large_model_may_need_the_room_of_all_others_and_is_tried_even_then() -> None:
    shelf = Shelf({"a": 10 * MB, "b": 10 * MB, "huge": 500 * MB}, memory=400 * MB)
    for name in ("a", "b", "huge"):
        shelf.get(name)
    assert shelf.named.loaded == ("huge",)


def test_without_a_known_limit_models_are_kept_up_to_a_number() -> None:
    shelf = Shelf({f"m{index}": MB for index in range(MAX_MODELS + 1)})
    for name in shelf.sizes:
        shelf.get(name)
    assert len(shelf.named.loaded) == MAX_MODELS
    assert "m0" not in shelf.named.loaded


@pytest.fixture
def shelf() -> Shelf:
    return Shelf({"cats": MB})


@pytest.fixture
def app(shelf: Shelf) -> Iterator[App]:
    settings = Settings.from_env({"MODEL_BUCKET": "b", "MODEL_NAME": "things"})
    own = Models()
    limits = ImageLimits.from_settings(settings)
    with ScriptedS3(error("404 Not Found", "NoSuchKey")) as s3:
        store = ImageStore(s3.client, "", "images/", settings.max_image_bytes)
        classifier = Classifier(own, "things", lambda _link, _deadline: b"", store, limits)
        yield App(settings, cast("ModelLoader", own), classifier, time.monotonic(), lambda: shelf.named)


def ask(app: App, event: object) -> Any:
    return json.loads(app.handle(event, Context())["body"])


def test_a_request_names_its_model_and_the_reply_does_too(app: App, shelf: Shelf) -> None:
    assert ask(app, upload(picture()))["model"]["name"] == "things"
    assert ask(app, upload(picture(), query="model=things"))["model"]["name"] == "things"
    assert shelf.looked == []
    answer = ask(app, upload(picture(), query="model=cats"))
    assert answer["model"] == {"name": "cats", "version": MODEL.version, "engine": "tiny"}
    assert ask(app, http(path="/model", query="model=cats"))["name"] == "cats"
    assert len(shelf.models["cats"].deadlines) == 2


def test_tensorflow_servings_paths_name_models_too(app: App) -> None:
    assert ask(app, http(path="/v1/models/cats"))["model_version_status"][0]["state"] == "AVAILABLE"
    assert ask(app, http(path="/v1/models/cats/metadata"))["model_spec"]["name"] == "cats"
    assert ask(app, http(path="/v1/models/dogs")) == {"error": "Could not find any versions of model dogs"}


@pytest.mark.parametrize("query", ["model=dogs", "model=..", "model=compiled", "model=a/b"])
def test_an_unknown_model_is_a_404(query: str, app: App) -> None:
    answer = app.handle(upload(picture(), query=query), Context())
    assert (answer["statusCode"], json.loads(answer["body"])["error"]["code"]) == (404, "not_found")


BASE64 = base64.b64encode(picture()).decode()


def form(**fields: str) -> dict[str, Any]:
    """A form with a picture and fields, as the requests library sends it."""
    sent = requests.Request("POST", "http://h/", files={"file": ("a.png", picture())}, data=fields).prepare()
    assert isinstance(sent.body, bytes)
    return upload(sent.body, str(sent.headers["content-type"]))


def sent(document: object) -> dict[str, Any]:
    return upload(json.dumps(document).encode(), "application/json")


WAYS: dict[str, Callable[[str], dict[str, Any]]] = {
    "the query": lambda name: upload(picture(), query=f"model={name}"),
    "a form": lambda name: form(model=name),
    "an urlencoded form": lambda name: upload(
        urlencode({"image": BASE64, "model": name}).encode(), "application/x-www-form-urlencoded"
    ),
    "JSON": lambda name: sent({"image": BASE64, "model": name}),
    "JSON of several": lambda name: sent({"images": [{"image": BASE64}], "model": name}),
    "a direct invocation": lambda name: {"image": BASE64, "model": name},
    "a direct invocation of several": lambda name: {"images": [{"image": BASE64}], "model": name},
}


def answered(app: App, event: object) -> tuple[int, Any]:
    """Status and body, of a direct invocation as well."""
    answer = app.handle(event, Context())
    if "statusCode" in answer:
        return answer["statusCode"], json.loads(answer["body"])
    return answer.get("status", 200), answer


@pytest.mark.parametrize("way", WAYS)
def test_the_model_is_named_wherever_parameters_may_be(way: str, app: App, shelf: Shelf) -> None:
    for name, known_as in (("cats", "cats"), ("things", "things"), ("", "things")):
        status, body = answered(app, WAYS[way](name))
        assert (status, body["model"]["name"]) == (200, known_as)
    assert shelf.looked == ["cats"]
    for name in ("dogs", "..", "a/b"):
        status, body = answered(app, WAYS[way](name))
        assert (status, body["error"]["code"], body["error"]["message"]) == (404, "not_found", UNKNOWN)


UNKNOWN = "There is no model of this name."


@pytest.mark.parametrize("way", [way for way in WAYS if "direct" not in way])
def test_two_models_in_one_request_are_refused(way: str, app: App) -> None:
    event = WAYS[way]("cats")
    status, body = answered(app, event | {"rawQueryString": "model=cats&model=things"})
    assert (status, body["error"]["message"]) == (400, "model was given more than once, with different values.")
    if way != "the query":
        assert answered(app, event | {"rawQueryString": "model=things"})[0] == 400
    assert answered(app, event | {"rawQueryString": "model=cats&model="})[0] == 200


@pytest.mark.parametrize(
    ("document", "says"),
    [
        ({"image": BASE64, "model": 3}, "model must be a string, not a number."),
        ({"image": BASE64, "model": ["cats"]}, "model must be a string, not a list."),
    ],
)
def test_a_model_that_is_no_name_is_refused(document: object, says: str, app: App) -> None:
    assert (
        answered(app, document)[1]["error"]["message"] == answered(app, sent(document))[1]["error"]["message"] == says
    )


def test_a_model_for_one_of_several_pictures_is_refused_not_ignored(app: App) -> None:
    status, body = answered(app, {"images": [{"image": BASE64, "model": "cats"}, {"image": BASE64}]})
    assert status == 200
    said = "model is one for all pictures: give it beside images, not in it."
    assert body["results"][0]["error"] == {"code": "invalid_request", "message": said}
    assert body["results"][1]["predictions"]


def test_a_canary_needs_room_too(monkeypatch: pytest.MonkeyPatch) -> None:
    shelf = Shelf({"a": 50 * MB, "b": 50 * MB}, memory=500 * MB)
    shelf.get("a")
    canary = Plan("v", 10, shadow=False, snapshot=Snapshot((Part("weights", "k", "e", 300 * MB, 0.0),), 0.0))
    look = _Reader.look
    monkeypatch.setattr(_Reader, "look", lambda *asked: replace(look(*asked), canary=canary))
    shelf.get("b")
    assert shelf.named.loaded == ("b",)
