"""Conditional requests (RFC 9110, 13): what a stored picture's classification is known by, and who has it already."""

from __future__ import annotations

import hashlib
import json
import re
from typing import TYPE_CHECKING

from classifier.web.responses import prefers_png, prefers_text

if TYPE_CHECKING:
    from collections.abc import Mapping

    from classifier.web.events import Request

_TAGS = re.compile(r'(?:W/)?"([\x21\x23-\x7e\x80-\xff]*)"')


def entity_tag(request: Request, version: str, object_tag: str) -> str:
    """The answer's ETag: of the model's version, the object's own ETag, every parameter, and JSON, text or picture.

    Weak, as two such answers mean the same but differ in their timings. Hashed, as the object's tag may be the MD5 of
    its content, which no caller needs to know.
    """
    accept = request.headers.get("accept", "")
    form: bool | str = prefers_text(accept)
    if any(name == "explain" for name, _ in request.query) and prefers_png(accept):
        form = "png"
    decisive = json.dumps([version, object_tag, sorted(request.query), form])
    return f'W/"{hashlib.sha256(decisive.encode()).hexdigest()[:32]}"'


def is_known(request: Request, tag: str) -> bool:
    """Whether If-None-Match names the tag; compared weakly, as RFC 9110 (13.1.2) wants. `*` names every one."""
    given = request.headers.get("if-none-match", "").strip()
    return given == "*" or tag.removeprefix('W/"').removesuffix('"') in _TAGS.findall(given)


def caching_headers(tag: str, cache_control: str) -> Mapping[str, str]:
    """What a stored picture's classification says of itself to caches, whether it is sent or not."""
    return {"etag": tag, "cache-control": cache_control, "vary": "accept"}
