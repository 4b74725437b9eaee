"""The page in a real Chromium: what it offers where the service has it: examples, models, heat maps, feedback."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.classifier.web.page.test_page_for_everybody import axe
from tests.classifier.web.page.visits import AXE, DEMO, PAGE, Visit, api_answer, missing

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from playwright.sync_api import Browser, Route

pytestmark = [pytest.mark.browser, pytest.mark.lambda_]
HEAT = {
    "label": "hat",
    "method": "class activation map",
    "box": [0.5, 0.0, 1.0, 0.5],
    "map": [[0.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 0.0]],
}
HAT = {"predictions": [{"label": "hat", "score": 0.9}], "model": {"name": "clothing", "version": "1"}}
HAT |= {"image": {"format": "JPEG", "width": 400, "height": 400}, "request_id": "r-7"}
MODEL = {"name": "clothing", "labels": ["cap", "hat", "scarf"], "version": "1", "engine": "litert"}
PIXELS = """(places) => { const map = document.getElementById("map"), { width, height } = map;
    const { data } = map.getContext("2d").getImageData(0, 0, width, height);
    const at = ([x, y]) => 4 * (width * Math.floor(y * height) + Math.floor(x * width));
    return places.map((place) => [...data.slice(at(place), at(place) + 4)]); }"""


@pytest.fixture
def stubbed(browser: Browser, site: str) -> Iterator[Visit]:
    """A visit to a service that draws heat maps and takes feedback, which `said` collects."""
    visit = Visit(browser, "about:blank", model=False, bypass_csp=True)
    visit.page.route("**/model*", lambda route: route.fulfill(json={**MODEL, "feedback": True}))

    def answer(route: Route) -> None:
        heat = {"explanation": HEAT} if "explain=true" in route.request.url else {}
        route.fulfill(json=HAT | heat)

    visit.page.route("**/classify*", answer)
    visit.page.goto(site)
    visit.page.wait_for_selector("#known:not([hidden])")
    yield visit
    visit.context.close()
    assert visit.faults == []


def test_the_page_is_small() -> None:
    assert PAGE.stat().st_size < 60_000


def test_an_example_is_classified_as_it_is(visit: Visit, site: str) -> None:
    page = visit.page
    page.wait_for_selector("#examples-list li:nth-child(2)")
    assert page.locator("#examples-list li").count() == 2
    assert page.get_attribute("#examples-list img", "alt") == "Example 1"
    page.click("#examples-list li:last-child button")
    name = (page.get_attribute("#examples-list li:last-child button", "title") or "").rpartition("/")[2]
    (sample,) = DEMO.rglob(name)
    assert [label for label, _ in visit.answer()] == [label for label, _ in api_answer(site, sample)]
    assert f"@{name}" in visit.program()
    assert visit.fact("sent").endswith("unchanged")


def test_a_service_without_examples_or_models_has_no_place_for_them(browser: Browser, site: str) -> None:
    visit = Visit(browser, "about:blank", model=False)
    visit.page.route("**/model", lambda route: route.fulfill(json=MODEL))
    visit.page.route("**/examples", lambda route: route.fulfill(json={"examples": []}))
    visit.page.goto(site)
    visit.page.wait_for_selector("#examples", state="hidden")
    assert visit.page.is_hidden("#models")
    assert visit.page.inner_text("#about") == "3 labels"
    visit.context.close()


def test_another_model_is_chosen_and_kept_in_the_link(visit: Visit, site: str, sample: Path) -> None:
    page = visit.page
    assert [option.inner_text() for option in page.locator("#model option").all()] == ["clothing", "second"]
    visit.give(sample)
    visit.answer()
    page.select_option("#model", "second")
    page.wait_for_function("() => document.getElementById('fact-model').textContent.startsWith('second')")
    visit.answer()
    assert page.url == f"{site}?model=second"
    assert page.locator("#strip-list li").count() == 2  # the same picture by both, to compare
    assert f"{site}classify?model=second'" in visit.program()
    page.reload()
    page.wait_for_function("() => document.getElementById('model').value === 'second'")
    assert f"{site}model?model=second" in visit.asked
    page.select_option("#model", "clothing")
    assert page.url == site


def test_a_picture_looked_at_again_is_asked_of_the_model_that_is_chosen(visit: Visit, sample: Path) -> None:
    page = visit.page
    visit.give(sample, sample)
    page.wait_for_function("() => document.querySelectorAll('#strip-list li').length === 2")
    page.click("#clear")
    page.select_option("#model", "second")
    page.locator("#strip-list button").last.click()
    visit.answer()
    page.wait_for_function("() => document.getElementById('fact-model').textContent.startsWith('second')")
    assert page.locator("#strip-list li").count() == 2


def test_a_link_with_a_model_that_is_not_there_is_told(browser: Browser, site: str) -> None:
    visit = Visit(browser, f"{site}?model=gone", model=False)
    assert visit.problem() == "There is no model called gone here. The service's own one answers."
    visit.page.wait_for_function("() => document.getElementById('model').value === 'clothing'")
    visit.context.close()


def test_accuracy_and_card_are_told(browser: Browser, site: str) -> None:
    visit = Visit(browser, "about:blank", model=False)
    model: dict[str, Any] = {**MODEL, "accuracy": 0.9231, "card": "https://example.com/card"}
    visit.page.route("**/model", lambda route: route.fulfill(json=model))
    visit.page.goto(site)
    visit.page.wait_for_selector("#about a")
    assert visit.page.inner_text("#about") == "3 labels · 92.3% right when tested · About this model"
    assert visit.page.get_attribute("#about a", "href") == "https://example.com/card"
    for card in ("javascript:alert(1)", "Trained on 3,000 photos"):
        model["card"] = card
        visit.page.reload()
        visit.page.wait_for_selector("#about span:nth-child(3)")
        assert visit.page.inner_text("#about span:nth-child(3)") == card
    visit.context.close()


def test_labels_are_folded(visit: Visit) -> None:
    assert visit.page.is_hidden("#all-labels")
    visit.page.click("#labels summary")
    visit.page.wait_for_selector("#all-labels li:nth-child(10)")


def test_a_heat_map_is_drawn_over_its_box_and_told_in_words(stubbed: Visit, sample: Path) -> None:
    page = stubbed.page
    stubbed.give(sample)
    stubbed.answer()
    assert page.is_hidden("#map")
    page.check("#why")
    page.wait_for_selector("#map:not([hidden])")
    hot, cold, outside = page.evaluate(PIXELS, [[0.75, 0.25], [0.52, 0.02], [0.25, 0.75]])
    assert hot[0] > 200 > hot[2]
    assert hot[1] > 150 > cold[1]
    assert hot[3] > cold[3] > outside[3] == 0
    assert page.get_attribute("#map", "aria-label") == (
        "Heat map over the picture: what counted most for “hat” is in the upper right."
    )
    assert page.get_attribute("#why-words", "title") == "Method: class activation map"
    assert page.url.endswith("?explain=true")
    assert "explain=true" in stubbed.program()
    page.uncheck("#why")
    assert page.is_hidden("#map")
    assert page.is_hidden("#why-words")
    page.check("#why")
    assert page.is_visible("#map")  # it is known already
    assert sum("explain=true" in url for url in stubbed.asked if "classify" in url) == 1
    assert page.locator("#strip-list li").count() == 1
    page.click("#clear")
    assert page.is_hidden("#map")


def test_the_services_own_heat_map_is_drawn(visit: Visit, sample: Path) -> None:
    visit.page.check("#why")
    visit.give(sample)
    label = visit.answer()[0][0]
    visit.page.wait_for_selector("#map:not([hidden])")
    assert f"counted most for “{label}”" in visit.page.inner_text("#why-words")
    assert visit.page.get_attribute("#why-words", "title") == "Method: class activation map"


def test_a_service_that_draws_none_says_so(browser: Browser, site: str, sample: Path) -> None:
    visit = Visit(browser, f"{site}?explain=true")
    visit.page.route("**/classify*", lambda route: route.fulfill(json=HAT))
    visit.give(sample)
    visit.answer()
    assert visit.page.is_checked("#why")
    assert visit.page.inner_text("#why-words") == "This service draws no heat maps."
    visit.context.close()


@pytest.mark.parametrize(
    ("status", "answer", "words"),
    [
        (200, {}, "Thank you. Your answer is kept with the picture."),
        (404, {}, "This picture was not kept: only some are. Thank you all the same."),
        (400, {"error": {"message": "label is 'x'."}}, "label is 'x'."),
        (502, {}, "The server didn't take it. Try again later."),
    ],
)
def test_a_wrong_answer_can_be_told(
    stubbed: Visit, sample: Path, status: int, answer: dict[str, Any], words: str
) -> None:
    page, said = stubbed.page, []

    def take(route: Route) -> None:
        said.append(route.request.post_data_json)
        route.fulfill(status=status, json=answer)

    page.route("**/feedback", take)
    stubbed.give(sample)
    stubbed.answer()
    assert "pictures given here are kept" in page.inner_text("footer")
    page.click("#wrong summary")
    page.wait_for_selector("#right-label option:nth-child(4)", state="attached")
    options = [option.inner_text() for option in page.locator("#right-label option").all()]
    assert options == ["Choose…", "cap", "scarf", "none of these"]
    page.select_option("#right-label", "none of these")
    page.click("#wrong-form button")
    page.locator("#wrong-said", has_text=words).wait_for()
    assert said == [{"request_id": "r-7", "label": "none of these"}]
    assert page.is_visible("#wrong-form") is (status != 200)
    if status == 200:
        assert page.evaluate("document.activeElement.id") == "wrong-said"


def test_feedback_is_not_asked_for_where_nobody_takes_it(visit: Visit, sample: Path) -> None:
    visit.give(sample)
    visit.answer()
    assert visit.page.is_hidden("#wrong")
    assert visit.page.is_hidden("#kept")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_in_any_of_it(stubbed: Visit, sample: Path, scheme: Any) -> None:
    if not AXE.exists():
        missing("axe-core (npm install)")
    page = stubbed.page
    page.set_viewport_size({"width": 320, "height": 800})
    page.emulate_media(color_scheme=scheme)
    stubbed.give(sample)
    stubbed.answer()
    page.check("#why")
    page.wait_for_selector("#map:not([hidden])")
    for folded in ("#wrong", "#labels", "#details", "#program"):
        page.click(f"{folded} summary")
    page.add_script_tag(path=AXE)
    assert axe(stubbed) == []
    assert not page.evaluate("document.documentElement.scrollWidth > innerWidth")
