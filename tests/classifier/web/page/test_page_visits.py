"""The page in a real Chromium: what a visit is besides one picture."""

from __future__ import annotations

import base64
import contextlib
import io
import re
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from PIL import Image

from tests.classifier.web.page.visits import DEMO, Visit, noisy_photo, upload

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

SAMPLES = sorted((DEMO / "samples").glob("*/*.jpg"))[:3]
LINK = "https://pictures.example/a b.jpg"


def fulfilled(visit: Visit, score: float = 0.5, **more: Any) -> None:
    """Answer instead of the server, which fetches nothing from a test's addresses."""
    reply = {"predictions": [{"label": "hat", "score": score}], "model": {"name": "hats", "version": "1"}, **more}
    visit.page.route("**/classify*", lambda route: route.fulfill(json=reply))
    visit.page.route(
        "https://pictures.example/*",
        lambda route: route.fulfill(body=SAMPLES[0].read_bytes(), content_type="image/jpeg"),
    )


def strip(page: Page) -> list[str]:
    """The labels under this visit's pictures, the newest first."""
    return [item.inner_text() for item in page.locator("#strip-list .name").all()]


@pytest.mark.browser
@pytest.mark.lambda_
class TestVisits:
    """Several pictures, links to share, the camera, words and programs."""

    def test_several_pictures_are_classified_one_after_the_other_and_kept_to_look_at(self, visit: Visit) -> None:
        page = visit.page
        visit.give(*SAMPLES)
        page.wait_for_function("() => document.querySelectorAll('#strip-list li').length === 3")
        page.wait_for_selector("#result[aria-busy=false]")
        labels = strip(page)
        assert labels[0] == visit.answer()[0][0]
        last = page.get_attribute("#picture", "alt")
        page.locator("#strip-list button").last.click()
        assert visit.answer()[0][0] == labels[-1]
        assert page.get_attribute("#picture", "alt") == f"The picture: {SAMPLES[0].name}" != last
        assert f"@{SAMPLES[0].name}" in visit.program()
        assert page.get_attribute("#strip-list li:last-child button", "aria-current") == "true"

    def test_one_picture_needs_no_strip_and_clear_forgets_it(self, visit: Visit, sample: Path) -> None:
        visit.give(sample)
        visit.answer()
        assert visit.page.is_hidden("#strip")
        visit.page.click("#clear")
        assert visit.page.is_visible("#idle")
        assert visit.page.is_hidden("#picture")
        assert visit.fact("picture") == "–"

    def test_the_answer_to_a_link_can_be_shared_and_opens_again(self, browser: Browser, site: str) -> None:
        first = Visit(browser, site)
        fulfilled(first)
        assert first.page.is_hidden("#share")
        first.give_link(LINK)
        first.answer()
        assert first.page.url == f"{site}?imagelink=https%3A%2F%2Fpictures.example%2Fa%20b.jpg"
        assert first.page.is_visible("#share")
        asked: list[str] = []
        second = Visit(browser, "about:blank", model=False)
        fulfilled(second)
        second.page.on("request", lambda request: asked.append(request.url))
        second.page.goto(first.page.url)
        assert second.answer() == [("hat", "50.0%")]
        assert f"{site}classify?imagelink=https%3A%2F%2Fpictures.example%2Fa%20b.jpg" in asked
        assert second.page.input_value("#link") == LINK
        for one in (first, second):
            one.context.close()

    @pytest.mark.parametrize(
        ("score", "more", "words"),
        [
            (0.97, {}, "This looks like:"),
            (0.7, {}, "Probably:"),
            (0.4, {}, "Perhaps:"),
            (0.2, {}, "Hard to say. The best guess:"),
            (0.97, {"sure": False}, "Not sure. The best guess:"),
            (0.2, {"sure": True}, "This looks like:"),
            (37.5, {}, ""),
        ],
    )
    def test_words_say_how_sure_the_model_is(
        self, visit: Visit, sample: Path, score: float, more: dict[str, bool], words: str
    ) -> None:
        fulfilled(visit, score, **more)
        visit.give(sample)
        visit.answer()
        assert visit.page.inner_text("#how-sure") == words

    def test_what_the_camera_sees_is_classified(self, visit: Visit) -> None:
        page = visit.page
        page.click("#live")
        page.wait_for_function("() => document.getElementById('video').videoWidth > 0")
        page.click("#shoot")
        assert visit.answer()
        assert page.is_hidden("#video")
        assert "@camera.jpg" in visit.program()
        for key in ("", "Escape"):
            page.click("#live")
            page.wait_for_selector("#video:not([hidden])")
            assert page.is_hidden("#ways")
            if key:
                page.keyboard.press(key)
            else:
                page.click("#camera-off")
            assert page.evaluate("document.getElementById('video').srcObject") is None
            assert page.evaluate("document.activeElement.id") == "live"

    def test_a_phone_shows_what_its_camera_sees_and_a_tap_takes_it(self, browser: Browser, site: str) -> None:
        visit = Visit(browser, site, viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True)
        visit.page.tap("#live")
        visit.page.wait_for_function("() => document.getElementById('video').videoWidth > 0")
        visit.page.tap("#video")
        assert visit.answer()
        assert visit.faults == []
        visit.context.close()

    def test_one_of_several_that_fails_keeps_its_place_and_says_why_again(self, visit: Visit, sample: Path) -> None:
        page = visit.page
        photo = upload(sample.name, sample.read_bytes(), "image/jpeg")
        visit.give(photo, upload("IMG_1.HEIC", b"\0\0\0\x18ftypheic" + bytes(50), ""), photo)
        page.wait_for_function("() => document.querySelectorAll('#strip-list li').length === 3")
        label = visit.answer()[0][0]
        assert strip(page) == [label, "Failed: IMG_1.HEIC", label]
        page.click("#strip-list .failed")
        assert visit.problem().startswith("This is a HEIC photo")
        assert page.locator("#strip-list li").count() == 3
        page.click("#forget")
        assert page.is_visible("#idle")

    def test_a_picture_of_too_many_pixels_is_made_smaller(self, visit: Visit, tmp_path: Path) -> None:
        Image.new("1", (6000, 5000)).save(tmp_path / "plan.png")
        visit.give(tmp_path / "plan.png")
        visit.answer()
        assert visit.sent_picture().size == (1600, 1333)
        assert "'plan.png' -auto-orient -resize '1600x1600>' 'plan-1600x1333.jpg'" in visit.program()

    def test_what_is_pasted_and_no_picture_is_told(self, visit: Visit) -> None:
        visit.page.evaluate("""() => {
            const clipboardData = new DataTransfer();
            clipboardData.setData("text/plain", "a cat");
            document.dispatchEvent(new ClipboardEvent("paste", { clipboardData }));
        }""")
        assert visit.problem() == (
            "That was neither a picture nor a link to one, which begins with http:// or https://."
        )

    def test_the_programs_name_the_real_file_and_address(self, visit: Visit, site: str, sample: Path) -> None:
        visit.give(sample)
        visit.answer()
        visit.page.click("#program summary")
        for language, expected in {
            "javascript": f'await fetch("{site}classify"',
            "python": f'open("{sample.name}", "rb")',
            "curl": f"--data-binary '@{sample.name}'",
        }.items():
            visit.page.click(f"#in-{language}")
            assert expected in visit.program()
            assert visit.page.get_attribute(f"#in-{language}", "aria-pressed") == "true"
        visit.page.click("#in-python")
        compile(visit.program(), "page.py", "exec")

    def test_the_programs_of_a_picture_that_was_made_smaller_make_it_smaller(
        self, visit: Visit, site: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        large = noisy_photo(tmp_path / "large.jpg", Image.open(SAMPLES[0]), (2400, 1800))
        visit.give(large)
        visit.answer()
        visit.page.click("#program summary")
        visit.page.click("#in-python")
        monkeypatch.setitem(sys.modules, "requests", _Posted)
        with contextlib.chdir(tmp_path):
            exec(visit.program(), {})  # noqa: S102 - the page's own
        assert _Posted.url == f"{site}classify"
        assert Image.open(tmp_path / "large-1600x1200.jpg").size == visit.sent_picture().size == (1600, 1200)
        visit.page.click("#in-javascript")
        body = visit.page.evaluate(
            f"""async (base64) => {{
                const bytes = Uint8Array.from(atob(base64), (one) => one.charCodeAt(0));
                const document = {{ querySelector: () => ({{ files: [new File([bytes], "large.jpg")] }}) }};
                let sent;
                const fetch = async (url, {{ body }}) => {{ sent = body; return {{ json: async () => ({{}}) }}; }};
                const console = {{ log() {{}} }};
                {visit.program()}
                const {{ width, height }} = await createImageBitmap(sent);
                return [width, height];
            }}""",
            base64.b64encode(large.read_bytes()).decode(),
        )
        assert body == [1600, 1200]

    def test_a_heic_photo_that_the_browser_can_not_read_is_explained(self, visit: Visit) -> None:
        visit.give(upload("IMG_1.HEIC", b"\0\0\0\x18ftypheic" + bytes(50), ""))
        assert re.match("This is a HEIC photo, which this browser can't read. Export it as JPEG", visit.problem("HEIC"))

    def test_a_refused_link_is_told_about_as_a_link(self, visit: Visit) -> None:
        visit.give_link("http://127.0.0.1/")
        assert "imagelink" not in visit.problem("server of this link")
        visit.give_link("ftp://example.com/a.jpg")
        assert visit.problem("has to start") == "The link has to start with http:// or https://."

    def test_title_and_description_are_the_models(self, browser: Browser, site: str) -> None:
        visit = Visit(browser, "about:blank", model=False)
        told = {"labels": ["hat"], "title": "Hats & caps", "description": "Tells hats from caps."}
        visit.page.route("**/model", lambda route: route.fulfill(json=told))
        visit.page.goto(site)
        visit.page.wait_for_selector("#known:not([hidden])")
        assert visit.page.inner_text("#title") == visit.page.title() == "Hats & caps"
        assert visit.page.inner_text("#description") == "Tells hats from caps."
        visit.context.close()


class _Posted:
    """What the page's Python program calls as `requests`."""

    url = ""

    @classmethod
    def post(cls, url: str, **_: Any) -> Any:
        cls.url = url
        return SimpleNamespace(json=lambda: {"predictions": []})


@pytest.mark.browser
@pytest.mark.lambda_
def test_a_thumbnail_is_small(visit: Visit, tmp_path: Path) -> None:
    for name in ("a.png", "b.png"):
        Image.new("RGB", (900, 1200), "red").save(tmp_path / name)
    visit.give(tmp_path / "a.png", tmp_path / "b.png")
    visit.page.wait_for_function("() => document.querySelectorAll('#strip-list li').length === 2")
    source = visit.page.get_attribute("#strip-list img", "src") or ""
    assert Image.open(io.BytesIO(base64.b64decode(source.partition(",")[2]))).size == (192, 256)
