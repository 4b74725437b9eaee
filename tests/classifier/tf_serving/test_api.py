"""TensorFlow Serving's REST protocol beside predict: classify, status, metadata, versions, methods and the log."""

from __future__ import annotations

import json
from copy import replace
from typing import Any

import numpy as np
import pytest

from tests.support.application import lines
from tests.support.tf_serving import B64, FINGERPRINT, PREDICT, VERSION, Served, X, serving


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
