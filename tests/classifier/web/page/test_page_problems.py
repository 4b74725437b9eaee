"""The page in a real Chromium: failures are sentences."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from local.cloud import Config, LocalLambda
from tests.classifier.web.page.visits import Visit, config, upload

if TYPE_CHECKING:
    from collections.abc import Callable

    from playwright.sync_api import Browser, Route


@pytest.mark.browser
@pytest.mark.lambda_
class TestProblems:
    """Failures are sentences."""

    def test_file_that_is_no_picture_gets_the_servers_sentence(self, visit: Visit) -> None:
        visit.give(upload("notes.json", b'{"imagelink": "https://example.com/a.jpg"}', "application/json"))
        sentence = visit.problem()
        assert "picture" in sentence
        assert sentence.endswith(".")
        assert visit.page.locator("#problem").get_attribute("role") == "alert"
        assert visit.page.inner_text("#words-title") == "notes.json"
        assert not visit.page.is_visible("#answer")

    def test_large_file_that_is_no_picture_is_not_sent(self, visit: Visit, tmp_path: Path) -> None:
        film = tmp_path / "film.mp4"
        film.write_bytes(bytes(5_000_000))
        visit.give(film)
        assert visit.problem() == (
            "This file is too large to send as it is (5.0 MB), and the browser can't read it as a picture to shrink it."
        )
        assert not any("classify" in url for url in visit.asked)

    def test_refused_link_gets_the_servers_sentence_and_is_not_asked_by_the_browser(self, visit: Visit) -> None:
        visit.give_link("http://127.0.0.1/secret.jpg")
        assert "not public" in visit.problem()
        assert not any(url.startswith("http://127.0.0.1/secret") for url in visit.asked)
        visit.give_link("ftp://example.com/a.jpg")
        assert visit.problem("http")

    def test_empty_link_and_empty_file_are_named(self, visit: Visit) -> None:
        visit.give_link("  ")
        assert visit.problem() == "Paste a link to a picture first."
        assert visit.page.get_attribute("#link", "aria-invalid") == "true"
        visit.give(upload("empty.jpg", b"", "image/jpeg"))
        assert visit.problem("empty") == "This file is empty."

    def test_being_offline_is_said_and_trying_again_works(self, visit: Visit, sample: Path) -> None:
        visit.context.set_offline(True)
        visit.give(sample)
        assert visit.problem().startswith("You are offline.")
        visit.context.set_offline(False)
        visit.page.click("#again")
        assert visit.answer()

    def test_loading_model_is_waited_for_with_a_countdown(self, visit: Visit, sample: Path) -> None:
        message = "The model is still loading. Please try again in a few seconds."
        error = {"error": {"code": "model_loading", "message": message}, "request_id": "r"}
        times = 0

        def twice(route: Route) -> None:
            nonlocal times
            times += 1
            if times > 2:
                route.continue_()
            else:
                route.fulfill(status=503, headers={"Retry-After": "2"}, json=error)

        visit.page.route("**/classify", twice)
        visit.give(sample)
        visit.page.wait_for_selector("#waiting:not([hidden])")
        assert visit.page.inner_text("#waiting-text") == "The model is still loading."
        assert re.fullmatch(r"Trying again in [12] s", visit.page.inner_text("#count"))
        assert visit.answer()
        assert times == 3

    def test_waiting_can_be_stopped(self, visit: Visit, sample: Path) -> None:
        visit.page.route("**/classify", lambda route: route.fulfill(status=503, headers={"Retry-After": "30"}, body=""))
        visit.give(sample)
        visit.page.click("#stop")
        visit.page.wait_for_selector("#idle:not([hidden])")
        assert not visit.page.is_visible("#waiting")

    def test_a_server_that_takes_long_can_be_given_up(self, visit: Visit, sample: Path) -> None:
        visit.page.route("**/classify", lambda _: None)  # no answer
        visit.give(sample)
        assert visit.page.is_hidden("#give-up")
        visit.page.click("#give-up")
        visit.page.wait_for_selector("#result[aria-busy=false]")
        assert visit.page.is_visible("#idle")
        assert visit.page.is_hidden("#give-up")

    @pytest.mark.parametrize(
        ("status", "body", "sentence"),
        [
            (413, '{"message":"Request Entity Too Large"}', "The picture is too large for the server (18 KB)."),
            (429, '{"message":"Too Many Requests"}', "Too many requests just now. Wait a moment, then try again."),
            (
                403,
                '{"message":"Forbidden"}',
                "This service answers only callers with a key or a sign-in, which this page can't give.",
            ),
            (200, "<p>Please log in to the hotel's network", "The server's answer can't be understood."),
            (500, "", "The server refused the request (status 500) without giving a reason."),
        ],
    )
    def test_answer_that_is_not_ours_becomes_a_sentence(
        self, visit: Visit, sample: Path, status: int, body: str, sentence: str
    ) -> None:
        sentence = re.sub(r"\(.* KB\)", f"({round(sample.stat().st_size / 1000)} KB)", sentence)
        visit.page.route("**/classify", lambda route: route.fulfill(status=status, body=body))
        visit.give(sample)
        assert visit.problem() == sentence

    @pytest.mark.parametrize("status", [502, 503, 504])
    def test_gateways_own_time_out_is_tried_again(self, visit: Visit, sample: Path, status: int) -> None:
        route_once = {"times": 1}
        visit.page.route("**/classify", lambda route: route.fulfill(status=status, body=""), **route_once)
        visit.give(sample)
        visit.page.wait_for_selector("#waiting:not([hidden])")
        assert visit.page.inner_text("#waiting-text") == (
            "The server took too long. The first request after a pause can."
        )
        assert visit.answer()


@pytest.mark.browser
@pytest.mark.lambda_
def test_stopped_server_is_said(browser: Browser, start_cloud: Callable[[Config], LocalLambda], sample: Path) -> None:
    cloud = start_cloud(config("no-such-bucket"))
    visit = Visit(browser, cloud.url, model=False)
    cloud.stop()
    visit.give(sample)
    assert visit.problem() == "The server can't be reached. It may be stopped, or the connection was lost."
    visit.context.close()
