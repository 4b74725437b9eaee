"""`publish --against` names the pipeline that a model was trained through, given photographs and no hint.

Some minutes a model, and photographs that are not in here: FULL=1 PHOTOS=DIR runs it, DIR with train/, validation/ and
test/ folders of a folder a label. The models stay in build/trained-pipelines.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from classifier.pictures.preprocessing import Preprocessing
from lifecycle.command import main
from lifecycle.evidence import RIVAL, SAME
from lifecycle.pipelines import NEAR, PIXELS, named
from tests.support.trained_pipelines import PIPELINES, SIZE, files, trained

if TYPE_CHECKING:
    from collections.abc import Sequence

PHOTOS = Path(os.environ.get("PHOTOS", "/nowhere"))
SPLITS = os.environ.get("SPLITS", "validation,test").split(",")
A_LABEL = 20
UNTOLD = "tf-bicubic", "another of the same answers named"
"""The one of which bilinear, more common, makes the same answers of these pictures."""
pytestmark = [
    pytest.mark.tensorflow,
    pytest.mark.skipif(not os.environ.get("FULL"), reason="trains thirteen models, an hour: FULL=1 PHOTOS=DIR"),
]


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twenty pictures of each label, from all over its folder; the next split's where one has too few."""
    folder = tmp_path_factory.mktemp("shown")
    for split in SPLITS:
        labels: dict[str, list[Path]] = {}
        for path, _ in files(PHOTOS / split):
            labels.setdefault(path.parent.name, []).append(path)
        for label, paths in labels.items():
            (folder / label).mkdir(exist_ok=True)
            wanted = A_LABEL - len(list((folder / label).iterdir()))
            for path in paths[:: max(1, len(paths) // A_LABEL)][:wanted]:
                (folder / label / f"{split}-{path.name}").symlink_to(path)
    return folder


def outcome(said: Sequence[str], pixels: str, best: str, *, clear: bool) -> str:
    """What became of the right pipeline, by the table that was printed."""
    row = next((line for line in said if f" {pixels};" in f" {line}"), "")
    if best == pixels:
        return "named" if clear else "named, but asked"
    if {best, pixels} in NEAR:
        return "nearly its pixels named"
    return "another of the same answers named" if SAME in row else "asked" if RIVAL in row else "wrong"


@pytest.mark.usefixtures("place")
@pytest.mark.parametrize("name", PIPELINES)
def test_the_pipeline_of_the_training_is_named(name: str, shown: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model, pipeline = trained(name, PHOTOS / "train"), PIPELINES[name]
    wanted = named(Preprocessing.from_json({"size": SIZE, **pipeline.fields}, (*SIZE, pipeline.channels)))
    capsys.readouterr()
    labels = ["--labels", str(model.with_suffix(".json"))]
    status = main(["publish", str(model), *labels, "--against", str(shown), "--dry-run", "--json", "--yes"])
    printed = capsys.readouterr()
    said = printed.err.splitlines()
    table = said[next(at for at, line in enumerate(said) if "trained with" in line) + 1 :]
    best = next(each for each in PIXELS for line in table if f" {each};" in f" {line}" and " best" in line)
    found = outcome(table, wanted.pixels, best, clear=status == 0)
    with capsys.disabled():
        print(f"\n{name}: {found}; best {best}")
    assert found.startswith("named") or (name, found) == UNTOLD, "\n".join(table)
    assert status in (0, 2)
    if status == 0:
        assert json.loads(printed.out)["pipeline"]["best"].endswith(wanted.name.split(";", 1)[1])
