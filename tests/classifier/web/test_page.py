"""The policy that the page is sent with."""

from __future__ import annotations

import base64
import hashlib
from html.parser import HTMLParser
from typing import TYPE_CHECKING

import pytest

from classifier.web.page import docs_response, page_response

if TYPE_CHECKING:
    from collections.abc import Callable

    from classifier.web.responses import Response


class _Inline(HTMLParser):
    """Collects what a browser would run or apply: scripts, styles, handlers and style attributes."""

    def __init__(self) -> None:
        super().__init__()
        self.code: dict[str, list[str]] = {"script": [], "style": []}
        self.attributes: list[str] = []
        self._inside = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._inside = tag
        self.attributes += [name for name, _ in attrs if name.startswith("on") or name == "style"]

    def handle_endtag(self, tag: str) -> None:
        del tag
        self._inside = ""

    def handle_data(self, data: str) -> None:
        if self._inside in self.code:
            self.code[self._inside].append(data)


@pytest.mark.parametrize("respond", [page_response, docs_response])
def test_the_policy_names_exactly_the_pages_own_script_and_style(respond: Callable[[], Response]) -> None:
    response = respond()
    page = _Inline()
    page.feed(response.body)
    policy = dict(part.strip().split(" ", 1) for part in response.headers["content-security-policy"].split(";"))
    for tag, blocks in page.code.items():
        digests = [base64.b64encode(hashlib.sha256(block.encode()).digest()).decode() for block in blocks]
        assert blocks
        assert policy[f"{tag}-src"].split() == [f"'sha256-{digest}'" for digest in digests]
    assert page.attributes == []
    assert policy["default-src"] == policy["base-uri"] == policy["form-action"] == policy["frame-ancestors"] == "'none'"
    assert "unsafe" not in str(policy)


def test_the_page_may_be_shown_in_the_frames_that_a_setting_names() -> None:
    policy = page_response("https://shop.example https://*.blog.example").headers["content-security-policy"]
    assert policy.endswith("; frame-ancestors https://shop.example https://*.blog.example")


def test_the_page_is_html_that_is_checked_for_a_newer_one() -> None:
    response = page_response()
    assert response.status == 200
    assert response.headers["content-type"] == "text/html; charset=utf-8"
    assert response.headers["cache-control"] == "no-cache"
    assert response.headers["x-content-type-options"] == "nosniff"
