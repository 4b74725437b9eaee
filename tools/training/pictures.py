"""Owns the pictures on disk: which files are which class and split, and their pixels as the service will see them."""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SPLITS = ("train", "validation", "test")
SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".gif", ".webp", ".bmp"})
HELD_OUT_SHARE = 0.1


class DatasetError(Exception):
    """The folder given can't be trained on; the message says what to change."""


@dataclass(frozen=True, slots=True)
class Tree:
    """The picture files of each split, as (path, class index), and the class names in index order."""

    root: Path
    labels: tuple[str, ...]
    splits: dict[str, tuple[tuple[Path, int], ...]]


@dataclass(frozen=True, slots=True)
class Pixels:
    """Pictures uint8 [n, size, size, 3], their class indices int64 [n] and files; those that could not be read."""

    images: "NDArray[np.uint8]"
    targets: "NDArray[np.int64]"
    paths: tuple[Path, ...]
    skipped: tuple[tuple[Path, str], ...] = field(default=())


def find_tree(root: Path, seed: int) -> Tree:
    """List a folder-per-class tree; splits that have no folder of their own are drawn from `train` by a seeded hash."""
    if not root.is_dir():
        raise DatasetError(f"{root} is not a folder. Give --data a folder that holds one folder of pictures per class.")
    has_splits = (root / "train").is_dir()
    folders = {name: root / name for name in SPLITS if has_splits and (root / name).is_dir()} or {"train": root}
    labels = _labels(folders["train"])
    splits = {name: _listing(folder, labels) for name, folder in folders.items()}
    for held_out in ("test", "validation"):
        if held_out not in splits:
            splits["train"], splits[held_out] = _hold_out(splits["train"], root, f"{seed}/{held_out}")
    return Tree(root, labels, splits)


def _labels(folder: Path) -> tuple[str, ...]:
    labels = _folders(folder)
    if len(labels) < 2:
        found = f"only the class '{labels[0]}'" if labels else "no folder"
        raise DatasetError(f"{folder} holds {found}; it needs at least two classes, each a folder of pictures.")
    empty = [label for label in labels if not _pictures(folder / label)]
    if empty:
        suffixes = ", ".join(sorted(SUFFIXES))
        raise DatasetError(
            f"No pictures in {folder} for: {', '.join(empty)}. Add some ({suffixes}) or remove the folder."
        )
    return labels


def _folders(folder: Path) -> tuple[str, ...]:
    return tuple(sorted(e.name for e in folder.iterdir() if e.is_dir() and not e.name.startswith(".")))


def _listing(folder: Path, labels: Sequence[str]) -> tuple[tuple[Path, int], ...]:
    unknown = [name for name in _folders(folder) if name not in labels]
    if unknown:
        raise DatasetError(f"{folder} holds classes that train does not: {', '.join(unknown)}.")
    return tuple((path, index) for index, label in enumerate(labels) for path in _pictures(folder / label))


def _pictures(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return sorted(p for p in folder.rglob("*") if p.suffix.lower() in SUFFIXES and not p.name.startswith("."))


def _hold_out(
    files: Sequence[tuple[Path, int]], root: Path, salt: str
) -> tuple[tuple[tuple[Path, int], ...], tuple[tuple[Path, int], ...]]:
    """Move a tenth of each class, at least one where it has three, to the held-out side; the same files every time."""
    held: set[Path] = set()
    for index in {target for _, target in files}:
        members = sorted((p for p, target in files if target == index), key=lambda p: _rank(p, root, salt))
        count = round(len(members) * HELD_OUT_SHARE)
        held.update(members[: max(count, 1 if len(members) >= 3 else 0)])
    return tuple(f for f in files if f[0] not in held), tuple(f for f in files if f[0] in held)


def _rank(path: Path, root: Path, salt: str) -> str:
    return hashlib.sha256(f"{salt}/{path.relative_to(root).as_posix()}".encode()).hexdigest()


def read_pixels(files: Iterable[tuple[Path, int]], size: int) -> Pixels:
    """Decode and stretch every readable picture to size x size; unreadable ones end in `skipped` with the reason."""
    import numpy as np

    images: list[NDArray[np.uint8]] = []
    read: list[tuple[Path, int]] = []
    skipped: list[tuple[Path, str]] = []
    for path, target in files:
        try:
            images.append(read_picture(path, size))
            read.append((path, target))
        except Exception as error:  # noqa: BLE001 - Pillow's decoders raise anything from SyntaxError to struct.error
            skipped.append((path, str(error) or type(error).__name__))
    stacked = np.stack(images) if images else np.zeros((0, size, size, 3), np.uint8)
    targets = np.array([target for _, target in read], np.int64)
    return Pixels(stacked, targets, tuple(path for path, _ in read), tuple(skipped))


def read_picture(path: Path, size: int) -> "NDArray[np.uint8]":
    """Pixels uint8 [size, size, 3] as the service computes them: upright, alpha over white, RGB, bilinear stretch.

    For an RGB picture without EXIF orientation these are the pixels of `keras.utils.load_img(path, target_size=...,
    interpolation="bilinear")`; for the others the service differs from Keras on purpose, and so does this.
    """
    import numpy as np
    from PIL import Image, ImageOps

    with Image.open(path) as opened:
        image: Image.Image = ImageOps.exif_transpose(opened)
        if image.has_transparency_data:
            image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image.convert("RGBA"))
        resized = image.convert("RGB").resize((size, size), Image.Resampling.BILINEAR)
    return np.asarray(resized, np.uint8)
