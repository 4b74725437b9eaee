"""One caller sees one of two models, and the reply names it: through the application, over every way in."""

from __future__ import annotations

import json
import time
from copy import replace
from dataclasses import dataclass, field
from typing import Any, cast

import pytest

from classifier.app import App
from classifier.bundles.canary import Plan
from classifier.bundles.serving import ModelShape, parse_serving
from classifier.engines.canary import WarmCanary
from classifier.engines.opening import LoadedModel
from classifier.errors import ModelTooLargeError
from classifier.pictures.headers.picture import ImageLimits
from classifier.s3.storage import S3, ObjectMissingError
from classifier.service import Classifier, ImageStore
from classifier.settings import Settings
from tests.support.application import MODEL, Context, Models, RednessEngine, http, lines, picture, upload

LABELS = parse_serving(b'{"labels": ["rot", "blau"]}', None, ModelShape(8, 8, 3, 2, "softmax"))
CANARY = replace(
    MODEL, version="fedcba9876543210", updated=MODEL.updated + 60, engine=RednessEngine("tiny"), serving=LABELS
)
LABEL_OF = {MODEL.version: "red", CANARY.version: "rot"}


class BrokenEngine(RednessEngine):
    """An engine that fails."""

    def predict(self, picture: object) -> Any:  # noqa: ARG002
        raise RuntimeError("broken engine")


class NoObjects:
    """An S3 that holds nothing."""

    def get(self, *_: object, **__: object) -> bytes:
        raise ObjectMissingError("nothing")


@dataclass
class Two(Models):
    """A loader with a canary."""

    canary: Any = None
    asked: list[float] = field(default_factory=list)

    def acquire_canary(self, deadline: float) -> LoadedModel | None:
        self.asked.append(deadline)
        found: LoadedModel | None = None if self.canary is None else self.canary.model
        return found


def plan(percent: int = 50, *, shadow: bool = False) -> Plan:
    return Plan(CANARY.version, percent, shadow=shadow, snapshot=None)


@dataclass
class Served:
    """An application whose loader has a canary."""

    header: str = "x-user"
    links: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        settings = Settings.from_env({"MODEL_BUCKET": "b", "MODEL_NAME": "things", "CALLER_HEADER": self.header})
        self.models = Two(current=MODEL, canary=WarmCanary(plan(), CANARY))
        store = ImageStore(cast("S3", NoObjects()), "", "images/", settings.max_image_bytes)
        classifier = Classifier(self.models, "things", self.fetch, store, ImageLimits.from_settings(settings))
        self.app = App(settings, cast("Any", self.models), classifier, time.monotonic())

    def fetch(self, link: str, _deadline: float) -> bytes:
        self.links.append(link)
        return picture()

    def ask(self, event: Any, request_id: str = "r") -> Any:
        return json.loads(self.app.handle(event, Context(request_id))["body"])

    def version(self, caller: str) -> str:
        answer = self.ask(upload(picture(), **{"x-user": caller}))
        version: str = answer["model"]["version"]
        assert answer["predictions"][0]["label"] == LABEL_OF[version], "one model's labels, another's version"
        return version


@pytest.fixture
def served() -> Served:
    return Served()


CALLERS = [f"user {number}" for number in range(60)]


def test_a_caller_sees_one_model_and_raising_only_moves_callers_to_the_canary(served: Served) -> None:
    before: set[str] = set()
    for percent in (0, 10, 50, 100):
        served.models.canary = WarmCanary(plan(percent), CANARY)
        versions = {caller: {served.version(caller) for _ in range(3)} for caller in CALLERS}
        assert {len(found) for found in versions.values()} == {1}
        has = {caller for caller, found in versions.items() if found == {CANARY.version}}
        assert before <= has
        assert abs(len(has) - len(CALLERS) * percent / 100) < 15
        before = has


def two_callers() -> tuple[str, str]:
    """One who belongs to the stable model, and one who belongs to the canary."""
    return next(one for one in CALLERS if not plan().has(one)), next(one for one in CALLERS if plan().has(one))


def test_every_way_in_has_the_callers_model_and_the_log_its_role(
    served: Served, capsys: pytest.CaptureFixture[str]
) -> None:
    several = json.dumps({"images": [{"imagelink": "http://a.example/"}] * 2})
    rows = json.dumps({"instances": [[[[0.0] * 3] * 8] * 8][0:1]})
    for caller, model, role in zip(two_callers(), (MODEL, CANARY), ("stable", "canary"), strict=True):
        told = {"content-type": "application/json", "x-user": caller}
        capsys.readouterr()
        assert served.ask(upload(picture(), **{"x-user": caller}))["model"]["version"] == model.version
        batch = served.ask(http("POST", headers=told, body=several))
        assert batch["model"]["version"] == model.version
        assert {one["predictions"][0]["label"] for one in batch["results"]} == {LABEL_OF[model.version]}
        assert served.ask(http(path="/model", headers=told))["version"] == model.version
        predicted = served.app.handle(http("POST", "/v1/models/things:predict", headers=told, body=rows), Context())
        assert (predicted["statusCode"], predicted["headers"]["x-model-version"]) == (200, model.version)
        logged = lines(capsys)
        assert [line["role"] for line in logged] == [role] * 4
        assert logged[0]["label"] == LABEL_OF[model.version]
        assert not any("canary_absent" in line for line in logged)


def test_without_the_header_the_address_is_the_caller_and_without_both_there_is_no_canary(served: Served) -> None:
    address = next(f"198.51.100.{number}" for number in range(256) if plan().has(f"198.51.100.{number}"))
    event = upload(picture())
    event["requestContext"]["http"]["sourceIp"] = address
    assert served.ask(event)["model"]["version"] == CANARY.version
    served.models.canary = WarmCanary(plan(100), CANARY)
    direct = served.app.handle({"imagelink": "http://a.example/"}, Context())
    assert direct["model"]["version"] == MODEL.version


def test_a_load_balancers_caller_is_whom_it_saw_itself() -> None:
    from classifier.web import events
    from tests.support.events import recorded

    event = recorded("load_balancer")
    event["headers"]["x-forwarded-for"] = "10.9.9.9, 203.0.113.7"
    assert events.read(events.kind_of(event), event).address == "203.0.113.7"
    rest = recorded("rest_api")
    assert events.read(events.kind_of(rest), rest).address == "203.0.113.7"


@pytest.mark.parametrize("refusal", [None, ModelTooLargeError("LiteRT needs 900 MB")])
def test_a_canary_that_is_not_there_gives_its_share_to_the_stable_model(
    served: Served, refusal: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    served.models.canary = WarmCanary(plan(100), None, refusal)
    assert served.version(CALLERS[0]) == MODEL.version
    line = lines(capsys)[-1]
    assert (line["role"], line["canary_absent"]) == ("stable", 1)
    said = served.ask(http(path="/health"))["canary"]
    assert (said["version"], said["percent"], said["state"]) == (
        CANARY.version,
        100,
        "refused" if refusal else "loading",
    )
    assert said.get("code") == (refusal and "model_too_large")
    assert "900 MB" not in json.dumps(said), "what the log is for"
    assert served.ask(http(path="/model"))["canary"] == said


def test_a_failing_canary_counts_as_its_own_fault(served: Served, capsys: pytest.CaptureFixture[str]) -> None:
    served.models.canary = WarmCanary(plan(), replace(CANARY, engine=BrokenEngine()))
    stable, canary = two_callers()
    assert served.version(stable) == MODEL.version
    assert served.ask(upload(picture(), **{"x-user": canary}))["error"]["code"] == "internal_error"
    assert [(line["role"], line["status"]) for line in lines(capsys)] == [("stable", 200), ("canary", 500)]


def test_an_abort_while_the_picture_is_fetched_holds(served: Served, capsys: pytest.CaptureFixture[str]) -> None:
    def fetch(_link: str, _deadline: float) -> bytes:
        served.models.canary = None
        return picture()

    event = http(query="imagelink=http://a.example/", headers={"x-user": two_callers()[1]})
    served.app._classifier = replace(served.app._classifier, fetch=fetch)
    assert served.ask(event)["model"]["version"] == MODEL.version
    assert "role" not in lines(capsys)[-1]


def test_a_shadow_computes_both_and_answers_with_the_stable_model(
    served: Served, capsys: pytest.CaptureFixture[str]
) -> None:
    served.models.canary = WarmCanary(plan(100, shadow=True), CANARY)
    assert served.version(CALLERS[0]) == MODEL.version
    link = served.ask(http(query="imagelink=http://a.example/", headers={"x-user": CALLERS[1]}))
    assert (link["model"]["version"], served.links) == (MODEL.version, ["http://a.example/"])
    for line in lines(capsys):
        told = (
            line["role"],
            line["label"],
            line["shadow"],
            line["shadow_label"],
            line["shadowed"],
            line["disagreements"],
        )
        assert told == ("stable", "red", "other", "rot", 1, 1)
    served.models.canary = WarmCanary(plan(100, shadow=True), replace(CANARY, engine=BrokenEngine()))
    assert served.version(CALLERS[0]) == MODEL.version
    failed = lines(capsys)[-1]
    assert (failed["shadow"], failed["shadow_failures"], failed["status"]) == ("failed", 1, 200)
    served.models.canary = WarmCanary(plan(100, shadow=True), replace(CANARY, serving=MODEL.serving))
    served.version(CALLERS[0])
    assert (lines(capsys)[-1]["shadow"], served.models.asked) == ("same", [])


def test_a_shadow_samples_requests_not_callers(served: Served, capsys: pytest.CaptureFixture[str]) -> None:
    served.models.canary = WarmCanary(plan(30, shadow=True), CANARY)
    for number in range(60):
        served.ask(upload(picture(), **{"x-user": "one"}), f"request {number}")
    assert 8 < sum("shadow" in line for line in lines(capsys)) < 28


def test_tensorflow_servings_clients_name_either_version(served: Served) -> None:
    one, two = str(int(MODEL.updated)), str(int(CANARY.updated))
    states = served.ask(http(path="/v1/models/things"))["model_version_status"]
    assert [state["version"] for state in states] == [two, one]
    for path, version in (
        (f"versions/{one}", one),
        (f"versions/{two}", two),
        ("labels/stable", one),
        ("labels/canary", two),
        (f"labels/{MODEL.version}", one),
        (f"labels/{CANARY.version}", two),
    ):
        for caller in two_callers():
            event = http(path=f"/v1/models/things/{path}/metadata", headers={"x-user": caller})
            assert served.ask(event)["model_spec"]["version"] == version
    assert "error" in served.ask(http(path="/v1/models/things/versions/7"))
    served.models.canary = None
    assert "error" in served.ask(http(path=f"/v1/models/things/versions/{two}"))
    assert "error" in served.ask(http(path="/v1/models/things/labels/canary"))


def test_a_page_of_another_origin_may_send_the_callers_header(served: Served) -> None:
    asked = http("OPTIONS", headers={"origin": "https://a.example", "access-control-request-method": "POST"})
    allowed = served.app.handle(asked, Context())["headers"]["access-control-allow-headers"].split(", ")
    assert allowed[-1] == "x-user"
    plain = Served(header="").app.handle(asked, Context())["headers"]["access-control-allow-headers"].split(", ")
    assert allowed[:-1] == plain
