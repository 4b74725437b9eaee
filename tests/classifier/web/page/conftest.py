"""A local Lambda with the demo bundle, and a Chromium for each file of tests of the page."""

from __future__ import annotations

import os
import shutil
import uuid
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from local.cloud import LocalLambda
from local.seed import read_bundle, seed_bundle, seed_compiled
from tests.classifier.web.page.visits import CHROMIUM, DEMO, FLAGS, RECORD, Visit, config, missing, warm

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser

    from local.s3 import LocalS3


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One Chromium."""
    from playwright.sync_api import sync_playwright

    path = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, CHROMIUM)), None)
    if path is None:
        missing("Chromium (Debian's package chromium, or a path in the variable CHROMIUM)")
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield chromium
        chromium.close()


@pytest.fixture(scope="session")
def cloud(s3_server: LocalS3) -> Iterator[LocalLambda]:
    """The function with the demo bundle, the same once more by a name, and two example pictures."""
    bucket, client = s3_server.create_bucket(f"page-{uuid.uuid4().hex[:12]}"), s3_server.client()
    for prefix in ("models/dev/", "models/dev/second/"):
        seed_compiled(client, bucket, prefix, DEMO)
        seed_bundle(client, bucket, prefix, read_bundle(DEMO), source="test")
    for path in sorted(DEMO.rglob("*.jpg"))[:2]:
        client.put_object(Bucket=bucket, Key=f"examples/{path.name}", Body=path.read_bytes())
    with LocalLambda(config(bucket), s3_server) as running:
        warm(running.url)
        yield running


@pytest.fixture(scope="module")
def site(cloud: LocalLambda) -> str:
    """The page's address."""
    return f"{cloud.url}/"


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
