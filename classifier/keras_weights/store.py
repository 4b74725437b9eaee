"""An HDF5 file of weights, opened so that it can read nothing but itself and ask for no more memory than stated.

Refused: links other than hard ones, external and virtual storage, filters beyond zlib, shuffle, checksum and lzf,
references and variable-length data, datasets that declare more than they hold or more than the limit.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from math import prod
from mmap import mmap
from typing import TYPE_CHECKING, Final

from classifier.errors import ModelError, ModelNotAllowedError, ModelTooLargeError
from classifier.keras_json import sharing
from classifier.keras_weights.buffer import BufferFile

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    import h5py
    import numpy as np

_MAX_OBJECTS: Final = 30_000  # [NASNetLarge 6,000]; each costs a tenth of a millisecond
_TRAINING: Final = frozenset({"optimizer", "optimizer_weights", "metrics"})  # not read, so not looked at
_MAX_DEPTH: Final = 64
_MAX_ATTRIBUTE_BYTES: Final = 4 * 2**20
_FILTERS: Final = frozenset({1, 2, 3, 32000})  # zlib, shuffle, fletcher32, lzf: any other may load a plug-in library


@dataclass(frozen=True, slots=True)
class Dataset:
    """An array in the file, not read yet."""

    path: str
    shape: tuple[int, ...]
    node: h5py.Dataset

    def read(self) -> np.ndarray:
        """The array; bfloat16 is stored as raw two-byte items with an attribute that says so (Keras 3)."""
        import numpy as np

        try:
            array = self._array()
            if self.node.attrs.get("dtype") in ("bfloat16", b"bfloat16"):
                array = (np.ascontiguousarray(array).view(np.uint16).astype(np.uint32) << 16).view(np.float32)
        except (OSError, ValueError, RuntimeError, TypeError) as error:
            raise ModelError(f"weights: {self.path!r} can't be read: {error}") from error
        return array

    def _array(self) -> np.ndarray:
        import numpy as np

        if not self.node.size or not self.shape:
            return np.asarray(self.node[()])
        array = sharing.empty(self.shape, self.node.dtype)
        self.node.read_direct(array)
        return array


@dataclass(frozen=True, slots=True)
class Store:
    """Every dataset by path ("layers/dense/vars/0"), every group's attributes."""

    file: h5py.File
    datasets: Mapping[str, Dataset]
    groups: frozenset[str]

    @property
    def elements(self) -> int:
        """How many numbers the file holds."""
        return sum(prod(dataset.shape) for dataset in self.datasets.values())

    def names(self, group: str, attribute: str) -> list[str] | None:
        """A list of names in an attribute, also one that Keras split into name0, name1, ... for HDF5's 64 kB limit."""
        node = self.file[group or "/"]
        if attribute in node.attrs:
            return _texts(node, attribute, group)
        parts: list[str] = []
        number = 0
        while f"{attribute}{number}" in node.attrs:
            parts += _texts(node, f"{attribute}{number}", group)
            number += 1
        return parts if number else None

    def text(self, group: str, attribute: str) -> str | None:
        """A text in an attribute."""
        node = self.file[group or "/"]
        if attribute not in node.attrs:
            return None
        found = _texts(node, attribute, group)
        return found[0] if found else None


@contextmanager
def open_store(source: bytes | mmap | Path, max_bytes: int) -> Iterator[Store]:
    """Open weights given as bytes, as a mapped file or as a path; nothing is copied, nothing is written anywhere."""
    import h5py

    try:
        file = h5py.File(BufferFile(source) if isinstance(source, bytes | mmap) else source, "r")
    except (OSError, ValueError, RuntimeError) as error:
        raise ModelError(f"weights: not a whole HDF5 file: {error}") from error
    try:
        with file:  # closing, too, may find what is broken
            yield Store(file, *_survey(file, max_bytes))
    except (OSError, KeyError, RuntimeError) as error:
        raise ModelError(f"weights: broken HDF5 file: {error}") from error


def _survey(file: h5py.File, max_bytes: int) -> tuple[dict[str, Dataset], frozenset[str]]:
    """Walk the whole file once, looking at every link before following it."""
    import h5py

    datasets: dict[str, Dataset] = {}
    groups: set[str] = set()
    waiting: list[tuple[str, h5py.Group, int]] = [("", file["/"], 0)]
    total = 0
    seen = 0
    while waiting:
        path, group, depth = waiting.pop()
        if depth > _MAX_DEPTH:
            raise ModelTooLargeError(f"weights: groups are nested more than {_MAX_DEPTH} deep, or in a circle")
        groups.add(path)
        seen += len(group)  # known before any of them is looked at
        if seen > _MAX_OBJECTS:
            raise ModelTooLargeError(f"weights: more than {_MAX_OBJECTS:,} objects")
        for name in group:
            if isinstance(name, bytes):
                raise ModelError(f"weights: the name {name!r} in {path or '/'!r} is no UTF-8")
            inner = f"{path}/{name}" if path else name
            if group.id.links.get_info(name.encode()).type != h5py.h5l.TYPE_HARD:
                raise ModelNotAllowedError(f"weights: {inner!r} is a link to somewhere else")
            node = group[name]
            if isinstance(node, h5py.Group) and inner in _TRAINING:
                continue
            if isinstance(node, h5py.Group):
                waiting.append((inner, node, depth + 1))
            elif isinstance(node, h5py.Dataset):
                total += _check_dataset(node, inner, max_bytes - total)
                datasets[inner] = Dataset(inner, tuple(node.shape), node)
    return datasets, frozenset(groups)


def _check_dataset(node: h5py.Dataset, path: str, room: int) -> int:
    """The bytes it would take in memory; raises for one that reads elsewhere or holds less than it declares."""
    plist = node.id.get_create_plist()
    if node.external or node.is_virtual:
        raise ModelNotAllowedError(f"weights: {path!r} is stored in another file")
    filters = {plist.get_filter(number)[0] for number in range(plist.get_nfilters())}
    if not filters <= _FILTERS:
        raise ModelNotAllowedError(f"weights: {path!r} needs HDF5 filter {sorted(filters - _FILTERS)}")
    try:
        kind = node.dtype.kind
    except TypeError as error:
        raise ModelError(f"weights: {path!r} holds what h5py does not know: {error}") from error
    if kind == "O" or node.dtype.names is not None or node.shape is None:
        raise ModelNotAllowedError(f"weights: {path!r} holds {node.dtype}, not numbers")
    declared = prod(node.shape) * node.dtype.itemsize
    chunk = prod(node.chunks) * node.dtype.itemsize if node.chunks else 0
    if chunk > max(declared, 2**20):
        raise ModelTooLargeError(f"weights: {path!r} is stored in chunks of {chunk:,} bytes")
    if declared > room:
        raise ModelTooLargeError(f"weights: {path!r} declares {declared:,} bytes, {room:,} are left for it")
    if declared and not node.id.get_storage_size():
        raise ModelError(f"weights: {path!r} declares {declared:,} bytes and holds none")
    return int(declared)


def _texts(node: h5py.Group, attribute: str, group: str) -> list[str]:
    """An attribute's texts; its size is checked before it is read."""
    import h5py
    import numpy as np

    size = h5py.h5a.get_info(node.id, attribute.encode()).data_size
    if size > _MAX_ATTRIBUTE_BYTES:
        raise ModelTooLargeError(f"weights: attribute {attribute!r} of {group!r} has {size:,} bytes")
    value = node.attrs[attribute]
    items = np.asarray(value).reshape(-1).tolist()
    if not all(isinstance(item, str | bytes) for item in items):
        raise ModelError(f"weights: attribute {attribute!r} of {group!r} is not text")
    return [item.decode("utf-8", "replace") if isinstance(item, bytes) else item for item in items]
