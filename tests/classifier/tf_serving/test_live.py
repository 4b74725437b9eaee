"""TensorFlow Serving's clients against the local Lambda and the demo model, with plain Keras as the reference."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from typing import Any

import pytest
import requests

from local.s3 import LocalS3
from tests.support.demo import BUNDLE, SAMPLES, Demo, demo, key_of, plain_keras

pytestmark = [pytest.mark.lambda_, pytest.mark.tensorflow]
NAME = "classifier"
FEW = SAMPLES[:4]


@pytest.fixture(scope="module", params=["tensorflow", "litert"])
def served(request: pytest.FixtureRequest, s3_server: LocalS3) -> Iterator[Demo]:
    with demo(s3_server, f"tfs-{request.param}", ENGINE="auto", MODEL_NAME=NAME) as running:
        if request.param == "litert":
            assert running.compile()["usable"]
        yield running


@pytest.fixture(scope="module")
def model_url(served: Demo) -> str:
    return f"{served.cloud.url}/v1/models/{NAME}"


def preprocessed(count: int) -> Any:
    """What a client of TensorFlow Serving sends: pictures as the model was trained on them."""
    import keras
    import numpy as np
    from keras.applications.imagenet_utils import preprocess_input

    options = json.loads((BUNDLE / "serving.json").read_text())["preprocessing"]
    size = tuple(options["size"])
    pictures = [
        keras.utils.img_to_array(
            keras.utils.load_img(sample, target_size=size, interpolation=options.get("filter", "nearest"))
        )
        for sample in SAMPLES[:count]
    ]
    array = np.stack(pictures)
    mode = options.get("scale", "none")
    return array / 255 if mode == "unit" else array if mode == "none" else preprocess_input(array, mode=mode)


def expected(count: int) -> list[Any]:
    return [pytest.approx(plain_keras()[sample.name], abs=1e-4) for sample in SAMPLES[:count]]


def test_a_tutorials_client_gets_keras_own_rows(model_url: str) -> None:
    x = preprocessed(4)
    predictions = requests.post(f"{model_url}:predict", json={"instances": x.tolist()}, timeout=60).json()[
        "predictions"
    ]
    assert predictions == expected(4)


def test_columns_and_encoded_pictures_give_the_same_rows(model_url: str) -> None:
    columns = requests.post(f"{model_url}:predict", json={"inputs": preprocessed(2).tolist()}, timeout=60).json()
    encoded = [{"b64": base64.b64encode(sample.read_bytes()).decode()} for sample in SAMPLES[:2]]
    rows = requests.post(f"{model_url}:predict", json={"instances": encoded}, timeout=60).json()
    assert columns == {"outputs": expected(2)}
    assert rows == {"predictions": expected(2)}


def test_curls_of_the_documentation_get_documented_shapes(model_url: str) -> None:
    status = requests.get(model_url, timeout=60).json()["model_version_status"]
    assert [(one["state"], one["status"]) for one in status] == [
        ("AVAILABLE", {"error_code": "OK", "error_message": ""})
    ]
    version = status[0]["version"]
    metadata = requests.get(f"{model_url}/versions/{version}/metadata", timeout=60).json()
    assert metadata["model_spec"]["version"] == version
    body = json.dumps({"instances": preprocessed(1).tolist()})  # as `curl -d` sends it
    form = {"content-type": "application/x-www-form-urlencoded"}
    answer = requests.post(f"{model_url}/versions/{version}:predict", data=body, headers=form, timeout=60)
    assert answer.json() == {"predictions": expected(1)}
    missing = requests.post(model_url.replace(NAME, "half") + ":predict", data=body, headers=form, timeout=60)
    assert (missing.status_code, missing.json()) == (404, {"error": "Servable not found for request: Latest(half)"})


def test_classify_names_the_same_best_label_as_classify_itself(model_url: str) -> None:
    encoded = {"b64": base64.b64encode(SAMPLES[0].read_bytes()).decode()}
    answer = requests.post(f"{model_url}:classify", json={"examples": [{"image": encoded}]}, timeout=60).json()
    labels = json.loads((BUNDLE / "serving.json").read_text())["labels"]
    scores = plain_keras()[SAMPLES[0].name]
    (row,) = answer["results"]
    assert dict(row) == pytest.approx(dict(zip(labels, scores, strict=True)), abs=1e-4)
    assert [score for _, score in row] == sorted((score for _, score in row), reverse=True)


def test_several_pictures_get_what_each_gets_alone(served: Demo) -> None:
    classify = f"{served.cloud.url}/classify"
    images: list[dict[str, str]] = [{"s3key": key_of(sample)} for sample in FEW]
    images.insert(1, {"s3key": "models/secret"})
    results = requests.post(classify, json={"images": images, "top": 10}, timeout=60).json()["results"]
    assert results.pop(1)["error"]["code"] == "invalid_s3_key"
    for image, result in zip([images[0], *images[2:]], results, strict=True):
        alone = requests.get(classify, params={**image, "top": "10"}, timeout=60).json()
        assert {one["label"]: one["score"] for one in result["predictions"]} == pytest.approx(
            {one["label"]: one["score"] for one in alone["predictions"]}, abs=1e-6
        )


def test_a_model_in_a_folder_is_served_by_its_name(served: Demo) -> None:
    for name in ("architecture.json", "model.weights.h5", "serving.json"):
        key = f"{served.prefix}copy/{name}"
        served.s3.put_object(Bucket=served.models, Key=key, Body=(BUNDLE / name).read_bytes())
    x = preprocessed(1)
    url = f"{served.cloud.url}/v1/models/copy"
    assert requests.post(f"{url}:predict", json={"instances": x.tolist()}, timeout=60).json() == {
        "predictions": expected(1)
    }
    by_name = {"s3key": key_of(SAMPLES[0]), "model": "copy"}
    assert requests.get(f"{served.cloud.url}/classify", params=by_name, timeout=60).json()["model"]["name"] == "copy"
    own = requests.get(f"{served.cloud.url}/classify", params={"s3key": key_of(SAMPLES[0])}, timeout=60).json()
    assert own["model"]["name"] == NAME
    assert requests.get(f"{served.cloud.url}/v1/models/nope", timeout=60).status_code == 404
