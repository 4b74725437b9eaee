"""Events of every front door, as AWS documents them."""

from __future__ import annotations

import contextlib
from typing import Any

import hypothesis
import pytest
from hypothesis import strategies as st

from classifier.errors import RequestError
from classifier.web import events, parameters
from classifier.web.events import Direct, HttpApi, LoadBalancer, MultiValueLoadBalancer, RestApi
from classifier.web.responses import Response, json_response
from tests.support.events import FOLDER, recorded

LINK = "https://example.com/a%2Bb.jpg?x=1&y=2"
ALL = ("imagelink", LINK), ("top", "3"), ("tag", "one"), ("tag", "two")
LAST = ("imagelink", LINK), ("top", "3"), ("tag", "two")
FRONTS: dict[str, tuple[type, tuple[tuple[str, str], ...]]] = {
    "http_api": (HttpApi, ALL),
    "http_api_named_stage": (HttpApi, ALL),
    "http_api_custom_domain": (HttpApi, ALL),
    "http_api_payload_1": (RestApi, ALL),
    "function_url": (HttpApi, ALL),
    "rest_api": (RestApi, ALL),
    "rest_api_base_path": (RestApi, ALL),
    "load_balancer": (LoadBalancer, LAST),
    "load_balancer_multi_value": (MultiValueLoadBalancer, ALL),
}


def read(event: object) -> events.Request:
    """The request that an event carries."""
    return events.read(events.kind_of(event), event)


@pytest.mark.parametrize("name", FRONTS)
def test_every_front_door_asks_the_same(name: str) -> None:
    kind, query = FRONTS[name]
    event = recorded(name)
    request = read(event)
    assert type(events.kind_of(event)) is kind
    assert (request.method, request.path, request.query) == ("GET", "/classify", query)
    assert (request.headers["accept"], request.body, request.direct) == ("*/*", b"", False)
    assert all(name == name.lower() for name in request.headers)


def test_every_recorded_event_is_in_a_test() -> None:
    assert {path.stem for path in FOLDER.glob("*.json")} == {*FRONTS, "http_api_upload", "direct"}


def test_a_direct_event_is_the_request_itself() -> None:
    event = recorded("direct")
    assert read(event) == events.Request(method="POST", path="/classify", headers={}, document=event)
    assert isinstance(events.kind_of(event), Direct)


def test_a_binary_body_arrives_as_bytes() -> None:
    assert read(recorded("http_api_upload")).body.startswith(b"\xff\xd8\xff\xe0")


@pytest.mark.parametrize(
    ("flag", "body"),
    [(True, b"a+b"), ("true", b"a+b"), ("True", b"a+b"), (False, b"YSti"), ("false", b"YSti"), (None, b"YSti")],
)
def test_the_base64_flag_counts_in_either_spelling(flag: object, body: bytes) -> None:
    assert read(recorded("http_api_upload", isBase64Encoded=flag, body="YSti")).body == body


@pytest.mark.parametrize("body", ["%%%", "YQ", "ä", "\ud800"])
def test_a_body_that_is_not_base64_is_refused(body: str) -> None:
    with pytest.raises(RequestError, match="base64"):
        read(recorded("http_api_upload", body=body))


@pytest.mark.parametrize(
    ("raw", "pairs"),
    [
        ("imagelink=http://h/a+b.jpg", [("imagelink", "http://h/a+b.jpg")]),
        ("imagelink=http%3A%2F%2Fh%2Fa%2Bb%2520c.jpg", [("imagelink", "http://h/a+b%20c.jpg")]),
        ("s3key=images/space+plus%2Bfile.jpg", [("s3key", "images/space plus+file.jpg")]),
        ("s3key=images/space%20plus%2Bfile.jpg", [("s3key", "images/space plus+file.jpg")]),
        ("s3key=a&s3key=b", [("s3key", "a"), ("s3key", "b")]),
        ("s3%6Bey=a", [("s3key", "a")]),
        ("image%6Cink=a+b", [("imagelink", "a+b")]),
        ("a", [("a", "")]),
        ("a=b=c&&=d", [("a", "b=c"), ("", "d")]),
        ("k=%F0%9F%98%80", [("k", "😀")]),
        ("k=%zz%", [("k", "%zz%")]),
    ],
)
def test_queries_are_decoded_once_and_in_order(raw: str, pairs: list[tuple[str, str]]) -> None:
    assert list(read(recorded("http_api", rawQueryString=raw)).query) == pairs


@pytest.mark.parametrize(
    "raw", ["k=%ff", "k=%ED%A0%80", "k=" + "a" * parameters.MAX_CHARS, "&".join("a=1" for _ in range(101))]
)
def test_a_query_that_is_not_utf8_or_too_long_is_refused(raw: str) -> None:
    with pytest.raises(RequestError):
        read(recorded("http_api", rawQueryString=raw))
    with pytest.raises(RequestError):
        read(recorded("load_balancer", queryStringParameters={"a": "1", "b": raw.removeprefix("k=")}))


@pytest.mark.parametrize(
    ("arrived", "link"),
    [
        ("http://h/a b.jpg", "http://h/a+b.jpg"),  # REST has turned a bare plus into a space
        ("http://h/a+b.jpg", "http://h/a+b.jpg"),
        ("http://h/a b+c.jpg", "http://h/a b+c.jpg"),
        (" http://h/a.jpg ", "http://h/a.jpg"),
    ],
)
def test_a_plus_in_a_link_survives_a_gateway_that_decodes(arrived: str, link: str) -> None:
    event = recorded("rest_api", multiValueQueryStringParameters={"imagelink": [arrived], "s3key": ["a b"]})
    assert read(event).query == (("imagelink", link), ("s3key", "a b"))


@pytest.mark.parametrize(
    ("changes", "path"),
    [
        ({"rawPath": "/", "routeKey": "GET /"}, "/"),
        ({"rawPath": "/dev", "routeKey": "$default"}, "/"),
        ({"rawPath": "/dev/", "routeKey": "GET /"}, "/"),
        ({"rawPath": "", "routeKey": "$default"}, "/"),
        ({"rawPath": "/developer", "routeKey": "$default"}, "/developer"),
        ({"rawPath": "/dev/dev", "routeKey": "$default"}, "/dev"),
        ({"rawPath": "/nope", "routeKey": "GET /classify"}, "/nope"),
        ({"rawPath": "/dev/v1/models/my%20model%3Apredict", "routeKey": "$default"}, "/v1/models/my model:predict"),
        (
            {"rawPath": "/base/v1/models/m", "routeKey": "GET /v1/models/{name}", "pathParameters": {"name": "m"}},
            "/v1/models/m",
        ),
        ({"rawPath": "/base/a/b", "routeKey": "ANY /{proxy+}", "pathParameters": {"proxy": "a/b"}}, "/a/b"),
        ({"rawPath": "/a/b", "routeKey": "ANY /{proxy+}", "pathParameters": None}, "/a/b"),
    ],
)
def test_stage_and_base_path_are_no_part_of_the_path(changes: dict[str, Any], path: str) -> None:
    assert read(recorded("http_api_named_stage", **changes)).path == path


@pytest.mark.parametrize("name", [name for name in FRONTS if "payload" not in name])
def test_null_fields_are_empty_fields(name: str) -> None:
    nullable = {
        "headers": None,
        "multiValueHeaders": None,
        "queryStringParameters": None,
        "multiValueQueryStringParameters": None,
        "rawQueryString": None,
        "pathParameters": None,
        "body": None,
        "isBase64Encoded": None,
    }
    present = {field: None for field in nullable if field in recorded(name)}
    request = read(recorded(name, **present))
    assert (request.path.removeprefix("/pictures"), request.query, request.headers, request.body) == (
        "/classify",
        (),
        {},
        b"",
    )


@pytest.mark.parametrize(
    "event",
    [
        None,
        [],
        "text",
        7,
        {"Records": []},
        {"requestContext": {}},
        {"version": "2.0", "rawPath": "/"},
        {"version": "2.0", "rawPath": None, "requestContext": {"http": {"method": None}}},
        {"httpMethod": None, "path": "/"},
        {"httpMethod": "GET", "path": 5},
        {"requestContext": {"elb": {}}},
        {"requestContext": 5, "httpMethod": "GET", "path": "/"},
        recorded("http_api", headers=["a"]),
        recorded("http_api", body={"a": 1}),
        recorded("http_api", rawQueryString=5),
        recorded("rest_api", multiValueQueryStringParameters={"a": 5}),
    ],
)
def test_what_is_no_event_is_the_callers_error(event: object) -> None:
    with pytest.raises(RequestError):
        read(event)


REPLY = Response(404, {"content-type": "application/json", "x": "1"}, '{"a":"ä"}')
COMMON = {"statusCode": 404, "body": '{"a":"ä"}', "isBase64Encoded": False}
HEADERS = {"content-type": "application/json", "x": "1"}


@pytest.mark.parametrize(
    ("name", "rendered"),
    [
        ("http_api", {**COMMON, "headers": HEADERS}),
        ("rest_api", {**COMMON, "headers": HEADERS}),
        ("load_balancer", {**COMMON, "headers": HEADERS, "statusDescription": "404 Not Found"}),
        (
            "load_balancer_multi_value",
            {
                **COMMON,
                "multiValueHeaders": {"content-type": ["application/json"], "x": ["1"]},
                "statusDescription": "404 Not Found",
            },
        ),
        ("direct", {"a": "ä", "status": 404}),
    ],
)
def test_each_front_door_is_answered_in_its_form(name: str, rendered: dict[str, Any]) -> None:
    assert events.kind_of(recorded(name)).render(REPLY) == rendered


def test_a_direct_reply_without_error_is_the_body_alone() -> None:
    assert Direct().render(json_response({"predictions": []})) == {"predictions": []}


FUZZ = hypothesis.settings(max_examples=150, deadline=None, database=None)
TEXT = st.text("aZ0/+%=&{}$. é\u2028\ud800\0", max_size=12)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-1, 10) | st.just(1e300) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)
FIELDS = sorted({field for name in FRONTS for field in recorded(name)} | {"Records"})


@FUZZ
@hypothesis.given(st.sampled_from(sorted(FRONTS)), st.dictionaries(st.sampled_from(FIELDS), JSON, max_size=3))
def test_an_event_with_damaged_fields_is_read_or_refused(name: str, damage: dict[str, Any]) -> None:
    with contextlib.suppress(RequestError):
        request = read(recorded(name, **damage))
        assert isinstance(request.path, str)
        assert isinstance(request.body, bytes)
        assert all(isinstance(text, str) for pair in request.query for text in pair)


@FUZZ
@hypothesis.given(JSON)
def test_any_json_is_read_or_refused(event: Any) -> None:
    with contextlib.suppress(RequestError):
        assert isinstance(read(event), events.Request)
