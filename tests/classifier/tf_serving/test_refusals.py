"""What TensorFlow Serving's protocol says when a request cannot be answered."""

from __future__ import annotations

import base64
import gzip
import json
from typing import Any

import numpy as np
import pytest

from classifier.errors import ClassifierError, ModelError, ModelLoadingError, OutOfTimeError
from tests.support.pictures import large_canvas_webp
from tests.support.tf_serving import B64, CLASSIFY, FLAT, PREDICT, SHAPE, Served, X


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


@pytest.mark.parametrize(
    ("path", "body", "text"),
    [
        (PREDICT, "", "JSON Parse error: The document is empty"),
        (PREDICT, "instances = [1, 2]", "JSON Parse error: "),
        (PREDICT, gzip.compress(b"", mtime=0), "JSON Parse error: The document is empty"),
        (PREDICT, gzip.compress(b"{}", mtime=0)[:-4], "The gzip body is broken."),
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
        (PREDICT, {"instances": [B64, {"b64": B64["b64"][:60]}]}, "Failed to process element: 1. Error: The picture"),
        (PREDICT, {"instances": [B64] * 5}, "There are 5 pictures; at most 4 are taken at once."),
        (PREDICT, {"instances": [[]] * 100_001}, "There are 100001 rows; at most 100000 are taken at once."),
        (PREDICT, {"inputs": [0] * 100_001}, "There are 100001 rows; at most 100000 are taken at once."),
        (CLASSIFY, {"examples": [{}] * 100_001}, "There are 100001 rows; at most 100000 are taken at once."),
        (
            CLASSIFY,
            {"examples": [{"a": B64}], "context": dict.fromkeys(map(str, range(101)))},
            "The context has 101 features; at most 100 are taken.",
        ),
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


def test_pictures_that_would_outlast_the_deadline_are_refused_before_anything_is_paid() -> None:
    served = Served()
    large = {"b64": base64.b64encode(large_canvas_webp()).decode()}
    status, reply = served.predict({"instances": [large] * 20})
    assert (status, served.models.deadlines) == (400, [])
    assert reply["error"].startswith("There is no time to decode all of these pictures.")
