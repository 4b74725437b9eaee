"""The page at `GET /`, driven in a real Chromium against the local Lambda with the demo bundle."""

from __future__ import annotations

import base64
import io
import json
import os
import re
import shutil
import subprocess
import uuid
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest
from PIL import Image, ImageChops

from local.cloud import Config, LocalLambda
from local.fronts import HttpApi
from local.function import Function

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from playwright.sync_api import Browser, Page, Route

    from local.s3 import LocalS3

PROJECT = Path(__file__).resolve().parent.parent
PAGE = PROJECT / "classifier" / "page.html"
DEMO = PROJECT / "examples" / "clothing"
AXE = PROJECT / "node_modules" / "axe-core" / "axe.min.js"
CHROMIUM = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = [
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update"),
]
ANSWER, PROBLEM = "#answer:not([hidden]) li", "#problem:not([hidden])"
WIDTHS = pytest.mark.parametrize("width", [390, 1280])
SCHEMES = pytest.mark.parametrize("scheme", ["light", "dark"])


def missing(what: str) -> None:
    """Skip on a developer's machine; fail where nothing may be left out."""
    if os.environ.get("CI") == "true":
        pytest.fail(f"{what} is missing")
    pytest.skip(f"{what} is missing")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One Chromium for the file."""
    from playwright.sync_api import sync_playwright

    path = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, CHROMIUM)), None)
    if path is None:
        missing("Chromium (Debian's package chromium, or a path in the variable CHROMIUM)")
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield chromium
        chromium.close()


@pytest.fixture(scope="module")
def cloud(s3_server: LocalS3) -> Iterator[LocalLambda]:
    """The function with the demo bundle."""
    bucket = s3_server.create_bucket(f"page-{uuid.uuid4().hex[:12]}")
    for name in ("architecture.json", "model.weights.h5", "serving.json"):
        s3_server.client().put_object(Bucket=bucket, Key=f"models/dev/{name}", Body=(DEMO / name).read_bytes())
    with LocalLambda(config(bucket), s3_server) as running:
        warm(running.url)
        yield running


def warm(url: str) -> None:
    """Ask until the model is loaded: with TensorFlow on a busy machine that outlasts a gateway."""
    for _ in range(10):
        try:
            with urlopen(f"{url}/model", timeout=60):
                return
        except HTTPError as error:
            if error.code != 503:
                raise
    pytest.fail("the model is not loaded after ten attempts")


def config(bucket: str) -> Config:
    """The function as deployed."""
    environment = {"MODEL_BUCKET": bucket, "MODEL_NAME": "clothing", "SWAP_SETTLE_SECONDS": "0"}
    function = Function(
        name="classify", handler="handler.classify", memory_mb=2048, timeout_s=60, tmp_mb=2048, environment=environment
    )
    return Config(functions=(function,), concurrency=2)


@pytest.fixture(scope="module")
def site(cloud: LocalLambda) -> str:
    """The page's address."""
    return f"{cloud.url}/"


class Visit:
    """A page that was opened, with what went wrong on it and what it asked for."""

    def __init__(self, browser: Browser, url: str, *, model: bool = True, **context: Any) -> None:
        settings = {"viewport": {"width": 1280, "height": 900}, "reduced_motion": "reduce"} | context
        self.context = browser.new_context(**settings)
        self.page: Page = self.context.new_page()
        self.page.set_default_timeout(20_000)
        self.faults: list[str] = []
        self.asked: list[str] = []
        self.page.on("pageerror", lambda error: self.faults.append(str(error)))
        self.page.on("console", self._listen)
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.goto(url)
        if model:
            self.page.wait_for_selector("#known:not([hidden])")

    def _listen(self, message: Any) -> None:
        # A refused request is logged by the browser itself; everything else is a fault of ours or of the CSP's.
        if message.type in {"error", "warning"} and "Failed to load resource" not in message.text:
            self.faults.append(message.text)

    def give(self, *files: Any) -> None:
        """Choose a file, by path or as {"name", "mimeType", "buffer"}."""
        self.page.set_input_files("#file", list(files))

    def give_link(self, link: str) -> None:
        """Type a link and press Enter."""
        self.page.fill("#link", link)
        self.page.press("#link", "Enter")

    def answer(self) -> list[tuple[str, str]]:
        """Wait for the answer; labels and scores as shown."""
        self.page.wait_for_selector(ANSWER)
        self.page.wait_for_selector("#result[aria-busy=false]")
        rows = self.page.locator("#predictions li").all()
        return [(row.locator(".label").inner_text(), row.locator(".score").inner_text()) for row in rows]

    def problem(self, part: str = ".") -> str:
        """Wait for an error with `part` in its sentence; the sentence."""
        self.page.locator(f"{PROBLEM} #problem-text", has_text=part).wait_for()
        return self.page.inner_text("#problem-text")

    def fact(self, name: str) -> str:
        """One of the details under the result."""
        return self.page.inner_text(f"#fact-{name}")

    def sent_picture(self) -> Image.Image:
        """The picture in the last request's body."""
        url = self.page.evaluate("""() => new Promise((resolve) => {
            const reader = new FileReader();
            reader.onload = () => resolve(reader.result);
            reader.readAsDataURL(window.sent);
        })""")
        return Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2])))


RECORD = """const real = window.fetch;
window.fetch = (url, init) => { if (init?.body) window.sent = init.body; return real(url, init); };"""


@pytest.fixture
def visit(browser: Browser, site: str) -> Iterator[Visit]:
    """The page at 1280 px; every test also asserts that nothing was logged and no other server was asked."""
    visit = Visit(browser, site)
    visit.page.evaluate(RECORD)
    yield visit
    visit.context.close()
    assert visit.faults == []
    strangers = [url for url in visit.asked if not url.startswith((site, "blob:", "data:"))]
    assert strangers == []


@pytest.fixture(scope="module")
def sample() -> Path:
    """One of the demo's pictures."""
    return min(DEMO.rglob("*.jpg"))


def api_answer(site: str, picture: Path) -> list[tuple[str, float]]:
    """What a program gets for the same picture."""
    request = Request(f"{site}classify", picture.read_bytes(), {"Content-Type": "image/jpeg"})
    with urlopen(request, timeout=60) as reply:
        return [(item["label"], item["score"]) for item in json.load(reply)["predictions"]]


def noisy_photo(path: Path, picture: Image.Image, size: tuple[int, int], **options: Any) -> Path:
    """A JPEG as large as a phone's: the picture enlarged, with a sensor's noise."""
    large = picture.convert("RGB").resize(size)
    noise = Image.merge("RGB", [Image.effect_noise(size, 40)] * 3)
    ImageChops.add(large, noise, offset=-128).save(path, "JPEG", quality=95, **options)
    return path


def upload(name: str, data: bytes, kind: str) -> dict[str, Any]:
    """A file as Playwright takes it."""
    return {"name": name, "mimeType": kind, "buffer": data}


class Tags(HTMLParser):
    """Counts tags and collects attributes that a hashed Content-Security-Policy forbids."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: Counter[str] = Counter()
        self.forbidden: list[str] = []
        self.outside: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        self.forbidden += [name for name, _ in attrs if name == "style" or name.startswith("on")]
        self.outside += [value or "" for name, value in attrs if name in {"src", "href"}]


def test_page_can_be_served_under_a_policy_of_two_hashes_and_names_no_other_server() -> None:
    tags = Tags()
    tags.feed(PAGE.read_text(encoding="utf-8"))
    assert (tags.tags["script"], tags.tags["style"], tags.forbidden) == (1, 1, [])
    assert [value for value in tags.outside if not value.startswith("data:image/svg+xml,")] == ["model", "health"]


@pytest.mark.browser
@pytest.mark.lambda_
class TestAnswers:
    """Pictures that are classified."""

    def test_small_file_goes_unchanged_and_is_shown_with_the_scores_of_the_api(
        self, visit: Visit, site: str, sample: Path
    ) -> None:
        visit.give(sample)
        shown = visit.answer()
        expected = api_answer(site, sample)
        assert [label for label, _ in shown] == [label for label, _ in expected]
        assert shown[0][1] in {f"{expected[0][1]:.1%}", "> 99.9%"}
        assert visit.fact("sent").endswith("unchanged")
        assert visit.fact("picture") == "JPEG, {} × {}".format(*Image.open(sample).size)
        assert re.fullmatch(r"[\d.]+ (ms|s)(, cold start)?", visit.fact("trip"))
        assert "infer" in visit.fact("server")
        assert "engine" in visit.fact("model")
        assert len(visit.fact("version")) > 5
        assert shown[0][0] in visit.page.inner_text("#status")

    def test_twelve_megapixel_photo_is_shrunk_below_the_gateways_limit(
        self, visit: Visit, site: str, sample: Path, tmp_path: Path
    ) -> None:
        photo = noisy_photo(tmp_path / "IMG_0001.jpg", Image.open(sample), (3000, 4000))
        assert photo.stat().st_size > 6_000_000
        visit.give(photo)
        shown = visit.answer()
        sent = visit.sent_picture()
        assert (sent.format, sent.size) == ("JPEG", (1200, 1600))
        assert visit.fact("picture") == "JPEG, 1200 × 1600"
        assert "shrunk" in visit.fact("sent")
        assert shown[0][0] == api_answer(site, sample)[0][0]

    def test_photo_that_lies_on_its_side_is_shrunk_upright(self, visit: Visit, tmp_path: Path) -> None:
        halves = Image.new("RGB", (40, 30), "blue")
        halves.paste("red", (0, 0, 20, 30))  # left as stored; orientation 6 says that it is the top
        exif = Image.Exif()
        exif[0x0112] = 6
        visit.give(noisy_photo(tmp_path / "side.jpg", halves, (4000, 3000), exif=exif))
        visit.answer()
        sent = visit.sent_picture()
        assert sent.size == (1200, 1600)
        assert 0x0112 not in sent.getexif()
        top, bottom = (sent.resize((1, 2), Image.Resampling.BOX).getpixel((0, y)) for y in (0, 1))
        assert isinstance(top, tuple)
        assert isinstance(bottom, tuple)
        assert top[0] > 150 > 100 > top[2]
        assert bottom[2] > 150 > 100 > bottom[0]

    def test_transparent_parts_of_a_large_picture_become_white_as_the_server_makes_them(
        self, visit: Visit, tmp_path: Path
    ) -> None:
        noise, path = Image.effect_noise((1500, 1500), 90), tmp_path / "glass.png"
        Image.merge("RGBA", [noise, noise, noise, Image.new("L", noise.size, 0)]).save(path)
        assert path.stat().st_size > 2_000_000
        visit.give(path)
        visit.answer()
        assert visit.sent_picture().getextrema() == ((255, 255),) * 3

    def test_dropped_and_pasted_pictures_are_classified(self, visit: Visit, sample: Path) -> None:
        for event, field in (("DragEvent", "dataTransfer"), ("ClipboardEvent", "clipboardData")):
            visit.page.evaluate(
                """([event, field, bytes]) => {
                    const transfer = new DataTransfer();
                    transfer.items.add(new File([new Uint8Array(bytes)], field + ".jpg", { type: "image/jpeg" }));
                    const name = event === "DragEvent" ? "drop" : "paste";
                    document.getElementById("link").dispatchEvent(
                        new window[event](name, { [field]: transfer, bubbles: true, cancelable: true }));
                }""",
                [event, field, list(sample.read_bytes())],
            )
            visit.page.wait_for_selector(f"#picture[alt$='{field}.jpg']")
            assert visit.answer()
            assert f"@{field}.jpg" in visit.page.inner_text("#curl")

    def test_curl_line_gives_the_same_answer_also_for_a_name_with_quotes(
        self, visit: Visit, site: str, sample: Path, tmp_path: Path
    ) -> None:
        copy = tmp_path / "it's a pair + more.jpg"
        shutil.copy(sample, copy)
        visit.give(copy)
        visit.answer()
        line = visit.page.inner_text("#curl").replace("curl ", "curl -sS ", 1)
        reply = subprocess.run(["sh", "-c", line], cwd=tmp_path, capture_output=True, check=True, timeout=60)
        assert [(item["label"], item["score"]) for item in json.loads(reply.stdout)["predictions"]] == api_answer(
            site, sample
        )

    def test_newer_picture_gives_up_the_older_one(self, visit: Visit, site: str, sample: Path) -> None:
        held: list[Route] = []
        lost: list[str] = []
        visit.page.on("requestfailed", lambda request: lost.append(request.url))
        visit.page.route("**/classify?*", lambda route: held.append(route))
        visit.give_link("https://example.com/slow.jpg")
        visit.page.wait_for_selector("#result[aria-busy=true]")
        visit.give(sample)
        shown = visit.answer()
        assert len(held) == len(lost) == 1
        assert "slow.jpg" in lost[0]
        assert [label for label, _ in shown] == [label for label, _ in api_answer(site, sample)]

    @pytest.mark.parametrize("way", ["typed", "dropped"])
    def test_picture_behind_a_link_is_shown_once_the_server_took_it(
        self, browser: Browser, site: str, sample: Path, way: str
    ) -> None:
        # No server here is public, so both the reply and the picture are put in by the test.
        link, referrers = "https://pictures.example/a+b.jpg", []

        def send_answer(route: Route) -> None:
            asked.append(route.request.url)
            route.fulfill(json=reply)

        def send_picture(route: Route) -> None:
            referrers.append(route.request.headers.get("referer"))
            route.fulfill(body=sample.read_bytes(), content_type="image/jpeg")

        visit = Visit(browser, site)
        asked: list[str] = []
        reply = {"predictions": [{"label": "hat", "score": 0.25}], "model": {"name": "hats", "version": "1"}}
        visit.page.route("**/classify?*", send_answer)
        visit.page.route("https://pictures.example/*", send_picture)
        if way == "typed":
            visit.give_link(link.removeprefix("https://"))
        else:
            visit.page.evaluate(
                """(link) => { const dataTransfer = new DataTransfer();
                    dataTransfer.setData("text/uri-list", link);
                    document.body.dispatchEvent(new DragEvent("drop", { dataTransfer, bubbles: true })); }""",
                link,
            )
        assert visit.answer() == [("hat", "25.0%")]
        visit.page.wait_for_function("() => document.getElementById('picture').naturalWidth > 0")
        assert asked == [f"{site}classify?imagelink=https%3A%2F%2Fpictures.example%2Fa%2Bb.jpg"]
        assert referrers == [None]
        assert visit.page.input_value("#link") == link
        assert "--data-urlencode 'imagelink=" + link in visit.page.inner_text("#curl")
        visit.context.close()

    @pytest.mark.parametrize("path", ["dev", "dev/"])
    def test_page_works_under_a_stage_prefix(
        self, browser: Browser, cloud: LocalLambda, sample: Path, path: str
    ) -> None:
        site = cloud.open(HttpApi(stage="dev")) + "/"
        visit = Visit(browser, site + path)
        visit.give(sample)
        assert visit.answer()
        assert f"{site}dev/classify" in visit.page.inner_text("#curl")
        assert visit.page.get_attribute("#to-model", "href") == f"{site}dev/model"
        assert {url for url in visit.asked if "class" in url or "model" in url} == {
            f"{site}dev/classify",
            f"{site}dev/model",
        }
        visit.context.close()


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
        error = {"error": {"code": "model_loading", "message": "The model is still loading."}, "request_id": "r"}
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

    @pytest.mark.parametrize(
        ("status", "body", "sentence"),
        [
            (413, '{"message":"Request Entity Too Large"}', "The picture is too large for the server (18 KB)."),
            (429, '{"message":"Too Many Requests"}', "Too many requests just now. Wait a moment, then try again."),
            (403, '{"message":"Forbidden"}', "The server refused the request (status 403) without giving a reason."),
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
class TestForEverybody:
    """Widths, keyboard, screen reader, light and dark."""

    @WIDTHS
    def test_nothing_scrolls_sideways_or_jumps(self, browser: Browser, site: str, sample: Path, width: int) -> None:
        visit = Visit(browser, site, viewport={"width": width, "height": 844})
        visit.page.evaluate("""() => { window.shifts = [];
            new PerformanceObserver((list) => window.shifts.push(...list.getEntries().map((entry) => entry.value)))
                .observe({ type: "layout-shift", buffered: true }); }""")
        sideways = "document.documentElement.scrollWidth > innerWidth"
        assert not visit.page.evaluate(sideways)
        visit.give(sample)
        visit.answer()
        assert not visit.page.evaluate(sideways)
        visit.give_link("http://127.0.0.1/" + "long" * 60)
        visit.problem()
        assert not visit.page.evaluate(sideways)
        assert sum(visit.page.evaluate("window.shifts")) < 0.01
        visit.context.close()

    def test_keyboard_alone_reaches_and_does_everything(self, visit: Visit, sample: Path) -> None:
        page = visit.page
        order = []
        for _ in range(6):
            page.keyboard.press("Tab")
            order.append(page.evaluate("document.activeElement.id || document.activeElement.tagName.toLowerCase()"))
            assert page.evaluate("""() => { const at = document.activeElement;
                const ringed = at.type === "file" ? at.nextElementSibling : at;
                return parseFloat(getComputedStyle(ringed).outlineWidth) >= 2; }""")
        assert order == ["file", "link", "button", "copy", "pre", "to-model"]
        page.on("filechooser", lambda _: None)  # Playwright takes dialogs over only a moment after it was asked to
        for key in ("Enter", "Space"):
            page.focus("#file")
            with page.expect_file_chooser() as chooser:
                page.keyboard.press(key)
            chooser.value.set_files(sample)
            assert visit.answer()
        page.keyboard.press("Tab")
        page.keyboard.type("http://127.0.0.1/")
        page.keyboard.press("Enter")
        assert visit.problem()
        page.keyboard.press("Tab")
        page.keyboard.press("Space")
        assert visit.problem()

    def test_phone_is_offered_its_camera(self, browser: Browser, site: str) -> None:
        visit = Visit(browser, site, viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True)
        assert visit.page.get_attribute("#camera", "capture") == "environment"
        assert visit.page.get_attribute("#file", "accept") == "image/*"
        visit.context.close()

    @SCHEMES
    @WIDTHS
    def test_axe_finds_nothing(self, browser: Browser, site: str, sample: Path, scheme: str, width: int) -> None:
        if not AXE.exists():
            missing("axe-core (npm install)")
        visit = Visit(browser, site, viewport={"width": width, "height": 900}, color_scheme=scheme, bypass_csp=True)
        visit.page.add_script_tag(path=AXE)
        found = axe(visit)
        visit.give(sample)
        visit.answer()
        found += axe(visit)
        visit.give_link("http://127.0.0.1/")
        visit.problem()
        found += axe(visit)
        visit.context.close()
        assert found == []

    def test_dark_is_dark_and_every_text_stands_out(self, browser: Browser, site: str, sample: Path) -> None:
        brightness = {}
        for scheme in ("light", "dark"):
            visit = Visit(browser, site, color_scheme=scheme)
            visit.give(sample)
            visit.answer()
            picture = Image.open(io.BytesIO(visit.page.screenshot()))
            brightness[scheme] = picture.convert("L").getpixel((3, 3))
            weakest = min(visit.page.evaluate(CONTRASTS))
            visit.context.close()
            assert weakest >= 4.5
        assert brightness == {"light": pytest.approx(246, abs=8), "dark": pytest.approx(21, abs=8)}

    def test_nothing_moves_for_those_who_asked_for_stillness(self, visit: Visit) -> None:
        visit.page.route("**/classify?*", lambda _: None)
        visit.give_link("https://example.com/slow.jpg")
        visit.page.wait_for_selector("#result[aria-busy=true]")
        assert visit.page.evaluate("document.getAnimations().filter((one) => one instanceof CSSAnimation).length") == 0


def axe(visit: Visit) -> list[str]:
    """Violations as `rule: element`."""
    rules = visit.page.evaluate("async () => (await axe.run({ resultTypes: ['violations'] })).violations")
    return [f"{rule['id']}: {node['html']}" for rule in rules for node in rule["nodes"]]


CONTRASTS = """() => {
    // WCAG 2.2, 1.4.3: https://www.w3.org/TR/WCAG22/#dfn-contrast-ratio
    const parts = (colour) => colour.match(/[\\d.]+/g).map(Number);
    const light = (colour) => parts(colour).slice(0, 3).map((part) => part / 255)
        .map((part) => part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4)
        .reduce((sum, part, at) => sum + part * [0.2126, 0.7152, 0.0722][at], 0);
    const ground = (element) => {
        const colour = getComputedStyle(element).backgroundColor;
        return parts(colour)[3] === 0 ? ground(element.parentElement) : colour;
    };
    return [...document.body.querySelectorAll("*")]
        .filter((one) => one.checkVisibility({ visibilityProperty: true }) && !one.closest(".unseen, svg")
            && [...one.childNodes].some((node) => node.nodeType === 3 && node.data.trim()))
        .map((one) => [light(getComputedStyle(one).color), light(ground(one))].sort((a, b) => b - a))
        .map(([bright, dark]) => (bright + 0.05) / (dark + 0.05));
}"""


@pytest.mark.browser
@pytest.mark.lambda_
def test_stopped_server_is_said(browser: Browser, start_cloud: Callable[[Config], LocalLambda], sample: Path) -> None:
    cloud = start_cloud(config("no-such-bucket"))
    visit = Visit(browser, cloud.url, model=False)
    cloud.stop()
    visit.give(sample)
    assert visit.problem() == "The server can't be reached. It may be stopped, or the connection was lost."
    visit.context.close()
