"""TensorFlow Serving's documented predict requests, from event to reply."""

from __future__ import annotations

import gzip
import json
from copy import replace
from typing import Any

import numpy as np
import pytest

from tests.support.application import Context
from tests.support.tf_serving import B64, FINGERPRINT, PREDICT, SHAPE, WANTED, Served, X, as_float32, serving


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


@pytest.mark.parametrize("row", [(18,), (6, 3)])
def test_numbers_come_in_the_models_own_shape(row: tuple[int, ...]) -> None:
    served = Served(replace(serving(), row=row))
    status, reply = served.predict({"instances": X.reshape(len(X), *row).tolist()})
    assert status == 200
    assert as_float32(reply["predictions"]) == [numbers.tolist() for numbers in WANTED]
    refused = served.predict({"instances": X.reshape(len(X), 3, 6).tolist()})
    assert refused[0] == 400
    assert f"Expecting input of shape [-1,{','.join(map(str, row))}]" in refused[1]["error"]


def test_several_outputs_come_by_name() -> None:
    kind, most = serving().heads[0], serving().heads[0]
    heads = (
        replace(kind, name="kind", labels=("red", "green", "blue"), units=3),
        replace(most, name="most", labels=("low", "high"), units=1),
    )
    served = Served(replace(serving(), heads=heads))
    rows = [{"kind": row[:3], "most": row[3:]} for row in (numbers.tolist() for numbers in WANTED)]

    by_row, by_column = (served.predict({key: X.tolist()})[1] for key in ("instances", "inputs"))

    assert [{name: as_float32([part])[0] for name, part in row.items()} for row in by_row["predictions"]] == rows
    assert {name: as_float32(part) for name, part in by_column["outputs"].items()} == {
        name: [row[name] for row in rows] for name in ("kind", "most")
    }
    signatures = json.loads(served.ask("GET", "/v1/models/things/metadata")["body"])["metadata"]["signature_def"]
    assert set(signatures["signature_def"]["serving_default"]["outputs"]) == {"kind", "most"}


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


def test_more_rows_than_a_reply_can_hold_are_refused() -> None:
    many = serving(labels=[f"label {index}" for index in range(60_000)])
    status, reply = Served(many).predict({"instances": X.tolist()})
    assert (status, reply["error"]) == (400, "There are 2 rows; at most 1 are taken at once for 60000 labels.")


def test_the_deadline_holds_between_rows() -> None:
    served = Served()
    served.engine.seconds = 0.3
    reply = served.ask("POST", PREDICT, {"instances": X.tolist() * 5}, Context(remaining_ms=900))
    assert (reply["statusCode"], json.loads(reply["body"])["error"][:17]) == (504, "Deadline exceeded")
    assert 0 < len(served.engine.asked) < 10
