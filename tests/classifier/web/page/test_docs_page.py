"""`/docs` in a real Chromium: the whole description, and forms that really ask."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from classifier.web.openapi import openapi_response
from tests.classifier.web.page.test_page_for_everybody import axe
from tests.classifier.web.page.visits import AXE, SCHEMES, Visit, missing

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from playwright.sync_api import Browser

API = json.loads(openapi_response().body)
pytestmark = [pytest.mark.browser, pytest.mark.lambda_]


@pytest.fixture
def docs(browser: Browser, site: str) -> Iterator[Visit]:
    visit = Visit(browser, f"{site}docs", model=False)
    visit.page.wait_for_selector("#operations details")
    yield visit
    visit.context.close()
    assert visit.faults == []
    assert [url for url in visit.asked if not url.startswith(site)] == []


def opened(visit: Visit, method: str, path: str) -> str:
    """Unfold one operation; its selector."""
    place = f"details:has(summary .method:text-is('{method}')):has(summary code:text-is('{path}'))"
    visit.page.click(f"{place} summary")
    return place


def asked(visit: Visit, place: str) -> tuple[str, str]:
    """Send the form of an operation: the reply's first line, and its body."""
    visit.page.click(f"{place} button")
    visit.page.wait_for_selector(f"{place} .reply pre")
    return visit.page.inner_text(f"{place} .reply p"), visit.page.inner_text(f"{place} .reply pre")


def test_every_operation_is_there_once(docs: Visit) -> None:
    shown = [
        (one.locator(".method").inner_text().lower(), one.locator("code").inner_text())
        for one in docs.page.locator("#operations summary").all()
    ]
    described = [(method, path) for path, item in API["paths"].items() for method in item if method in ("get", "post")]
    assert sorted(shown) == sorted(described)


def test_a_form_asks_the_service(docs: Visit, sample: Path) -> None:
    place = opened(docs, "POST", "/classify")
    docs.page.fill(f"{place} input[name=top]", "2")
    docs.page.set_input_files(f"{place} input[type=file]", sample)
    status, body = asked(docs, place)
    assert (status[:3], len(json.loads(body)["predictions"])) == ("200", 2)


@pytest.mark.parametrize("kind", ["application/json", "application/x-www-form-urlencoded"])
def test_the_example_of_a_body_is_answered_also_with_the_fields_above_it(docs: Visit, kind: str) -> None:
    place = opened(docs, "POST", "/classify")
    docs.page.fill(f"{place} input[name=top]", "2")
    docs.page.select_option(f"{place} select[name=kind]", kind)
    status, body = asked(docs, place)
    assert (status[:3], len(json.loads(body)["predictions"])) == ("200", 2)


def test_a_refusal_is_shown_as_it_is(docs: Visit) -> None:
    place = opened(docs, "GET", "/classify")
    docs.page.fill(f"{place} input[name=imagelink]", "http://127.0.0.1/")
    status, body = asked(docs, place)
    assert status.startswith("400")
    assert "url_host_not_allowed" in body


@SCHEMES
@pytest.mark.parametrize("width", [320, 1280])
def test_axe_finds_nothing_and_nothing_scrolls_sideways(browser: Browser, site: str, scheme: str, width: int) -> None:
    if not AXE.exists():
        missing("axe-core (npm install)")
    settings = {"viewport": {"width": width, "height": 900}, "color_scheme": scheme, "bypass_csp": True}
    visit = Visit(browser, f"{site}docs", model=False, **settings)
    visit.page.wait_for_selector("#operations details")
    opened(visit, "POST", "/classify")
    visit.page.add_script_tag(path=AXE)
    assert axe(visit) == []
    assert not visit.page.evaluate("document.documentElement.scrollWidth > innerWidth")
    visit.context.close()
