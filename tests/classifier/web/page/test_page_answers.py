"""The page at `GET /`, in a real Chromium against the local Lambda: pictures that are classified."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from PIL import Image

from local.cloud import LocalLambda
from local.fronts import HttpApi
from tests.classifier.web.page.visits import PAGE, Visit, api_answer, noisy_photo

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Route


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
    assert [value for value in tags.outside if not value.startswith("data:image/svg+xml,")] == [
        "model",
        "health",
        "docs",
    ]


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
            assert f"@{field}.jpg" in visit.program()

    def test_curl_line_gives_the_same_answer_also_for_a_name_with_quotes(
        self, visit: Visit, site: str, sample: Path, tmp_path: Path
    ) -> None:
        copy = tmp_path / "it's a pair + more.jpg"
        shutil.copy(sample, copy)
        visit.give(copy)
        visit.answer()
        line = visit.program().replace("curl ", "curl -sS ", 1)
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
        assert "--data-urlencode 'imagelink=" + link in visit.program()
        visit.context.close()

    @pytest.mark.parametrize("path", ["dev", "dev/"])
    def test_page_works_under_a_stage_prefix(
        self, browser: Browser, cloud: LocalLambda, sample: Path, path: str
    ) -> None:
        site = cloud.open(HttpApi(stage="dev")) + "/"
        visit = Visit(browser, site + path)
        visit.give(sample)
        assert visit.answer()
        assert f"{site}dev/classify" in visit.program()
        assert visit.page.get_attribute("#to-model", "href") == f"{site}dev/model"
        assert {url for url in visit.asked if "class" in url or "model" in url} == {
            f"{site}dev/classify",
            f"{site}dev/model",
        }
        visit.context.close()
