"""Weights files that point elsewhere, declare what they don't hold, or are broken: refused, and cheaply."""

from __future__ import annotations

import resource
import zipfile
from typing import TYPE_CHECKING, Any

import pytest

from classifier.errors import ModelError, ModelNotAllowedError, ModelTooLargeError
from classifier.keras_json.architecture import read_architecture
from classifier.keras_json.limits import Limits
from classifier.keras_weights.loading import load_model
from classifier.keras_weights.store import open_store
from lifecycle.model_files import read_model_file
from tests.support.keras_models import FIXTURES, dense, sequential

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = pytest.mark.tensorflow

ARCHITECTURE = read_architecture(sequential(dense("d")))
KERNEL, BIAS = "layers/dense/vars/0", "layers/dense/vars/1"


def write(path: Path, change: Callable[[Any], object]) -> bytes:
    """A weights file for one Dense layer of 4 x 2, changed."""
    import h5py
    import numpy as np

    with h5py.File(path, "w") as file:
        file[KERNEL] = np.ones((4, 2), np.float32)
        file[BIAS] = np.ones(2, np.float32)
        change(file)
    return path.read_bytes()


def replaced(name: str, make: Callable[[Any], object]) -> Callable[[Any], object]:
    """A change that removes `name` first."""

    def change(file: Any) -> None:
        del file[name]
        make(file)

    return change


def external_link(file: Any) -> None:
    """CVE-2026: reading a file of the server's as weights."""
    import h5py

    file[KERNEL] = h5py.ExternalLink("/etc/passwd", "/")


def soft_link(file: Any) -> None:
    import h5py

    file[KERNEL] = h5py.SoftLink("/" + BIAS)


def external_group(file: Any) -> None:
    import h5py

    file["model_weights"] = h5py.ExternalLink("other.h5", "/model_weights")


def external_storage(file: Any) -> None:
    """CVE-2026-1669: the dataset's bytes come from any file on the server."""
    file.create_dataset(KERNEL, (4, 2), "f4", external=[("/etc/passwd", 0, 32)])


def virtual(file: Any) -> None:
    import h5py

    layout = h5py.VirtualLayout((4, 2), "f4")
    layout[:] = h5py.VirtualSource("/etc/passwd", "x", (4, 2))
    file.create_virtual_dataset(KERNEL, layout)


def reference(file: Any) -> None:
    import h5py

    file.create_dataset(KERNEL, (4, 2), h5py.ref_dtype)


def texts(file: Any) -> None:
    import h5py

    file.create_dataset(KERNEL, data=[["x"] * 2] * 4, dtype=h5py.string_dtype())


def compound(file: Any) -> None:
    import numpy as np

    file.create_dataset(KERNEL, data=np.zeros((4, 2), [("a", "f4"), ("b", "f4")]))


@pytest.mark.parametrize(
    "make",
    [external_link, soft_link, external_storage, virtual, reference, texts, compound],
    ids=lambda make: make.__name__,
)
def test_what_reads_elsewhere_or_holds_no_numbers_is_not_allowed(tmp_path: Path, make: Callable[[Any], object]) -> None:
    with pytest.raises(ModelNotAllowedError, match=KERNEL):
        load_model(ARCHITECTURE, write(tmp_path / "w.h5", replaced(KERNEL, make)))


def test_a_link_is_refused_even_where_nothing_would_follow_it(tmp_path: Path) -> None:
    with pytest.raises(ModelNotAllowedError, match="model_weights"):
        load_model(ARCHITECTURE, write(tmp_path / "w.h5", external_group))


def shape_bomb(file: Any) -> None:
    """CVE-2026-0897: a shape of petabytes, of which nothing is stored."""
    file.create_dataset(KERNEL, (10**6, 10**6, 10**3), "f4", chunks=(1, 1, 1000))


def zipped_bomb(file: Any) -> None:
    import numpy as np

    file.create_dataset(KERNEL, data=np.zeros((4_096, 2_048), np.float32), compression="gzip", compression_opts=9)


def unallocated(file: Any) -> None:
    file.create_dataset(KERNEL, (4, 2), "f4")


def huge_chunks(file: Any) -> None:
    file.create_dataset(KERNEL, (4, 2), "f4", maxshape=(None, None), chunks=(2**14, 2**14))


@pytest.mark.parametrize("make", [shape_bomb, zipped_bomb, huge_chunks], ids=lambda make: make.__name__)
def test_what_declares_more_than_it_holds_is_too_large(tmp_path: Path, make: Callable[[Any], object]) -> None:
    data = write(tmp_path / "w.h5", replaced(KERNEL, make))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    with pytest.raises(ModelTooLargeError):
        load_model(ARCHITECTURE, data)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000  # kB


def test_a_dataset_without_data_is_invalid(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="holds none"):
        load_model(ARCHITECTURE, write(tmp_path / "w.h5", replaced(KERNEL, unallocated)))


def test_groups_in_a_circle_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelTooLargeError, match="circle"):
        load_model(ARCHITECTURE, write(tmp_path / "w.h5", lambda file: file["layers"].__setitem__("again", file["/"])))


def test_a_great_many_objects_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("classifier.keras_weights.store._MAX_OBJECTS", 100)

    def many(file: Any) -> None:
        for number in range(100):
            file[f"many/{number}"] = file[BIAS]

    with pytest.raises(ModelTooLargeError, match="objects"):
        load_model(ARCHITECTURE, write(tmp_path / "w.h5", many))


def test_a_name_that_is_no_text_is_invalid(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="is no UTF-8") as raised:
        load_model(ARCHITECTURE, write(tmp_path / "w.h5", lambda file: file.create_group(b"\xff\xfe")))
    assert raised.value.code == "model_invalid"


def test_a_type_that_h5py_does_not_know_is_invalid(tmp_path: Path) -> None:
    """As HDF Group's reproducers of CVE-2024-29158, -32605 and -33876 have it: a reference of an undefined kind."""
    import h5py

    data = write(tmp_path / "w.h5", lambda file: file.create_dataset("r", (1,), h5py.ref_dtype))
    reference = b"\x17\x00\x00\x00\x08\x00\x00\x00"  # class 7 of version 1, kind 0: an object
    assert data.count(reference) == 1
    with pytest.raises(ModelError, match="holds what h5py does not know") as raised:
        load_model(ARCHITECTURE, data.replace(reference, b"\x47\x12" + reference[2:]))
    assert raised.value.code == "model_invalid"


@pytest.mark.parametrize("length", [0, 1, 8, 100, 1_000, -1])
def test_a_truncated_file_is_invalid(tmp_path: Path, length: int) -> None:
    data = write(tmp_path / "w.h5", lambda _: None)

    with pytest.raises(ModelError) as raised:
        load_model(ARCHITECTURE, data[:length])
    assert raised.value.code == "model_invalid"


@pytest.mark.parametrize(
    "data", [b"", b"{}", b"\x89HDF\r\n\x1a\n", b"PK\x03\x04", b"\x89HDF\r\n\x1a\n" + b"\0" * 4_096]
)
def test_what_is_no_hdf5_is_invalid(data: bytes) -> None:
    with pytest.raises(ModelError):
        load_model(ARCHITECTURE, data)


def test_a_missing_path_is_invalid(tmp_path: Path) -> None:
    with pytest.raises(ModelError):
        load_model(ARCHITECTURE, tmp_path / "nothing.h5")


def test_an_unknown_layout_names_what_is_there(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="stuff"):
        load_model(ARCHITECTURE, write(tmp_path / "w.h5", replaced("layers", lambda file: file.create_group("stuff"))))


def test_names_that_point_nowhere_are_invalid(tmp_path: Path) -> None:
    def legacy(file: Any) -> None:
        file.attrs["layer_names"] = ["d"]
        file.create_group("d").attrs["weight_names"] = ["../layers/dense/vars/0"]

    with pytest.raises(ModelError, match="is not there"):
        load_model(ARCHITECTURE, write(tmp_path / "w.h5", legacy))


def test_names_that_are_no_text_are_invalid(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="not text"):
        load_model(ARCHITECTURE, write(tmp_path / "w.h5", lambda file: file.attrs.__setitem__("layer_names", [1, 2])))


def test_bytes_are_read_without_touching_any_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = write(tmp_path / "w.h5", lambda _: None)
    monkeypatch.setenv("TMPDIR", "/nowhere")
    monkeypatch.chdir("/")

    with open_store(data, 10**6) as store:
        assert store.elements == 10


def archive(path: Path, **members: bytes) -> bytes:
    """A zip of the members."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as made:
        for name, data in members.items():
            made.writestr(name.replace("__", "."), data)
    return path.read_bytes()


def test_an_archive_that_unpacks_to_more_than_stated_is_too_large(tmp_path: Path) -> None:
    data = archive(tmp_path / "m.keras", config__json=sequential(dense("d")), **{"model.weights.h5": b"\0" * 10**7})

    with pytest.raises(ModelTooLargeError, match=r"model\.weights\.h5"):
        read_model_file(data)


@pytest.mark.parametrize(
    "make",
    [
        lambda path: archive(path, config__json=b"{}"),
        lambda path: archive(path, metadata__json=b"{}"),
        lambda path: archive(path, config__json=b"{}", **{"model.weights.h5": b"x"}, metadata__json=b"[]"),
        lambda path: archive(path, config__json=b"{}", **{"model.weights.h5": b"x"}, metadata__json=b"{}")[:-30],
        lambda _: b"",
        lambda _: b"neither",
    ],
)
def test_a_broken_model_file_is_invalid(tmp_path: Path, make: Callable[[Path], bytes]) -> None:
    with pytest.raises(ModelError):
        read_model_file(make(tmp_path / "m.keras"))


def test_weights_alone_are_no_model_file() -> None:
    with pytest.raises(ModelError, match="weights only"):
        read_model_file((FIXTURES / "tfkeras-2.15/nested/weights.h5").read_bytes())


def test_code_in_a_whole_model_file_is_refused(tmp_path: Path) -> None:
    """CVE-2025-9905: Keras ignores safe mode for HDF5."""
    import h5py

    with h5py.File(tmp_path / "m.h5", "w") as file:
        file.attrs["model_config"] = sequential(
            {"class_name": "Lambda", "config": {"name": "l", "function": ["4wE=", None]}}
        )
        file.attrs["keras_version"] = "2.15.0"
    file_ = read_model_file((tmp_path / "m.h5").read_bytes())

    with pytest.raises(ModelNotAllowedError, match="Lambda"):
        read_architecture(file_.architecture)


def test_more_parameters_than_the_limit_are_too_large(tmp_path: Path) -> None:
    data = write(tmp_path / "w.h5", lambda _: None)

    with pytest.raises(ModelTooLargeError):
        load_model(read_architecture(sequential(dense("d")), Limits(max_parameters=5)), data)


@pytest.mark.parametrize("container", ["layers", "_layer_checkpoint_dependencies"])
def test_groups_named_as_windows_joins_them_are_the_same(tmp_path: Path, container: str) -> None:
    import h5py
    import numpy as np

    with h5py.File(tmp_path / "w.h5", "w") as file:
        group = file.create_group(f"{container}\\dense").create_group("vars")
        group["0"], group["1"] = np.full((4, 2), 3, np.float32), np.full(2, 4, np.float32)

    model = load_model(ARCHITECTURE, tmp_path / "w.h5")

    assert [np.asarray(weight).max() for weight in model.weights] == [3, 4]


def test_two_groups_that_windows_would_take_for_one_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="the file has both"):
        load_model(ARCHITECTURE, write(tmp_path / "w.h5", _a_second_kernel))


def _a_second_kernel(file: Any) -> None:
    file.create_group("layers\\dense").create_group("vars")["0"] = file[KERNEL][()]
