"""TensorFlow Serving's REST protocol: its documented requests, from event to reply, and what it says otherwise."""

from __future__ import annotations

import base64
import gzip
import json
import time
from copy import replace
from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np
import pytest
from numpy.typing import NDArray

from classifier.app import App
from classifier.errors import ClassifierError, ModelError, ModelLoadingError, OutOfTimeError
from classifier.images import ImageLimits
from classifier.opening import LoadedModel
from classifier.service import Classifier, ImageStore
from classifier.serving import ModelShape, Serving, parse_serving
from classifier.settings import Settings
from classifier.storage import S3
from model_loader import ModelLoader
from tests.test_app import Context, Models, http, lines, picture

VERSION = 1773119783
FINGERPRINT = "0123456789abcdef"
SHAPE = (2, 3, 3)


@dataclass
class SumEngine:
    """Answers with a row that depends on every number: thousandths, means of the channels, and their maximum."""

    name: str = "tiny"
    asked: list[NDArray[np.float32]] = field(default_factory=list)
    seconds: float = 0.0

    def predict(self, picture: NDArray[np.float32]) -> NDArray[np.float32]:
        assert picture.shape == (1, *SHAPE)
        assert picture.dtype == np.float32
        assert picture.flags.c_contiguous
        self.asked.append(picture)
        time.sleep(self.seconds)
        return np.append(picture.mean(axis=(0, 1, 2)), picture.max()).astype(np.float32)


def serving(**fields: Any) -> Serving:
    document = {"labels": ["red", "green", "blue", "most"], "output": "sigmoid", **fields}
    return parse_serving(json.dumps(document).encode(), None, ModelShape(*SHAPE, len(document["labels"]), "sigmoid"))


class Served:
    """An application with one tiny model, asked by events."""

    def __init__(self, model: Serving | None = None, **environ: str) -> None:
        settings = Settings.from_env({"MODEL_BUCKET": "b", "MODEL_NAME": "things", **environ})
        self.engine = SumEngine()
        self.models = _Models(
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
class _Models(Models):
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


def test_a_tutorials_client_works_with_only_the_url_changed() -> None:
    status, reply = Served().predict({"instances": X.tolist()})
    assert (status, list(reply)) == (200, ["predictions"])
    assert as_float32(reply["predictions"]) == [row.tolist() for row in WANTED]


def test_a_tutorials_client_that_sends_a_signature_and_headers_works() -> None:
    data = json.dumps({"signature_name": "serving_default", "instances": X[0:1].tolist()})
    status, reply = Served().predict(data)
    assert status == 200
    assert int(np.argmax(reply["predictions"][0])) == 3


def test_a_body_packed_by_gzip_is_answered_as_it_would_be_plain() -> None:
    document = {"instances": X.tolist()}
    assert Served().predict(gzip.compress(json.dumps(document).encode())) == Served().predict(document)


@pytest.mark.parametrize(
    ("document", "key"),
    [
        ({"instances": X.tolist()}, "predictions"),
        ({"instances": [{"input_1": row} for row in X.tolist()]}, "predictions"),
        ({"inputs": X.tolist()}, "outputs"),
        ({"inputs": {"input_1": X.tolist()}}, "outputs"),
        ({"signature_name": "", "inputs": X.tolist()}, "outputs"),
        ({"instances": X.transpose(0, 3, 1, 2).tolist()}, "predictions"),
    ],
)
def test_row_and_column_form_give_the_same_rows_under_their_own_key(document: dict[str, Any], key: str) -> None:
    status, reply = Served().predict(document)
    assert (status, list(reply)) == (200, [key])
    assert as_float32(reply[key]) == [row.tolist() for row in WANTED]


def test_numbers_are_the_models_input_as_they_are_whatever_the_preprocessing() -> None:
    served = Served(serving(preprocessing={"scale": "caffe", "color": "rgb"}))
    served.predict({"instances": X.tolist()})
    assert np.array_equal(np.concatenate(served.engine.asked), X.astype(np.float32))


@pytest.mark.parametrize(
    ("document", "key"),
    [
        ({"instances": [B64, B64]}, "predictions"),
        ({"instances": [{"image_bytes": B64}, {"image_bytes": B64}]}, "predictions"),
        ({"inputs": [B64, B64]}, "outputs"),
        ({"inputs": {"image": [B64, B64]}}, "outputs"),
    ],
)
def test_encoded_pictures_are_decoded_and_preprocessed_as_the_bundle_says(document: dict[str, Any], key: str) -> None:
    served = Served(serving(preprocessing={"scale": "unit"}))
    status, reply = served.predict(document)
    assert (status, reply) == (200, {key: [[1.0, 0.0, 0.0, 1.0]] * 2})


def test_one_encoded_picture_in_column_form() -> None:
    assert Served(serving(preprocessing={"scale": "unit"})).predict({"inputs": B64}) == (
        200,
        {"outputs": [[1.0, 0.0, 0.0, 1.0]]},
    )


def test_a_reply_writes_the_shortest_decimals_of_float32() -> None:
    row = np.full(SHAPE, 0.2).tolist()
    reply = Served().ask("POST", "/v1/models/things:predict", {"instances": [row]})
    assert reply["body"].endswith("0.2]]}")
    assert reply["headers"]["content-type"] == "application/json"
    assert reply["headers"]["x-model-version"] == FINGERPRINT
    assert reply["headers"]["access-control-allow-origin"] == "*"


def test_nan_and_infinity_pass_both_ways_as_the_protocol_says() -> None:
    body = json.dumps({"instances": [[[[float("nan")] * 3] * 3] * 2, [[[float("-inf")] * 3] * 3] * 2]})
    assert "NaN" in body
    assert "-Infinity" in body
    _, reply = Served().predict(body)
    assert np.isnan(reply["predictions"][0]).all()
    assert reply["predictions"][1] == [-np.inf] * 4


def test_classify_names_every_label_best_first() -> None:
    served = Served(serving(preprocessing={"scale": "unit"}))
    document = {"signature_name": "classify", "examples": [{"image": B64}, {"image": [B64]}]}
    status, reply = served.answer("POST", "/v1/models/things:classify", document)
    best = [["red", 1.0], ["most", 1.0], ["green", 0.0], ["blue", 0.0]]
    assert (status, reply) == (200, {"results": [best, best]})


@pytest.mark.parametrize(
    "document",
    [
        {"examples": [{"image": B64, "caption": "seaside"}]},
        {"context": {"caption": "seaside"}, "examples": [{"image": B64}]},
        {"examples": [{"x": np.tile([255.0, 0, 0], 6).tolist()}]},
    ],
)
def test_an_examples_picture_is_found_among_its_features(document: dict[str, Any]) -> None:
    status, reply = Served().answer("POST", "/v1/models/things:classify", document)
    assert (status, len(reply["results"]), reply["results"][0][0]) == (200, 1, ["red", 255.0])


def test_status_is_the_documented_one() -> None:
    expected = {
        "model_version_status": [
            {"version": str(VERSION), "state": "AVAILABLE", "status": {"error_code": "OK", "error_message": ""}}
        ]
    }
    served = Served()
    for path in ("", f"/versions/{VERSION}", "/labels/stable", f"/labels/{FINGERPRINT}", "/"):
        assert served.answer("GET", f"/v1/models/things{path}") == (200, expected)
    assert served.answer("GET", "/V1/Models/things") == (200, expected)


def test_metadata_describes_the_model_as_a_signature() -> None:
    status, reply = Served().answer("GET", "/v1/models/things/metadata")
    assert status == 200
    assert reply["model_spec"] == {"name": "things", "signature_name": "", "version": str(VERSION)}
    signature = reply["metadata"]["signature_def"]["signature_def"]["serving_default"]
    assert signature["method_name"] == "tensorflow/serving/predict"
    (image,) = signature["inputs"].values()
    assert image["dtype"] == "DT_FLOAT"
    assert [part["size"] for part in image["tensor_shape"]["dim"]] == ["-1", "2", "3", "3"]
    (scores,) = signature["outputs"].values()
    assert [part["size"] for part in scores["tensor_shape"]["dim"]] == ["-1", "4"]
    named = {"instances": [{name: X[0].tolist()} for name in signature["inputs"]]}
    assert Served().predict(named)[0] == 200


@pytest.mark.parametrize("version", [f"/versions/{VERSION}", "/labels/stable", f"/labels/{FINGERPRINT}"])
def test_a_version_or_label_may_be_named(version: str) -> None:
    served = Served()
    assert served.predict({"instances": X.tolist()}, f"/v1/models/things{version}:predict")[0] == 200
    assert served.answer("GET", f"/v1/models/things{version}/metadata")[0] == 200


@pytest.mark.parametrize(
    ("method", "path", "status", "text"),
    [
        ("POST", "/v1/models/half:predict", 404, "Servable not found for request: Latest(half)"),
        ("POST", "/v1/models/half/versions/5:predict", 404, "Servable not found for request: Specific(half, 5)"),
        ("POST", "/v1/models/things/versions/5:predict", 404, "Servable not found for request: Specific(things, 5)"),
        ("POST", "/v1/models/half:classify", 404, "Servable not found for request: Latest(half)"),
        ("POST", "/v1/models/half:regress", 404, "Servable not found for request: Latest(half)"),
        ("GET", "/v1/models/half/metadata", 404, "Servable not found for request: Latest(half)"),
        ("GET", "/v1/models/half", 404, "Could not find any versions of model half"),
        ("GET", "/v1/models/things/versions/5", 404, "Could not find version 5 of model things"),
        ("GET", "/v1/models/things/labels/canary", 400, "Unrecognized servable version label: canary"),
        ("POST", "/v1/models/things/labels/canary:predict", 400, "Unrecognized servable version label: canary"),
        ("GET", "/v1/models", 400, "Missing model name in request."),
        ("POST", "/v1/models", 400, "Malformed request: POST /v1/models"),
        ("GET", "/v1/models/things/version/5", 400, "Malformed request: GET /v1/models/things/version/5"),
        ("POST", "/v1/models/things/versions/x:predict", 400, "Malformed request: POST /v1/models/things/versions/x"),
        ("POST", "/v1/models/things:explain", 400, "Malformed request: POST /v1/models/things:explain"),
        ("POST", "/v1/models/things/metadata:predict", 400, "Malformed request: POST"),
        ("GET", f"/v1/models/things/versions/{2**64}", 400, f"Failed to convert version: {2**64} to numeric."),
        ("GET", "/v1/models/" + "h" * 400, 404, "Could not find any versions of model hhh"),
        ("GET", "/v1/models/half%3Fsesame", 404, "Could not find any versions of model half"),
        ("POST", "/v1/models/things:regress", 400, "Expected regression signature method_name to be"),
        ("GET", "/v1/models/things:predict", 405, "Use OPTIONS or POST here."),
        ("POST", "/v1/models/things", 405, "Use GET or HEAD or OPTIONS here."),
        ("DELETE", "/v1/models/things", 405, "Use GET or HEAD or OPTIONS or POST here."),
    ],
)
def test_what_is_not_served_is_an_error_in_the_protocols_form(method: str, path: str, status: int, text: str) -> None:
    found, reply = Served().answer(method, path, {"instances": X.tolist()})
    assert (found, list(reply)) == (status, ["error"])
    assert reply["error"].startswith(text)
    assert len(reply["error"]) < 200
    assert "sesame" not in reply["error"]


PREDICT, CLASSIFY = "/v1/models/things:predict", "/v1/models/things:classify"


@pytest.mark.parametrize(
    ("path", "body", "text"),
    [
        (PREDICT, "", "JSON Parse error: The document is empty"),
        (PREDICT, "instances = [1, 2]", "JSON Parse error: "),
        (PREDICT, gzip.compress(b""), "JSON Parse error: The document is empty"),
        (PREDICT, gzip.compress(b"{}")[:-4], "The gzip body is broken."),
        (PREDICT, "[" * 100_000, "JSON Parse error: "),
        (PREDICT, "[1]", "JSON Parse error: "),
        (PREDICT, '{"instances": [1], "instances": [2]}', "JSON Parse error: "),
        (PREDICT, {}, "Missing 'inputs' or 'instances' key."),
        (PREDICT, {"instances": [1], "inputs": [1]}, "Not formatted correctly"),
        (PREDICT, {"instances": []}, "No values in 'instances' array."),
        (PREDICT, {"instances": {"b64": ""}}, "Expecting 'instances' to be a list/array."),
        (PREDICT, {"instances": X.tolist(), "signature_name": 100}, "Not formatted correctly. 'signature_name'"),
        (PREDICT, {"instances": X.tolist(), "signature_name": "x"}, 'Serving signature name: "x" not found'),
        (PREDICT, {"inputs": []}, "No values in 'inputs'."),
        (PREDICT, {"inputs": {"a": [1], "b": [2]}}, "Expecting one named input"),
        (PREDICT, {"instances": [{"a": 1, "b": 2}]}, "Failed to process element: 0 of 'instances' list."),
        (PREDICT, {"instances": ["foo", "bar"]}, "The input has a value of type String, not of expected type: float."),
        (PREDICT, {"instances": [[["1", 2, 3]]]}, "The input has a value of type String"),
        (PREDICT, {"instances": [[True, 1.0]]}, "The input has a value of type Bool"),
        (PREDICT, {"instances": [[None, 1.0]]}, "The input has a value of type Null"),
        (PREDICT, {"instances": [[{"b64": "AA=="}]]}, "The input has a value of type Object"),
        (PREDICT, {"instances": [[1], 2]}, "The lists of the input are not all of one depth"),
        (PREDICT, {"instances": [[[[[[[[[[[1]]]]]]]]]]]}, "The lists of the input are nested too deep."),
        (PREDICT, {"instances": [FLAT, FLAT[:2]]}, "The lists of the input are not all of one size."),
        (PREDICT, {"instances": [[FLAT], [FLAT, FLAT]]}, "The lists of the input are not all of one size."),
        (PREDICT, {"instances": [B64, 1]}, "Rows are either all pictures"),
        (PREDICT, {"instances": [{"b64": "%"}]}, "Unable to base64 decode element 0."),
        (PREDICT, {"instances": [{"b64": "AAAA"}]}, "Failed to process element: 0. Error: This is not a picture"),
        (PREDICT, {"instances": [B64, {"b64": B64["b64"][:80]}]}, "Failed to process element: 1. Error: The picture"),
        (PREDICT, {"instances": [B64] * 5}, "There are 5 pictures; at most 4 are taken at once."),
        (CLASSIFY, {"examples": [{"x": 1.0}]}, "Example 0 has 0 features"),
        (CLASSIFY, {"examples": [{"a": B64, "b": B64}]}, "Example 0 has 2 features"),
        (CLASSIFY, {"examples": []}, "'examples' value is an empty array."),
        (CLASSIFY, {"instances": [1]}, "When method is classify, key 'examples' is expected"),
        (CLASSIFY, {"examples": [1]}, "Each example, and the context, must be a JSON object."),
    ],
)
def test_a_malformed_request_is_refused_before_a_model_is_loaded(path: str, body: object, text: str) -> None:
    served = Served(MAX_BATCH_IMAGES="4")
    status, reply = served.answer("POST", path, body)
    assert (status, list(reply)) == (400, ["error"])
    assert reply["error"].startswith(text)
    assert served.models.deadlines == []


@pytest.mark.parametrize(
    ("rows", "text"),
    [
        ([1.0, 2.0, 5.0], "Expecting input of shape [-1,2,3,3] but got: [3]."),
        (X[0].tolist(), "Expecting input of shape [-1,2,3,3] but got: [2,3,3]."),
        ([[]], "Expecting input of shape [-1,2,3,3] but got: [1,0]."),
        (np.zeros((1, 3, 3, 2)).tolist(), "Expecting input of shape [-1,2,3,3] but got: [1,3,3,2]."),
        (np.full((1, *SHAPE), 1e39).tolist(), "Cannot convert a JSON value to float without loss of precision."),
        ([[[[10**400] * 3] * 3] * 2], "Cannot convert a JSON value to float without loss of precision."),
        (np.zeros((1, 18)).tolist(), "Expecting input of shape [-1,2,3,3] but got: [1,18]."),
    ],
)
def test_numbers_that_do_not_fit_the_model_are_refused(rows: list[Any], text: str) -> None:
    served = Served()
    assert served.predict({"instances": rows}) == (400, {"error": text})
    assert served.engine.asked == []


def test_more_rows_than_a_reply_can_hold_are_refused() -> None:
    many = serving(labels=[f"label {index}" for index in range(60_000)])
    status, reply = Served(many).predict({"instances": X.tolist()})
    assert (status, reply["error"]) == (400, "There are 2 rows; at most 1 are taken at once for 60000 labels.")


@pytest.mark.parametrize(
    ("failure", "status", "retry_after"),
    [
        (ModelLoadingError("not yet"), 503, "5"),
        (ModelError("broken weights"), 500, None),
        (ClassifierError("x"), 500, None),
        (OutOfTimeError("late"), 504, "1"),
        (ZeroDivisionError("at 10.0.0.1"), 500, None),
    ],
)
@pytest.mark.parametrize("path", ["POST /v1/models/things:predict", "GET /v1/models/things"])
def test_our_own_failures_have_the_protocols_form_too(
    failure: Exception, status: int, retry_after: str | None, path: str
) -> None:
    served = Served()
    served.models.failure = failure
    method, _, target = path.partition(" ")
    reply = served.ask(method, target, {"instances": X.tolist()})
    assert (reply["statusCode"], reply["headers"].get("retry-after")) == (status, retry_after)
    assert list(json.loads(reply["body"])) == ["error"]
    assert "10.0.0.1" not in reply["body"]
    assert "weights" not in reply["body"]


def test_the_deadline_holds_between_rows() -> None:
    served = Served()
    served.engine.seconds = 0.3
    reply = served.ask("POST", PREDICT, {"instances": X.tolist() * 5}, Context(remaining_ms=900))
    assert (reply["statusCode"], json.loads(reply["body"])["error"][:17]) == (504, "Deadline exceeded")
    assert 0 < len(served.engine.asked) < 10


def test_head_and_options_are_answered() -> None:
    served = Served()
    assert served.ask("HEAD", "/v1/models/things")["body"] == ""
    assert served.ask("HEAD", "/v1/models/half")["statusCode"] == 404
    reply = served.ask("OPTIONS", PREDICT)
    assert (reply["statusCode"], reply["headers"]["access-control-allow-methods"]) == (204, "OPTIONS, POST")


@pytest.mark.parametrize("path", ["/v1", "/v1/", "/v1/modelsx", "/v2/models/things"])
def test_other_paths_are_none_of_the_protocols(path: str) -> None:
    status, reply = Served().answer("GET", path)
    assert (status, reply["error"]["code"]) == (404, "not_found")


def test_a_request_is_one_line_of_the_log_without_its_values(capsys: pytest.CaptureFixture[str]) -> None:
    served = Served()
    served.predict({"instances": X.tolist()})
    served.predict({"instances": [["c2VzYW1l"]], "c2VzYW1l": 1})
    good, bad = lines(capsys)
    assert (good["status"], good["rows"], good["version"]) == (200, 2, FINGERPRINT)
    assert good["total_ms"] > 0
    assert (bad["level"], bad["status"], bad["code"]) == ("warning", 400, "invalid_request")
    assert "c2VzYW1l" not in json.dumps(bad)


def test_a_newer_model_has_a_greater_version() -> None:
    served = Served()
    old = served.answer("GET", "/v1/models/things")[1]["model_version_status"][0]["version"]
    assert served.models.model
    served.models.model = replace(served.models.model, version="fedcba9876543210", updated=VERSION + 60.0)
    new = served.answer("GET", "/v1/models/things")[1]["model_version_status"][0]["version"]
    assert int(new) == int(old) + 60
    assert served.predict({"instances": X.tolist()}, f"/v1/models/things/versions/{old}:predict")[0] == 404
