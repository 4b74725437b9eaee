"""A visit to the page, and what it is given."""

from __future__ import annotations

import base64
import io
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest
from PIL import Image, ImageChops

from local.cloud import Config
from local.function import Function
from local.launch import PROJECT

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page


PAGE = PROJECT / "classifier" / "web" / "page.html"
DEMO = PROJECT / "examples" / "clothing"
AXE = PROJECT / "node_modules" / "axe-core" / "axe.min.js"
CHROMIUM = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = [
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"),
    *("--disable-background-networking", "--disable-component-update"),
]
ANSWER, PROBLEM = "#answer:not([hidden]) li", "#problem:not([hidden])"
WIDTHS = pytest.mark.parametrize("width", [320, 390, 820, 1280])
SCHEMES = pytest.mark.parametrize("scheme", ["light", "dark"])


def missing(what: str) -> None:
    """Skip on a developer's machine; fail where nothing may be left out."""
    if os.environ.get("CI") == "true":
        pytest.fail(f"{what} is missing")
    pytest.skip(f"{what} is missing")


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
    model = {"MODEL_BUCKET": bucket, "MODEL_NAME": "clothing", "MODELS": "second", "SWAP_SETTLE_SECONDS": "0"}
    environment = model | {"IMAGE_BUCKET": bucket, "EXAMPLES_PREFIX": "examples/"}
    function = Function(
        name="classify", handler="handler.classify", memory_mb=2048, timeout_s=60, tmp_mb=2048, environment=environment
    )
    return Config(functions=(function,), concurrency=2, strict=True)


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
        """Wait for an error with `part` in its sentence, of no request that is still under way; the sentence."""
        shown = """([place, part]) => document.querySelector("#result")?.ariaBusy !== "true"
            && [document.querySelector(place)?.innerText ?? ""].find(text => text.includes(part))"""
        found = self.page.wait_for_function(shown, arg=[f"{PROBLEM} #problem-text", part])
        return str(found.json_value())  # in one look: between two the next request may have cleared it

    def fact(self, name: str) -> str:
        """One of the technical details, which are folded."""
        return self.page.text_content(f"#fact-{name}") or ""

    def program(self) -> str:
        """The request as a program, in the language that was chosen."""
        return self.page.text_content("#code") or ""

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
