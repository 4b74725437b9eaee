"""What models come in: zips, folders of any names, unpacked `.keras` archives, SavedModels that GitHub made flat.

Each is turned into what Keras or TensorFlow would have written, and said in a sentence. Nothing that a zip names is
written outside of its own folder.
"""

from __future__ import annotations

import json
import zipfile
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from lifecycle import not_models
from lifecycle.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from contextlib import ExitStack

HDF5 = b"\x89HDF\r\n\x1a\n"
ZIP = b"PK\x03\x04"
MOST_FILES = 1_000
MOST_BYTES = 8 << 30
_NOT_ARCHITECTURES = ("serving.json", "published.json", "metadata.json", "report.json", "verified.json")
TEACHABLE_MACHINE = {"resize": "crop", "filter": "lanczos", "scale": "tf"}
"""What Teachable Machine does to pictures before its models see them, as the code does that it hands out with them."""


@dataclass(frozen=True, slots=True)
class Found:
    """The files that make up one model, and what was understood.

    `paths`: one file or SavedModel folder, or architecture JSON and weights. `labels` lies beside it; `preprocessing`
    is what its kind is known for. `told` says what was taken for what, where that is not plain; `left`, which labels
    were not taken.
    """

    paths: tuple[Path, ...]
    labels: Path | None = None
    preprocessing: Mapping[str, Any] = field(default_factory=dict)
    told: str = ""
    left: str = ""


def find(paths: Sequence[Path], stack: ExitStack) -> Found:
    """What the paths on the command line hold; what has to be unpacked goes as `stack` is closed. UsageError."""
    for path in paths:
        if not path.exists():
            raise UsageError(f"there is no {path}")
        not_models.refuse_known(path)
    if len(paths) > 1:
        return _with_labels(tuple(paths))
    path = paths[0]
    if path.is_dir():
        return _folder(path, stack)
    if head_of(path) == ZIP and not _is_archive_of_keras(path):
        return _folder(_unpacked(path, stack), stack, f"the zip {path.name}")
    if path.suffix == ".json" or path.name.endswith(".weights.h5"):
        return _with_its_other_half(path)
    return _with_labels((path,))


def head_of(path: Path) -> bytes:
    """The magic bytes of a zip or an HDF5 file, and whatever any other begins with."""
    if not path.is_file():
        return b""
    with path.open("rb") as file:
        head = file.read(8)
    return head[:4] if head.startswith(ZIP) else head


def _folder(path: Path, stack: ExitStack, what: str = "") -> Found:
    what = what or f"the folder {path.name or path}"
    not_models.refuse_pointers(path)
    files = sorted(item for item in path.iterdir() if not item.name.startswith((".", "__MACOSX")))
    if len(files) == 1 and files[0].is_dir():
        return _folder(files[0], stack, what)
    if (path / "saved_model.pb").is_file():
        return _saved_model(path, stack, what)
    if all((path / name).is_file() for name in ("config.json", "model.weights.h5", "metadata.json")):
        return Found((_packed(path, stack),), _labels(files), told=f"{what} is an unpacked .keras archive")
    if (path / "keras_model.h5").is_file() and (path / "labels.txt").is_file():
        text = f"{what} is Teachable Machine's: its labels without their numbers, its preprocessing (crop, lanczos, tf)"
        return Found((path / "keras_model.h5",), path / "labels.txt", TEACHABLE_MACHINE, text)
    return _of_any_names(path, files, what)


def _of_any_names(path: Path, files: Sequence[Path], what: str) -> Found:
    """One architecture and one weights file, or one whole model; names decide only where there are several."""
    for file in files:
        not_models.refuse_known(file) if file.suffix in (".tflite", ".onnx") and len(files) == 1 else None
    jsons = [file for file in files if file.suffix == ".json" and _may_be_architecture(file)]
    stores = [file for file in files if head_of(file) == HDF5]
    archives = [file for file in files if head_of(file) == ZIP]
    jsons = _preferred(jsons, "architecture.json", "model.json")
    pairs = _preferred(stores, "model.weights.h5", "weights.weights.h5", "weights.h5") if jsons else stores
    labels = _labels(files)
    if len(jsons) == 1 and len(pairs) == 1 and not archives:
        return Found((jsons[0], pairs[0]), labels, told=f"{what}: {jsons[0].name} and {pairs[0].name}")
    if not jsons and len(stores) + len(archives) == 1:
        only = (*stores, *archives)[0]
        return Found((only,), labels, told=f"{what}: {only.name}")
    if not stores and not archives and not_models.is_checkpoint(path):
        raise UsageError(
            f"{what} holds a checkpoint, which is numbers without layers: publish what model.save() writes"
        )
    if len(jsons) > 1 or len(stores) + len(archives) > 1:
        several = ", ".join(file.name for file in (*jsons, *stores, *archives))
        raise UsageError(f"{what} holds several models' files ({several[:300]}): give the ones that are meant")
    for file in files:
        not_models.refuse_known(file)
    raise UsageError(
        f"{path} holds no model: expected saved_model.pb, a .keras or .h5 file, or architecture JSON and its weights"
    )


def _preferred(files: list[Path], *names: str) -> list[Path]:
    """The one of the best name, where there are several and one has it."""
    by_name = {file.name: file for file in files}
    best = next((by_name[name] for name in names if name in by_name), None)
    return [best] if best is not None else files


def _may_be_architecture(path: Path) -> bool:
    if path.name in _NOT_ARCHITECTURES:
        return False
    data = path.read_bytes()
    not_models.refuse_json(path, data)
    try:
        document = json.loads(data)
    except (ValueError, RecursionError):
        return path.name in ("architecture.json", "model.json")  # its reader will say what is wrong with it
    return isinstance(document, str) or (isinstance(document, dict) and "class_name" in document)


def _with_labels(paths: tuple[Path, ...]) -> Found:
    """The files, and the labels that lie beside them: unless other models do so too, whose they may be."""
    beside = sorted(paths[0].absolute().parent.iterdir())
    labels, own = _labels(beside), {path.resolve() for path in paths}
    if labels is None:
        return Found(paths)
    for file in beside:
        is_model = head_of(file) in (HDF5, ZIP) or (file.suffix == ".json" and _may_be_architecture(file))
        if is_model and file.resolve() not in own:
            left = f"{labels.name} lies beside several models ({file.name} as well) and is not taken: give --labels"
            return Found(paths, left=left)
    return Found(paths, labels)


def _with_its_other_half(path: Path) -> Found:
    """Architecture JSON beside weights, or weights beside their JSON: those of the same name, else the only ones."""
    if path.suffix == ".json":
        not_models.refuse_json(path, path.read_bytes())
    beside = sorted(path.parent.iterdir())
    others = (
        [file for file in beside if head_of(file) == HDF5]
        if path.suffix == ".json"
        else [file for file in beside if file.suffix == ".json" and _may_be_architecture(file)]
    )
    stem = path.name.split(".")[0]
    same = [file for file in others if file.name.split(".")[0] == stem] or others
    if len(same) == 1:
        first, second = (path, same[0]) if path.suffix == ".json" else (same[0], path)
        return replace(_with_labels((first, second)), told=f"{first.name} and {second.name}")
    needs = "weights" if path.suffix == ".json" else "architecture JSON (model.to_json())"
    raise UsageError(f"{path.name} is half a model: give its {needs} too")


def _labels(files: Sequence[Path]) -> Path | None:
    return next(
        (
            file
            for name in ("labels.txt", "class_indices.json", "labels.json", "labels.csv", "classes.txt")
            for file in files
            if file.name == name
        ),
        None,
    )


def _is_archive_of_keras(path: Path) -> bool:
    try:
        with zipfile.ZipFile(path) as archive:
            return {"config.json", "metadata.json"} <= set(archive.namelist())
    except (zipfile.BadZipFile, OSError, NotImplementedError):
        return True  # its reader will say what is wrong with it


def _unpacked(path: Path, stack: ExitStack) -> Path:
    """The zip's files in a folder of their own; UsageError for one that would take too much or leave the folder."""
    target = Path(stack.enter_context(TemporaryDirectory(prefix="publish-")))
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
            size = sum(member.file_size for member in members)
            if len(members) > MOST_FILES or size > MOST_BYTES:
                raise UsageError(f"{path.name} unpacks to {len(members)} files of {size:,} bytes: too much for a model")
            archive.extractall(target)  # strips what leads elsewhere ("Never extract archives from untrusted sources")
    except (zipfile.BadZipFile, OSError, EOFError, NotImplementedError, RuntimeError, ValueError) as error:
        raise UsageError(f"{path.name} can't be unpacked: {error}") from error
    return target


def _packed(path: Path, stack: ExitStack) -> Path:
    target = (
        Path(stack.enter_context(TemporaryDirectory(prefix="publish-"))) / f"{path.name.removesuffix('.keras')}.keras"
    )
    with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as archive:
        for name in ("metadata.json", "config.json", "model.weights.h5"):
            archive.write(path / name, name)
    return target


def _saved_model(path: Path, stack: ExitStack, what: str) -> Found:
    """A SavedModel folder; one whose variables lie flat, as uploads by a browser leave them, is put in order."""
    labels = _labels(sorted(path.iterdir()))
    flat = sorted(path.glob("variables.*"))
    if not flat or (path / "variables").is_dir():
        return Found((path,), labels, told="" if what.endswith(path.name) else f"{what} holds a SavedModel")
    target = Path(stack.enter_context(TemporaryDirectory(prefix="publish-"))) / path.name
    (target / "variables").mkdir(parents=True)
    for file in (item for item in path.iterdir() if item.is_file()):
        (target / "variables" / file.name if file in flat else target / file.name).symlink_to(file.resolve())
    if (path / "assets").is_dir():
        (target / "assets").symlink_to((path / "assets").resolve())
    return Found((target,), labels, told=f"{what} is a SavedModel whose variables lie beside saved_model.pb")
