"""Hostile requests, each with its one right refusal: links, the servers behind them, pictures, and broken requests."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING
from urllib.parse import quote

from classifier.errors import ClassifierError, FetchTimeoutError, UrlHostError
from classifier.links.link import parse_link
from tests.support import pictures, servers
from tests.support.links import LINKS
from tests.support.origin import redirect
from tools.chaos.cases import Case, Refusal
from tools.chaos.good import JSON, KEYS, SERVING
from tools.chaos.secrets import SIGNED

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tests.support.origin import Behaviour, Origin

OVERFULL_BODY_BYTES = 4_730_000
"""A body of this size makes an event just over Lambda's 6 MB, once it is base64."""
_LONGEST_LINK = 8000
_LIMITED = (
    *("length over the limit", "over the limit to the end", "one byte over the limit from gzip"),
    "gzip members over the limit",
    *("chunk extensions over the limit", "endless tiny chunks"),
)
"""Servers whose verdict is about a smaller limit of bytes than a campaign's."""
_ELSEWHERE = ("redirect to //127.0.0.2/", "redirect to http://metadata.invalid/")
"""Servers that lead to what is loosened for a campaign, or to a name server."""


def behaviours() -> dict[str, Behaviour]:
    """An origin's paths, a misbehaving server each."""
    bad = {f"/bad/{number}": behaviour for number, (_, behaviour, _) in enumerate(_bad_servers())}
    return (
        bad
        | {"/": redirect("/")}
        | {f"/stalls/{number}": behaviour for number, behaviour in enumerate(servers.STALLS.values())}
    )


def _bad_servers() -> list[tuple[str, Behaviour, type[ClassifierError]]]:
    left_out = (*_LIMITED, *_ELSEWHERE)
    return [(name, *found) for name, found in servers.BAD.items() if name not in left_out]


def cases(good: Mapping[str, bytes], origin: Origin) -> Iterator[Case]:
    """Every hostile request."""
    yield from _links()
    for number, (name, _, error) in enumerate(_bad_servers()):
        yield _link("hostile server", name, origin.url(f"/bad/{number}?{SIGNED}"), error)
    for number, name in enumerate(servers.STALLS):
        if name == "trickles 100s":
            continue  # refused before a campaign's time is up: there are too many
        yield _link("stalling server", name, origin.url(f"/stalls/{number}?{SIGNED}"), FetchTimeoutError)
    yield from _pictures(good)
    yield from _requests(good, origin)
    yield from _keys()


def _link(kind: str, name: str, link: str, error: type[ClassifierError]) -> Case:
    target = f"/classify?imagelink={quote(link, safe='')}"
    return _refused(kind, name, error.status, error.code, method="GET", target=target)


def _refused(
    kind: str,
    name: str,
    status: int,
    code: str,
    *,
    target: str = "/classify",
    method: str = "POST",
    headers: Mapping[str, str] | None = None,
    body: bytes = b"",
    by_key: bool = False,
) -> Case:
    return Case(
        kind=kind,
        name=name,
        target=target,
        wants=(Refusal(status, code),),
        form="refused",
        method=method,
        headers=headers or {},
        body=body,
        by_key=by_key,
    )


def _links() -> Iterator[Case]:
    """Links that are refused as they stand, whatever a name server says; the rest of the table is for unit tests."""
    for link, verdict in LINKS:
        if not isinstance(verdict, type) or not link.isprintable() or not 0 < len(link) <= _LONGEST_LINK:
            continue
        try:
            address = parse_link(link).address
        except ClassifierError as error:
            yield _link("hostile link", link, link, type(error))
            continue
        if verdict is UrlHostError and address is not None and not address.is_loopback:
            yield _link("hostile link", link, link, verdict)


def _pictures(good: Mapping[str, bytes]) -> Iterator[Case]:
    photo = pictures.photo()
    jpeg, png = pictures.encoded(photo, "JPEG"), pictures.encoded(photo, "PNG")
    flood = pictures.with_jpeg_segments(jpeg, *[pictures.jpeg_segment(0xEF, bytes(10))] * 2000)
    hostile: dict[str, tuple[bytes, int, str]] = {
        "HTML": (b"<!doctype html><html><script>alert(1)</script></html>", 415, "unsupported_image_format"),
        "SVG": (b'<svg xmlns="http://www.w3.org/2000/svg"/>', 415, "unsupported_image_format"),
        "EPS": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", 415, "unsupported_image_format"),
        "TIFF": (pictures.encoded(photo, "TIFF"), 415, "unsupported_image_format"),
        "bomb": (pictures.bomb_png(60_000, 60_000), 422, "image_dimensions_too_large"),
        "thin bomb": (pictures.bomb_png(70_000, 1), 422, "image_dimensions_too_large"),
        "many scans": (pictures.many_scans(photo, 5000), 422, "image_too_complex"),
        "flood of metadata": (flood, 422, "image_too_complex"),
        "wrong checksum": (png[:-20] + b"\0" + png[-19:], 422, "invalid_image"),
        "short pixels": (pictures.png(500, 500, 8, 2, b"\0" * 1000), 422, "invalid_image"),
        "empty scan": (pictures.encoded(photo, "WEBP")[:40], 422, "invalid_image"),
    }
    for name, data in good.items():
        if name.endswith((".jpg", ".png", ".webp", ".gif", ".bmp")):
            hostile[f"cut {name}"] = (data[: len(data) * 2 // 3], 422, "invalid_image")
    for name, (data, status, code) in hostile.items():
        yield _refused("hostile picture", name, status, code, headers={"content-type": "image/png"}, body=data)
        body = json.dumps({"instances": [{"b64": base64.b64encode(data).decode()}]}).encode()
        yield _refused("hostile /v1", name, 400, "", target=SERVING, headers=JSON, body=body)


def _requests(good: Mapping[str, bytes], origin: Origin) -> Iterator[Case]:
    form = {"content-type": "multipart/form-data; boundary=b"}
    picture = next(iter(good.values()))
    link, key = quote(origin.url(f"/good/{next(iter(good))}"), safe=""), quote(KEYS, safe="")
    malformed: dict[str, tuple[Mapping[str, str], bytes]] = {
        "JSON cut off": (JSON, b'{"image": "'),
        "deep JSON": (JSON, b'{"images":' + b"[" * 200_000),
        "deep objects": (JSON, b'{"a":' * 100_000),
        "JSON list": (JSON, b"[1]"),
        "JSON with a name twice": (JSON, b'{"s3key": "a", "s3key": "b"}'),
        "a number for a link": (JSON, b'{"imagelink": 5}'),
        "a number of 5,000 digits": (JSON, b'{"top": ' + b"9" * 5000 + b"}"),
        "base64 that is none": (JSON, b'{"image": "%%%"}'),
        "base64 cut off": (JSON, b'{"image": "YWJjZ"}'),
        "top of nothing": (JSON, b'{"image": "YQ==", "top": 0}'),
        "form without parts": (form, b"x"),
        "form cut off": (form, b'--b\r\nContent-Disposition: form-data; name="file"\r\n\r\n' + picture),
        "form without boundary": ({"content-type": "multipart/form-data"}, b"--b--"),
        "form of a thousand parts": (
            form,
            b'--b\r\nContent-Disposition: form-data; name="a"\r\n\r\n1\r\n' * 1000 + b"--b--",
        ),
    }
    for name, (headers, body) in malformed.items():
        yield _refused("malformed", name, 400, "invalid_request", headers=headers, body=body)
    yield _refused(
        "malformed", "long query", 400, "invalid_request", method="GET", target=f"/classify?a={'a' * 20_000}"
    )
    yield _refused("malformed", "not UTF-8", 400, "invalid_request", method="GET", target="/classify?s3key=%ff")
    yield _refused("malformed", "nothing", 400, "missing_input")
    both = f"/classify?imagelink={link}&s3key={key}"
    yield _refused("malformed", "both", 400, "ambiguous_input", method="GET", target=both)
    yield _refused("malformed", "unknown path", 404, "not_found", method="GET", target="/.env")
    yield _refused("malformed", "unknown method", 405, "method_not_allowed", method="DELETE")
    yield _refused("malformed", "deep /v1", 400, "", target=SERVING, headers=JSON, body=b'{"instances":' + b"[" * 9999)
    large = picture.ljust(OVERFULL_BODY_BYTES, b"\0")
    yield _refused("over 6 MB", "just over 6 MB", 413, "", headers={"content-type": "image/jpeg"}, body=large)


def _keys() -> Iterator[Case]:
    refused = (
        "models/dev/architecture.json",
        "images/../models/dev/serving.json",
        "images/",
        "images//a",
        "/etc/passwd",
    )
    for key in (*refused, "images/\0", "images/" + "k" * 2000):
        target = f"/classify?s3key={quote(key, safe='')}"
        yield _refused("hostile key", key[:40], 400, "invalid_s3_key", method="GET", target=target)
    for key in ("images/none.jpg", f"images/none.jpg?{SIGNED}"):
        target = f"/classify?s3key={quote(key, safe='')}"
        yield _refused("missing key", key, 404, "s3_object_not_found", method="GET", target=target, by_key=True)
