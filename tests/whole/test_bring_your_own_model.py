"""docs/start/first-model.md, followed to the letter: from `cats.h5` to a service that answers by it."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from classifier.bundles.serving import FIELDS, ModelShape, parse_serving
from classifier.engines.keras_engine import open_keras
from classifier.pictures.preprocessing import FIELDS as PREPROCESSING_FIELDS
from lifecycle.release import as_bundle
from local.launch import PROJECT
from local.seed import read_bundle
from tests.support.started import free_port, started

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PAGE = (PROJECT / "docs" / "start" / "first-model.md").read_text()
REFERENCE = (PROJECT / "docs" / "reference" / "serving-json.md").read_text()
FENCE = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)
BLOCKS = FENCE.findall(PAGE)
COLORS = {"cat/1": (220, 40, 30), "cat/2": (180, 90, 60), "dog/1": (30, 40, 220), "dog/2": (70, 80, 190)}


def commands(block: str) -> list[str]:
    """A block's commands, each in one line."""
    return re.sub(r"\\\n\s*", "", block).splitlines()


@dataclass
class Terminal:
    """A shell in a folder; what it exports stays. Ports are others than the page's, which somebody may be using."""

    folder: Path
    ports: dict[str, str]
    exported: list[str] = field(default_factory=list)

    def argument(self, text: str) -> str:
        """The page's text with our ports."""
        return re.sub(r"\b300[01]\b", lambda found: self.ports[found[0]], text)

    def run(self, command: str) -> str:
        """What the command prints; it must succeed."""
        if command.startswith("export "):
            self.exported.append(command)
        script = self.argument("\n".join([*self.exported, command]))
        done = subprocess.run(["bash", "-euc", script], cwd=self.folder, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
        return done.stdout


@pytest.fixture
def terminal(tmp_path: Path) -> Terminal:
    """A folder as the page presumes it: the trained model, the pictures, the project's scripts."""
    import keras

    model = keras.Sequential(
        [keras.Input((16, 16, 3)), keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(2, activation="softmax")]
    )
    model.layers[-1].set_weights([np.array([[3, -3], [0, 0], [-3, 3]], np.float32), np.zeros(2, np.float32)])
    model.save(tmp_path / "cats.h5")
    for name, color in COLORS.items():
        path = tmp_path / "photos" / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (40, 30), color).save(path)
    (tmp_path / "scripts").symlink_to(PROJECT / "scripts")
    return Terminal(tmp_path, {"3000": str(free_port()), "3001": str(free_port())})


@pytest.fixture
def service(terminal: Terminal) -> Iterator[None]:
    """The first block was run, and `npm start` says that it is ready."""
    *before, last = commands(next(block for _, block in BLOCKS if "npm start" in block))
    for line in before:
        terminal.run(line)
    start = shlex.split(last)[3:]
    arguments = [terminal.argument(word) for word in [*start, "--port", "3000"]]
    with started(*arguments, folder=terminal.folder):
        yield


@pytest.mark.lambda_
@pytest.mark.tensorflow
@pytest.mark.skipif(not shutil.which("curl"), reason="needs curl")
def test_every_command_of_the_page_does_what_the_page_says(terminal: Terminal, service: None) -> None:
    del service
    blocks = [block for language, block in BLOCKS if language == "sh" and "npm start" not in block]
    asked, published, verified = ({command: terminal.run(command) for command in commands(block)} for block in blocks)
    uploaded, by_key, model = (json.loads(text) for text in asked.values())
    assert uploaded["predictions"][0]["label"] == "cat"
    assert [item["label"] for item in by_key["predictions"]] == ["dog"]
    assert model["labels"] == ["cat", "dog"]
    *_, publish, listed = published.values()
    version = re.search(r"^Model +(\w+)", publish, re.MULTILINE)
    assert version
    assert version[1] in listed
    assert version[1] == model["version"]  # the same file with the same options is the same bundle
    assert "LiteRT serves it" in publish
    (report,) = verified.values()
    assert report.count("100.0% of 4 right") == 2, report
    again = json.loads(terminal.run(next(iter(asked))))
    assert again["model"] == uploaded["model"] | {"engine": "litert"}
    assert again["predictions"] == uploaded["predictions"]


@pytest.mark.tensorflow
def test_the_bundle_that_the_page_makes_is_one(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(terminal.folder)
    (written,) = (block for language, block in BLOCKS if language == "python")
    exec(compile(written, "the page", "exec"), {})  # noqa: S102 - our own page

    opened = open_keras(as_bundle(read_bundle(terminal.folder / "cats")))

    assert opened.serving.labels == ("cat", "dog")


def test_nothing_on_the_page_looks_like_a_command_that_is_not_run() -> None:
    assert {language for language, _ in BLOCKS} == {"python", "sh"}
    rest = FENCE.sub("", PAGE)
    assert re.findall(r"^    (?:\$ )?(?:npm|npx|curl|aws|python|scripts)\b.*", rest, re.MULTILINE) == []


def test_the_reference_of_serving_json_has_every_field_and_an_example_that_is_read() -> None:
    document = next(block for language, block in FENCE.findall(REFERENCE) if language == "json")
    serving = parse_serving(document.encode(), None, ModelShape(224, 224, 3, 2, "softmax"))
    assert serving.labels == ("cat", "dog")
    named = {*json.loads(document), *json.loads(document)["preprocessing"]}
    assert {name for name in (*FIELDS, *PREPROCESSING_FIELDS) if f"`{name}`" not in REFERENCE} == set()
    assert {"output", "size", "scale", "filter", "resize"} <= named
