"""The pages at `/` and `/docs`: a file each, with a policy that allows its own script and style and nothing else."""

from __future__ import annotations

import base64
import hashlib
import re
from copy import replace
from typing import TYPE_CHECKING

from classifier.web.responses import Response

if TYPE_CHECKING:
    from collections.abc import Sequence


def page_response(embed_origins: str = "", *, shown: Sequence[str] = ()) -> Response:
    """The page with its Content-Security-Policy (https://www.w3.org/TR/CSP3/), whose hashes name the inline code.

    `embed_origins` are the sites that may show it in a frame of theirs, separated by spaces; none by default.
    `shown` are the ids of what has a place from the beginning, so that nothing moves when its content arrives.
    """
    page = _page("page.html", embed_origins)
    body = page.body
    for name in shown:
        body = body.replace(f'id="{name}" hidden', f'id="{name}"')
    return replace(page, body=body)


def docs_response() -> Response:
    """The API's description for people, with forms to try it: reads `openapi.json` in the browser."""
    return _page("docs.html", "")


def _page(name: str, embed_origins: str) -> Response:
    from pathlib import Path

    html = (Path(__file__).parent / name).read_text(encoding="utf-8")
    policy = (
        f"default-src 'none'; script-src {_hashes('script', html)}; style-src {_hashes('style', html)}; "
        "connect-src 'self'; img-src blob: data: http: https:; base-uri 'none'; form-action 'none'; "
        f"frame-ancestors {embed_origins or "'none'"}"
    )
    return Response(
        200,
        {
            "content-type": "text/html; charset=utf-8",
            "content-security-policy": policy,
            "cache-control": "no-cache",
            "referrer-policy": "no-referrer",
            "x-content-type-options": "nosniff",
        },
        html,
    )


def _hashes(tag: str, html: str) -> str:
    blocks = re.findall(rf"<{tag}[^>]*>(.*?)</{tag}>", html, re.DOTALL)
    digests = (hashlib.sha256(block.encode()).digest() for block in blocks)
    return " ".join(f"'sha256-{base64.b64encode(digest).decode()}'" for digest in digests)
