"""Good requests: every picture through every way in, some of them odd, all of them to be answered."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING
from urllib.parse import quote

import urllib3

from tests.support.origin import Origin, redirect, reply
from tools.chaos.cases import Case, Refusal
from tools.chaos.secrets import SIGNED

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tests.support.origin import Behaviour, Peer

KEYS = "images/space plus+ünd/"
SERVING = "/v1/models/classifier:predict"
JSON = {"content-type": "application/json"}
FULL_BODY_BYTES = 4_690_000
"""A body of this size makes an event just under Lambda's 6 MB, once it is base64."""


def behaviours(pictures: Mapping[str, bytes]) -> dict[str, Behaviour]:
    """An origin's paths: each picture as it is, behind redirects, and in pieces."""
    paths: dict[str, Behaviour] = {}
    for name, data in pictures.items():
        paths[f"/good/{name}"] = reply(data)
        paths[f"/moved/{name}"] = redirect(f"/again/{name}")
        paths[f"/again/{name}"] = redirect(f"/good/{name}", "307 Temporary Redirect")
        paths[f"/pieces/{name}"] = _in_pieces(data)
    return paths


def _in_pieces(data: bytes) -> Behaviour:
    def behave(peer: Peer) -> None:
        peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(data))
        for at in range(0, len(data), len(data) // 4 + 1):
            peer.send(data[at : at + len(data) // 4 + 1])
            peer.pause(0.05)

    return behave


def cases(pictures: Mapping[str, bytes], origin: Origin) -> Iterator[Case]:
    """Every good request."""
    for name, data in pictures.items():
        for way in ("good", "moved", "pieces"):
            link = quote(f"{origin.url(f'/{way}/{name}')}?{SIGNED}", safe="")
            target = f"/classify?top=10&imagelink={link}"
            yield Case(kind="link", name=f"{way} {name}", method="GET", target=target, wants=(name,))
        key = f"/classify?top=10&s3key={quote(KEYS + name, safe='')}"
        yield Case(kind="s3key", name=name, method="GET", target=key, wants=(name,), by_key=True)
        yield Case(kind="upload", name=name, headers={"content-type": "image/any"}, body=data, wants=(name,))
        form, kind = urllib3.encode_multipart_formdata({"file": (name, data, "image/any"), "top": "10"})
        yield Case(kind="form", name=name, target="/classify", headers={"content-type": kind}, body=form, wants=(name,))
        encoded = base64.b64encode(data).decode()
        yield Case(kind="base64", name=name, headers=JSON, body=_json(image=encoded), wants=(name,))
        body = _json(instances=[{"b64": encoded}])
        yield Case(kind="/v1", name=name, target=SERVING, headers=JSON, body=body, wants=(name,), form="serving")
    yield from _several(pictures, origin)
    yield _full(pictures)
    yield Case(kind="/model", name="", method="GET", target="/model", wants=(), form="model")
    yield Case(kind="/health", name="", method="GET", target="/health", wants=(), form="health")


def _several(pictures: Mapping[str, bytes], origin: Origin) -> Iterator[Case]:
    """Several pictures in one request, of which one or two are refused without harm to the others."""
    names = sorted(pictures)
    for first, second, third in zip(names, names[1:], names[2:], strict=False):
        images: list[dict[str, str]] = [
            {"s3key": KEYS + first},
            {"image": base64.b64encode(pictures[second]).decode()},
            {"image": base64.b64encode(pictures[second][:200]).decode()},
            {"imagelink": origin.url(f"/good/{third}")},
            {"imagelink": "http://10.0.0.1/"},
        ]
        wants = (first, second, Refusal(422, "invalid_image"), third, Refusal(400, "url_host_not_allowed"))
        yield Case(
            kind="several",
            name=f"{first} ...",
            headers=JSON,
            body=_json(images=images),
            wants=wants,
            form="several",
            by_key=True,
        )


def _full(pictures: Mapping[str, bytes]) -> Case:
    """A picture with so much behind its end that the event is nearly as large as events may be."""
    name = next(name for name in pictures if name.endswith(".jpg"))
    body = pictures[name].ljust(FULL_BODY_BYTES, b"\0")
    return Case(kind="full", name="just under 6 MB", headers={"content-type": "image/jpeg"}, body=body, wants=(name,))


def _json(**document: object) -> bytes:
    return json.dumps(document).encode()
