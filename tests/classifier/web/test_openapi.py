"""The description of the API: valid, complete, and what the code says: routes, errors, limits, names."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import jsonschema  # type: ignore[import-untyped]
import pytest
from openapi_spec_validator import validate

from classifier import errors
from classifier.app import App
from classifier.bundles import scores
from classifier.pictures import preprocessing
from classifier.settings import Settings
from classifier.tf_serving import protocol as serving_protocol
from classifier.web import questions, sources
from classifier.web.openapi import openapi_response
from local.launch import PROJECT
from local.options import FRONTS

if TYPE_CHECKING:
    from collections.abc import Iterator

RESPONSE = openapi_response()
API: dict[str, Any] = json.loads(RESPONSE.body)
SCHEMAS = API["components"]["schemas"]
OPERATIONS = {
    (verb.upper(), path): operation for path, verbs in API["paths"].items() for verb, operation in verbs.items()
}
OWN = {key: operation for key, operation in OPERATIONS.items() if not key[1].startswith("/v1")}
SERVING = {key: operation for key, operation in OPERATIONS.items() if key not in OWN}
NOTHING: Any = None
GATEWAY = {"$ref": "#/components/schemas/Gateway"}
"""What only the gateway says, and what we say as well: with a body of that schema."""
GATEWAYS = {"401": "GET POST", "403": "GET POST", "413": "POST", "429": "GET POST", "503": "GET POST"}


def tree(kind: type[errors.ClassifierError] = errors.ClassifierError) -> Iterator[type[errors.ClassifierError]]:
    yield kind
    for child in kind.__subclasses__():
        if child.__module__ == errors.__name__:
            yield from tree(child)


def codes_by_status() -> dict[int, set[str]]:
    found: dict[int, set[str]] = {}
    for kind in tree():
        found.setdefault(kind.status, set()).add(kind.code)
    return found


def resolved(node: Any) -> Any:
    """What a reference is of; anything else itself."""
    while isinstance(node, dict) and "$ref" in node:
        found = API
        for step in node["$ref"].removeprefix("#/").split("/"):
            found = found[step]
        node = found
    return node


def forms(response: Any) -> list[Any]:
    """The forms that a reply's JSON may have."""
    schema = resolved(response).get("content", {}).get("application/json", {}).get("schema", {})
    return list(schema.get("oneOf", [schema]))


def codes(response: Any) -> set[str]:
    """The codes that an error's description names."""
    found: set[str] = set()
    for form in forms(response):
        for part in form.get("allOf", [])[1:]:
            found |= set(part["properties"]["error"]["properties"]["code"]["enum"])
    return found


def test_nothing_is_defined_twice() -> None:
    """JSON readers take the second of two names in silence."""

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        names = [name for name, _ in pairs]
        assert len(names) == len(set(names)), sorted(name for name in set(names) if names.count(name) > 1)
        return dict(pairs)

    json.loads(RESPONSE.body, object_pairs_hook=unique)


def test_the_description_is_valid_openapi_and_says_so() -> None:
    validate(API)
    assert API["openapi"].startswith("3.1.")
    assert RESPONSE.headers["content-type"] == "application/json"
    assert API["info"]["version"] == json.loads((PROJECT / "package.json").read_text())["version"]


def test_every_route_is_described_and_nothing_else() -> None:
    everything = {"MODEL_BUCKET": "b", "IMAGE_BUCKET": "i", "EXAMPLES_PREFIX": "examples/"}
    captures: Any = object()
    app = App(Settings.from_env(everything), NOTHING, NOTHING, 0.0, NOTHING, captures=captures)
    assert set(OWN) == {(verb, path) for path, verbs in app._routes.table.items() for verb in verbs}


@pytest.mark.parametrize(("verb", "path"), SERVING)
def test_a_described_path_of_tensorflow_serving_is_one_that_is_understood(verb: str, path: str) -> None:
    values = {"name": "cats", "version": "7", "label": "stable"}
    target = serving_protocol.parse_target(verb, path.format(**values))
    assert target.name == "cats"
    assert (target.version, target.label) == (
        7 if "{version}" in path else None,
        "stable" if "{label}" in path else None,
    )


def test_every_path_of_tensorflow_serving_is_described() -> None:
    actions = {"metadata": "/metadata", **dict.fromkeys(("predict", "classify", "regress"), ":")}
    ends = {"", *(end + name if end == ":" else end for name, end in actions.items())}
    places = ("", "/versions/{version}", "/labels/{label}")
    assert {path for _, path in SERVING} == {f"/v1/models/{{name}}{place}{end}" for place in places for end in ends}
    assert all(name in serving_protocol._PATH.pattern for name in actions)


def test_every_error_is_described_with_its_status_and_code() -> None:
    described = {}
    for name, response in API["components"]["responses"].items():
        if found := codes(response):
            described[name] = found
    expected = {status: names for status, names in codes_by_status().items() if status != 405}
    assert sorted(map(sorted, described.values())) == sorted(map(sorted, expected.values()))
    assert "405 `method_not_allowed`" in API["info"]["description"]  # of methods that are not described


@pytest.mark.parametrize(("verb", "path"), OWN)
def test_an_operations_statuses_have_the_errors_codes(verb: str, path: str) -> None:
    by_status = codes_by_status()
    for status, response in OWN[verb, path]["responses"].items():
        if int(status) >= 400 and forms(response) != [GATEWAY]:
            assert codes(response) == by_status[int(status)]
    assert "500" in OWN[verb, path]["responses"]


def test_whatever_a_picture_can_cause_is_described_where_pictures_are_taken() -> None:
    statuses = {"200", *map(str, codes_by_status()), *GATEWAYS} - {"405"}  # another method than the operation's own
    assert set(OWN["GET", "/classify"]["responses"]) == {"304", *statuses}
    assert set(OWN["POST", "/classify"]["responses"]) == statuses


@pytest.mark.parametrize(("verb", "path"), SERVING)
def test_tensorflow_servings_statuses_are_those_that_errors_become(verb: str, path: str) -> None:
    become = {str(serving_protocol.error_response(kind()).status) for kind in tree() if _simple(kind)}
    responses = SERVING[verb, path]["responses"]
    described = {status for status, response in responses.items() if forms(response) != [GATEWAY]} - {"200"}
    assert described == become - ({"504"} if ":predict" not in path and ":classify" not in path else set())


def _simple(kind: type[errors.ClassifierError]) -> bool:
    return not issubclass(kind, errors.MethodNotAllowedError)


def test_limits_and_names_are_the_codes() -> None:
    assert (SCHEMAS["Top"]["minimum"], SCHEMAS["Top"]["maximum"]) == (1, questions.MAX_TOP)
    assert set(SCHEMAS["Image"]["properties"]["source"]["enum"]) == {source.kind for source in sources.SOURCES}
    assert set(SCHEMAS["Output"]["enum"]) == set(scores.OUTPUTS.values())
    for request, verb in (("PredictRequest", "predict"), ("ClassifyRequest", "classify")):
        assert tuple(SCHEMAS[request]["properties"]["signature_name"]["enum"]) == serving_protocol.SIGNATURES[verb]
    described = {
        name: set(schema["enum"]) for name, schema in SCHEMAS["Preprocessing"]["properties"].items() if "enum" in schema
    }
    assert described == {name: set(choices) for name, choices in preprocessing.CHOICES.items()}


def test_nothing_is_described_in_vain() -> None:
    used = set(re.findall(r'"#/components/(\w+/\w+)"', RESPONSE.body))
    parts = {f"{kind}/{name}" for kind, found in API["components"].items() for name in found}
    assert parts - used == {f"securitySchemes/{n}" for n in ("apiKey", "token")}


@pytest.mark.parametrize(("verb", "path"), OPERATIONS)
def test_what_the_gateway_says_itself_is_described_wherever_it_can_come(verb: str, path: str) -> None:
    responses = OPERATIONS[verb, path]["responses"]
    assert {status for status, methods in GATEWAYS.items() if verb in methods} <= {
        status for status, response in responses.items() if GATEWAY in forms(response)
    }


@pytest.mark.parametrize("front", ["http", "rest", "url"])
def test_the_gateways_own_words_fit_their_description(front: str) -> None:
    for situation in ("failed", "throttled", "too_large", "timed_out"):
        body = FRONTS[front].failure(situation).body
        if body.startswith(b"{"):
            jsonschema.validate(json.loads(body), SCHEMAS["Gateway"])


def test_an_example_of_a_body_is_answered_as_it_is_and_takes_nothing_that_parameters_have() -> None:
    content = OWN["POST", "/classify"]["requestBody"]["content"]
    for kind, body in content.items():
        shown = body.get("example") or next((one["value"] for one in body.get("examples", {}).values()), None)
        assert bool(shown) == (kind in ("application/json", "application/x-www-form-urlencoded"))
        assert shown is None or set(shown) == {"image"}
