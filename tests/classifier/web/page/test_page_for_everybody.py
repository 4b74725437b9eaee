"""The page in a real Chromium: widths, keyboard, screen reader, light and dark."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from PIL import Image

from tests.classifier.web.page.visits import AXE, SCHEMES, WIDTHS, Visit, missing

if TYPE_CHECKING:
    from playwright.sync_api import Browser


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
        for _ in range(11):
            page.keyboard.press("Tab")
            order.append(page.evaluate("document.activeElement.id || document.activeElement.tagName.toLowerCase()"))
            assert page.evaluate("""() => { const at = document.activeElement;
                const ringed = at.type === "file" ? at.nextElementSibling : at;
                return parseFloat(getComputedStyle(ringed).outlineWidth) >= 2; }""")
        ways, folded = ["file", "live", "link", "button"], ["summary"] * 3
        assert order == ["model", *ways, "button", "button", "why", *folded]
        page.on("filechooser", lambda _: None)  # Playwright takes dialogs over only a moment after it was asked to
        for key in ("Enter", "Space"):
            page.focus("#file")
            with page.expect_file_chooser() as chooser:
                page.keyboard.press(key)
            chooser.value.set_files(sample)
            assert visit.answer()
        page.keyboard.press("Tab")
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
        assert visit.page.is_visible("#live")
        assert visit.page.is_hidden("#photo")
        visit.context.close()
        visit = Visit(browser, "about:blank", model=False, has_touch=True, is_mobile=True)
        visit.page.add_init_script("Object.defineProperty(navigator, 'mediaDevices', {value: undefined})")  # plain http
        visit.page.goto(site)
        assert visit.page.is_hidden("#live")
        assert visit.page.is_visible("label[for=camera]")
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
