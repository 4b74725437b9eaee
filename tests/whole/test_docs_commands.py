"""What the README and the clients' page tell to type is typed here, at a service started as they say."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from local.launch import PROJECT
from tests.support.demo import SAMPLES
from tests.support.started import free_port, started

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [pytest.mark.lambda_, pytest.mark.skipif(not shutil.which("curl"), reason="needs curl")]
README, CALLING = (PROJECT / "README.md").read_text(), (PROJECT / "docs" / "use" / "calling.md").read_text()
EXPLANATIONS = (PROJECT / "docs" / "use" / "explanations.md").read_text()
PANTS = next(sample for sample in SAMPLES if sample.parent.name == "pants")


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the picture that the pages name."""
    folder = tmp_path_factory.mktemp("photos")
    shutil.copy(PANTS, folder / "photo.jpg")
    return folder


@pytest.fixture(scope="module")
def service(photos: Path) -> Iterator[str]:
    """`npm start`, once it says that it is ready."""
    port = free_port()
    with started("--port", str(port), "--samples", str(photos)):
        yield f"http://127.0.0.1:{port}"


def typed(command: str, folder: Path) -> str:
    """What a command prints; it must succeed."""
    environment = {**os.environ, "no_proxy": "127.0.0.1"}
    done = subprocess.run(
        ["bash", "-euc", command], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{command}\n{done.stderr}"
    return done.stdout


def best(reply: str) -> str:
    """The best label of a reply."""
    label: str = json.loads(reply)["predictions"][0]["label"]
    return label


def test_the_readmes_first_request_is_answered(service: str) -> None:
    (command,) = re.findall(r"^curl .*http://127\.0\.0\.1:3000/classify$", README, re.MULTILINE)
    reply = typed(command.replace("http://127.0.0.1:3000", service), PROJECT)
    assert best(reply) == "pants"
    assert json.loads(reply)["model"]["engine"] == "litert"


def test_every_request_of_the_clients_page_is_answered(service: str, photos: Path) -> None:
    (block,) = re.findall(r"^## curl\n\n```sh\n(.*?)```", CALLING, re.MULTILINE | re.DOTALL)
    upload, link, key, text = (line.replace("ENDPOINT", service) for line in block.splitlines())
    assert best(typed(upload, photos)) == best(typed(key, photos)) == "pants"
    assert len(json.loads(typed(upload, photos))["predictions"]) == 3
    assert re.fullmatch(r"(?:[\w-]+ \(score = \d\.\d{5}\)\n)+", typed(text, photos))
    # The link's server is a stranger's, who may be out of reach here: what counts is that all of the link arrived.
    refused = json.loads(typed(link.replace("https://example.com", "http://127.0.0.1"), photos))
    assert refused["error"]["code"] == "url_host_not_allowed"


def test_what_the_explanations_page_asks_is_answered_by_the_demos_own_map(service: str, photos: Path) -> None:
    (block,) = re.findall(r"```sh\n(.*?)```", EXPLANATIONS, re.DOTALL)
    best, named, picture = (line.replace("ENDPOINT", service) for line in block.splitlines())
    found, plain = (json.loads(typed(command, photos)) for command in (best, best.replace("?explain=true", "")))
    explanation = found["explanation"]
    assert (explanation["label"], explanation["method"]) == ("pants", "class activation map")
    assert (len(explanation["map"]), explanation["box"]) == (6, [0, 0, 1, 1])
    assert found["predictions"] == plain["predictions"]
    assert json.loads(typed(named, photos))["explanation"] == explanation
    typed(picture, photos)
    assert (photos / "why.png").read_bytes().startswith(b"\x89PNG")


def test_the_replys_fields_are_those_that_the_pages_show(service: str, photos: Path) -> None:
    (shown,) = re.findall(r"^\{\"predictions\".*?\"request_id\":\"[\w-]+\"\}", README, re.MULTILINE | re.DOTALL)
    reply = json.loads(typed(f"curl -F file=@photo.jpg {service}/classify", photos))
    told = json.loads(shown)
    assert told.keys() == reply.keys()
    assert told["model"].keys() == reply["model"].keys()
    assert told["image"].keys() == reply["image"].keys()
    assert told["model"]["version"] == reply["model"]["version"]
