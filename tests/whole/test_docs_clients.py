"""The Python and JavaScript of docs/use/calling.md, run as they are printed against a service on this machine."""

from __future__ import annotations

import io
import json
import re
import subprocess
from typing import TYPE_CHECKING, Any

import pytest
from PIL import Image

from classifier.wsgi import application
from local.launch import PROJECT
from tests.classifier.web.page.conftest import browser  # noqa: F401 - a fixture
from tests.support.answering import serving
from tests.support.application import Running, picture, start  # noqa: F401 - a fixture

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from playwright.sync_api import Browser

PAGE = (PROJECT / "docs" / "use" / "calling.md").read_text()
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
BUSY = ("429 Too Many Requests", "503 Service Unavailable")


@pytest.fixture
def endpoint(start: Callable[..., Running]) -> Iterator[str]:  # noqa: F811
    """The application behind a gateway that is busy twice before it lets a request through, as API Gateway says it."""
    ours: Any = application(start().app, 1_000_000)
    refusals = list(BUSY)

    def gateway(environ: dict[str, Any], answer: Any) -> Any:
        if not refusals:
            return ours(environ, answer)
        environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"]))
        answer(refusals.pop(0), [("Content-Type", "application/json"), ("Retry-After", "0")])
        return [b'{"message":"Too Many Requests"}']

    with serving(gateway) as address:
        yield address


def named(language: str, name: str) -> str:
    """The block that defines a function."""
    blocks: list[str] = [code for kind, code in BLOCKS if kind == language]
    return next(code for code in blocks if re.search(rf"(?:def|function) {name}\(", code))


def python(name: str) -> Any:
    """A function of the page."""
    space: dict[str, Any] = {}
    exec(compile(named("python", name), "docs/use/calling.md", "exec"), space)  # noqa: S102 - our own page
    return space[name]


def javascript(tmp_path: Path, endpoint: str, sent: Path, *, counted: bool = False) -> Any:
    """What the page's function gives in Node, or its error's message; if `counted`, with its pauses in seconds."""
    (tmp_path / "client.mjs").write_text(named("js", "classify"))
    script = """
        import { classify } from "./client.mjs";
        import { openAsBlob } from "node:fs";
        const [endpoint, file, counted] = process.argv.slice(2);
        const wait = globalThis.setTimeout, pauses = [];
        globalThis.setTimeout = (done, ms, ...rest) => {
          if (new Error().stack.includes("client.mjs")) pauses.push(ms / 1000);
          return wait(done, ms, ...rest);
        };
        const said = await classify(endpoint, await openAsBlob(file), 1).catch((error) => error.message);
        console.log(JSON.stringify(counted ? [said, pauses] : said));"""
    (tmp_path / "run.mjs").write_text(script)
    command = ["node", "--no-warnings", "run.mjs", endpoint, str(sent), *(["counted"] if counted else [])]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def in_python(endpoint: str, sent: Path) -> Any:
    """What the page's function gives, or its error's message."""
    try:
        return python("classify")(endpoint, str(sent), 1)
    except RuntimeError as error:
        return str(error)


@pytest.mark.parametrize("language", ["python", "javascript"])
def test_a_client_waits_for_a_busy_service_and_then_has_the_predictions(
    language: str, endpoint: str, tmp_path: Path
) -> None:
    sent = tmp_path / "red.png"
    sent.write_bytes(picture())
    said = in_python(endpoint, sent) if language == "python" else javascript(tmp_path, endpoint, sent)
    assert said == [{"label": "red", "score": 1.0}]


@pytest.mark.parametrize("language", ["python", "javascript"])
def test_a_client_tells_what_is_wrong_with_the_picture(language: str, endpoint: str, tmp_path: Path) -> None:
    sent = tmp_path / "note.txt"
    sent.write_text("hello")
    said = in_python(endpoint, sent) if language == "python" else javascript(tmp_path, endpoint, sent)
    assert re.fullmatch(r"415 unsupported_image_format: .+ \(request .+\)", said), said


def on_its_side() -> Image.Image:
    """A large picture as phones store it: turned, and saying so."""
    stored = Image.new("RGB", (3000, 2000), (200, 10, 10))
    stored.getexif()[274] = 6
    return stored


def test_a_large_picture_is_made_smaller_and_stays_upright(tmp_path: Path) -> None:
    on_its_side().save(tmp_path / "large.jpg", exif=on_its_side().getexif())
    made = Image.open(io.BytesIO(python("shrunk")(tmp_path / "large.jpg")))
    assert (made.format, made.size) == ("JPEG", (1067, 1600))


@pytest.mark.browser
def test_the_browsers_way_gives_the_same_size(browser: Browser) -> None:  # noqa: F811
    file = io.BytesIO()
    on_its_side().save(file, "JPEG", exif=on_its_side().getexif())
    code = named("js", "shrunk").replace("export ", "")
    asked = f"""async (bytes) => {{ {code}
        const made = await shrunk(new Blob([new Uint8Array(bytes)], {{ type: "image/jpeg" }}));
        const bitmap = await createImageBitmap(made);
        return [made.type, bitmap.width, bitmap.height]; }}"""
    page = browser.new_page()
    assert page.evaluate(asked, list(file.getvalue())) == ["image/jpeg", 1067, 1600]
    page.close()


@pytest.mark.browser
def test_a_page_of_another_origin_sends_what_tracing_adds_and_reads_our_headers(
    browser: Browser,  # noqa: F811
    start: Callable[..., Running],  # noqa: F811
) -> None:
    """By the browser's own rules: without the preflight's consent `fetch` fails, and unexposed headers are null."""
    ours: Any = application(start().app, 1_000_000)
    asked = """async ([url, bytes]) => {
        const names = ["traceparent", "tracestate", "baggage", "sentry-trace", "x-requested-with", "x-somebodys-own"];
        const headers = { accept: "image/png", "content-type": "image/png" };
        for (const name of names) headers[name] = "1";
        const reply = await fetch(url, { method: "POST", headers, body: new Uint8Array(bytes) });
        const read = ["x-explanation", "x-model-version", "x-unknown-parameters", "server-timing"];
        return [reply.status, read.filter((name) => reply.headers.get(name) === null)]; }"""
    with serving(ours) as endpoint, serving(lambda _, answer: (answer("200 OK", []), [b"hello"])[1]) as elsewhere:
        page = browser.new_page()
        page.goto(elsewhere)
        found = page.evaluate(asked, [f"{endpoint}/classify?explain=true&topk=1", list(picture())])
        page.close()
    assert found == [200, []]


def test_every_block_of_the_page_is_one_that_is_run_or_a_command() -> None:
    assert {language for language, _ in BLOCKS} == {"sh", "python", "js", "jsx"}
    assert len([language for language, _ in BLOCKS if language in ("python", "js")]) == 4
    assert "this one (not run by tests: they have no phone):\n\n```jsx\n" in PAGE


@pytest.mark.parametrize("language", ["python", "javascript"])
def test_a_client_gives_up_after_the_fifth_refusal_and_not_after_a_pause_more(
    language: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    pauses: list[float] = []

    def busy(environ: dict[str, Any], answer: Any) -> Any:
        asked.append(environ["PATH_INFO"])
        environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"]))
        answer(BUSY[0], [("Content-Type", "application/json"), ("Retry-After", "0.07")])
        return [b'{"message":"Too Many Requests"}']

    sent = tmp_path / "red.png"
    sent.write_bytes(picture())
    with serving(busy) as endpoint:
        if language == "python":
            monkeypatch.setattr("time.sleep", pauses.append)
            said = in_python(endpoint, sent)
        else:
            said, pauses = javascript(tmp_path, endpoint, sent, counted=True)
    assert said.startswith("429 gateway: Too Many Requests")
    assert (len(asked), [pause for pause in pauses if pause]) == (5, [0.07] * 4)
