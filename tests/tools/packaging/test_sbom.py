"""The bill of materials names what is there, in the versions that the libraries themselves tell."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Any

import numpy
import pytest

from tools.advisories import export
from tools.packaging.packer import sbom, slim

SITE = Path(numpy.__file__).parents[1]


def listed(*tops: str) -> list[str]:
    return [f"{top}/{path}" for top in tops for path, _ in slim.walk(SITE / top)]


@pytest.fixture(scope="module")
def found() -> list[dict[str, Any]]:
    unused = re.compile(r"freetype|harfbuzz|brotli|libpng16")  # the packer's rule "drawing" removes them
    light = [path for path in listed("PIL", "pillow.libs", "zstandard") if not unused.search(path)]
    pack = [*listed("h5py.libs", "numpy.libs", "termcolor"), "rich-15.0.0.dist-info/METADATA"]
    return sbom.components(SITE, {"package": (SITE, light), "pack": (SITE, pack)})


def test_versions_are_what_the_libraries_themselves_say(found: list[dict[str, Any]]) -> None:
    import h5py
    from PIL import features

    named = {each["purl"]: each for each in found}
    for name, feature in [
        ("libjpeg-turbo", "libjpeg_turbo"),
        ("libwebp", "webp"),
        ("libavif", "avif"),
        ("libtiff", "libtiff"),
        ("openjpeg", "jpg_2000"),
        ("zlib-ng", "zlib_ng"),
    ]:
        version = features.version(feature)
        assert version
        assert f"pkg:generic/{name}@{version}" in named
    assert f"pkg:generic/hdf5@{h5py.version.hdf5_version}" in named
    blas = numpy.show_config(mode="dicts")["Build Dependencies"]["blas"]["version"]
    assert [
        purl for purl in named if purl.startswith("pkg:generic/openblas@") and blas.startswith(purl.rpartition("@")[2])
    ]
    assert f"pkg:pypi/numpy@{numpy.__version__}" in named


def test_what_has_no_file_left_is_not_listed(found: list[dict[str, Any]]) -> None:
    assert [each["name"] for each in found if each["purl"].startswith("pkg:pypi/")] == [
        "h5py",
        "numpy",
        "pillow",
        "termcolor",
        "zstandard",
    ]


def test_each_file_of_a_library_has_its_hash_and_its_place(found: list[dict[str, Any]]) -> None:
    webp = next(each for each in found if each["name"] == "libwebp")
    assert [file["name"].partition("-")[0] for file in webp["components"]] == [
        f"pillow.libs/{name}" for name in ("libsharpyuv", "libwebp", "libwebpdemux", "libwebpmux")
    ]
    for file in webp["components"]:
        content = (SITE / file["name"]).read_bytes()
        assert file["hashes"] == [{"alg": "SHA-256", "content": hashlib.sha256(content).hexdigest()}]
    places = {each["name"]: [one["value"] for one in each["properties"] if one["name"] == "place"] for each in found}
    assert (places["libwebp"], places["pillow"], places["hdf5"]) == (["package"], ["package"], ["pack"])


def test_licences_are_spdx_where_the_metadata_tells(found: list[dict[str, Any]]) -> None:
    licences = {each["name"]: each["licenses"] for each in found}
    assert licences["pillow"] == [{"expression": "MIT-CMU"}]
    assert licences["termcolor"] == [{"expression": "MIT"}]
    assert licences["hdf5"] == [{"expression": "BSD-3-Clause"}]


@pytest.mark.parametrize(
    ("name", "library", "content", "place", "said"),
    [
        ("new", "libnew-1.so", b"", "package", r"new\.libs/libnew-1\.so is in no row of natives\.toml"),
        ("h5py", "libhdf5-1.so", b"no version", "pack", "the version of hdf5 is not where"),
    ],
)
def test_a_vendored_library_without_a_row_or_its_version_is_an_error(
    tmp_path: Path, name: str, library: str, content: bytes, place: str, said: str
) -> None:
    info, file = tmp_path / f"{name}-3.0.dist-info", f"{name}.libs/{library}"
    info.mkdir()
    (tmp_path / file).parent.mkdir()
    (tmp_path / file).write_bytes(content)
    (info / "RECORD").write_text(f"{file},,\n")
    (info / "METADATA").write_text(f"Name: {name}\nVersion: 3.0\n")
    with pytest.raises(sbom.SbomError, match=said):
        sbom.components(tmp_path, {place: (tmp_path, [file])})


def test_the_file_is_cyclonedx_and_the_same_each_time(tmp_path: Path, found: list[dict[str, Any]]) -> None:
    """The specification's required fields and rules for references; a release is held to the official schema."""
    package, pack = tmp_path / "a.zip", tmp_path / "tensorflow.pack"
    package.write_bytes(b"zip")
    pack.write_bytes(b"pack")
    for name in ("1.json", "2.json"):
        sbom.write(tmp_path / name, package, pack, json.loads(json.dumps(found)))
    assert (tmp_path / "1.json").read_bytes() == (tmp_path / "2.json").read_bytes()
    document = json.loads((tmp_path / "1.json").read_text())
    assert (document["bomFormat"], document["specVersion"], document["version"]) == ("CycloneDX", "1.6", 1)
    assert re.fullmatch(
        r"urn:uuid:[0-9a-f]{8}-[0-9a-f]{4}-5[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", document["serialNumber"]
    )
    assert "timestamp" not in document["metadata"]
    assert [file["name"] for file in document["metadata"]["component"]["components"]] == ["a.zip", "tensorflow.pack"]
    references = [each["bom-ref"] for each in [document["metadata"]["component"], *document["components"]]]
    assert len(set(references)) == len(references)
    assert all({"type", "name", "purl", "bom-ref"} <= each.keys() for each in document["components"])
    edges = [(one["ref"], other) for one in document["dependencies"] for other in one["dependsOn"]]
    assert {end for edge in edges for end in edge} <= {*references}
    assert {*references[1:]} == {end for _, end in edges}, "each component hangs on the package or on a distribution"
    assert len(export.components(tmp_path / "1.json")) == len([each for each in found if "version" in each])
