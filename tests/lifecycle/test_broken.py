"""No verb ends in a traceback, whatever it is given: each over a folder of broken things, one sentence each."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import pytest

from lifecycle import bundling
from lifecycle.command import VERBS, main
from lifecycle.place import Place
from tests.support.model_sources import LABELS

pytestmark = pytest.mark.tensorflow
NO_RECORDS = (b"", b"{}", b"[]", b'{"objects": {"architecture.json": 3}}', b'{"objects": {"architecture.json": {}}}')


def broken(folder: Path, sources: Path) -> list[list[Path]]:
    """Paths as they would be given to `publish`: cut short, of another model, linked elsewhere, or nothing at all."""
    import h5py
    import keras

    text, weights = sources / "model.json", (sources / "model.weights.h5").read_bytes()
    made: dict[str, bytes] = {
        "cut.weights.h5": weights[: len(weights) // 2],
        "cut.h5": (sources / "model.h5").read_bytes()[:3000],
        "cut.keras": (sources / "model.keras").read_bytes()[:3000],
        "cut.json": text.read_bytes()[:500],
        "empty.h5": b"",
        "empty.json": b"",
        "list.json": b"[]",
        "deep.json": b"[" * 100_000,
        "nonsense.pb": b"\x00\x01\x02",
        "empty.pb": b"",
        "zip.zip": b"PK\x03\x04nothing",
    }
    for name, data in made.items():
        (folder / name).write_bytes(data)
    for name, target in {"linked.h5": "/optimizer", "outside.h5": None}.items():
        with h5py.File(sources / "model.h5") as whole, h5py.File(folder / name, "w") as file:
            file.attrs.update(whole.attrs)
            link = h5py.SoftLink(target) if target else h5py.ExternalLink(str(sources / "model.h5"), "/model_weights")
            file["model_weights"] = link
    with zipfile.ZipFile(folder / "empty.keras", "w") as archive:
        archive.writestr("config.json", "{}")
        archive.writestr("metadata.json", "[]")
    other = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Flatten(), keras.layers.Dense(3)])
    other.save_weights(folder / "other.weights.h5")
    (folder / "saved").mkdir()
    (folder / "saved" / "saved_model.pb").write_bytes(b"\x08")
    (folder / "nothing").mkdir()
    alone = [[folder / name] for name in sorted([*made, "linked.h5", "outside.h5", "empty.keras", "saved", "nothing"])]
    pairs = [[text, folder / name] for name in ("cut.weights.h5", "other.weights.h5", "empty.h5", "linked.h5")]
    return [*alone, *pairs, [folder / "cut.json", sources / "model.weights.h5"], [folder / "absent"], [folder]]


def ended(arguments: list[Any], capsys: Any) -> tuple[int, str]:
    """A verb's exit code and the last line that it printed."""
    try:
        code = main([str(argument) for argument in arguments])
    except SystemExit as error:
        code = int(error.code or 0)
    lines = capsys.readouterr().err.strip().splitlines()
    return code, lines[-1] if lines else ""


def test_publish_refuses_each_with_a_sentence(place: Place, sources: Path, tmp_path: Path, capsys: Any) -> None:
    labels = ["--labels", sources / "labels.txt"]
    for paths in broken(tmp_path, sources):
        code, said = ended(["publish", *paths, "--to", place.url, *labels], capsys)
        assert code in (1, 2), (paths, said)
        assert said.startswith("models: "), (paths, said)
    told = ended(["publish", sources / "model.json", tmp_path / "other.weights.h5", "--to", place.url], capsys)[1]
    assert "the file has 579 numbers, the architecture asks for" in told
    assert place.client.list_objects_v2(Bucket=place.bucket)["KeyCount"] == 0


@pytest.mark.parametrize("kind", ["labels", "serving", "preprocessing", "sample"])
def test_publish_refuses_broken_files_beside_the_model(
    place: Place, sources: Path, tmp_path: Path, capsys: Any, kind: str
) -> None:
    for data in (b"", b"\xff\xfe\xfa", b'{"cat": 0, "dog": null}', b"[[[", b"[1, {}]"):
        (tmp_path / "given.json").write_bytes(data)
        (tmp_path / "given.png").write_bytes(data)
        path = tmp_path / ("given.png" if kind == "sample" else "given.json")
        code, said = ended(["publish", sources / "model.keras", "--to", place.url, f"--{kind}", path], capsys)
        assert code in (1, 2), (data, said)
        assert "fault of ours" not in said


def asked_of(place: str, folder: Path) -> dict[str, list[Any]]:
    """Each verb's arguments for a place, but publish's."""
    return {
        "list": [place],
        "show": [place],
        "diff": [place, "--old", "a"],
        "verify": [place, "--against", folder],
        "promote": ["--from", place, "--to", f"{place}-other"],
        "rollback": [place, "--to", "a"],
        "prune": [place, "--yes"],
        "classify-all": [place, "--to", folder / "rows.jsonl", "--model", place],
        "export": [place, "--as", "keras", "--out", folder / "out.keras"],
        "canary": [place, "status", "--log", folder / "nothing.log"],
        "captured": [place, "--to", folder / "captured"],
        "drift": [place, "--captures", place],
    }


def test_every_other_verb_ends_with_a_sentence_over_broken_places(place: Place, tmp_path: Path, capsys: Any) -> None:
    asked = asked_of(place.url, tmp_path)
    assert {"publish", *asked} == set(VERBS)
    for body in NO_RECORDS:
        for name in ("published.json", "architecture.json", "model.weights.h5"):
            place.client.put_object(Bucket=place.bucket, Key=f"{place.prefix}{name}", Body=body)
        for verb, arguments in asked.items():
            code, said = ended([verb, *arguments], capsys)
            assert code in (0, 1, 2, 3), (verb, body, said)


def test_what_npm_start_is_given_is_refused_with_a_sentence(sources: Path, tmp_path: Path, capsys: Any) -> None:
    assert bundling.main([str(tmp_path / "bundle"), str(sources / "labels.txt")]) == 1
    assert "is not a model that can be published" in capsys.readouterr().err


def test_what_teachable_machine_exports_is_served_in_one_command(sources: Path, tmp_path: Path, capsys: Any) -> None:
    """Its export is a zip of an HDF5 file and numbered labels; its own code fits pictures by Lanczos to -1 to 1."""
    import json

    with zipfile.ZipFile(tmp_path / "converted_keras.zip", "w") as archive:
        archive.write(sources / "model.h5", "keras_model.h5")
        archive.writestr("labels.txt", "".join(f"{index} {label}\n" for index, label in enumerate(LABELS)))

    assert bundling.main([str(tmp_path / "bundle"), str(tmp_path / "converted_keras.zip")]) == 0

    serving = json.loads((tmp_path / "bundle" / "serving.json").read_bytes())
    assert serving["labels"] == list(LABELS)
    chosen = {name: serving["preprocessing"][name] for name in ("resize", "filter", "scale")}
    assert chosen == {"resize": "crop", "filter": "lanczos", "scale": "tf"}
    assert len(list((tmp_path / "bundle").glob("compiled/*/model.tflite"))) == 1
    assert "Teachable Machine" in capsys.readouterr().err
