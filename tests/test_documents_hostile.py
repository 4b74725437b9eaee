"""Documents in S3 that are broken wherever a value stands: a cold function still serves the older version."""

from __future__ import annotations

import copy
import hashlib
import json
import time
import tracemalloc
from array import array
from typing import TYPE_CHECKING, Any

import pytest

from classifier.arrays import floats
from classifier.bundles.bundle import fingerprint, parse_publication
from classifier.bundles.compiled import MODEL, REPORT, Report, key_of, parse_report
from classifier.bundles.serving import ModelShape, parse_serving, uses_labels_file
from classifier.bundles.store import ModelStore
from classifier.engines.engine import Loaded
from classifier.engines.litert_engine import open_litert
from classifier.engines.opening import Opener
from classifier.errors import ModelError, ModelTooLargeError
from classifier.keras_json.architecture import read_architecture
from model_loader import ModelLoader

if TYPE_CHECKING:
    from collections.abc import Buffer, Callable, Iterator

    from classifier.bundles.reader import Bundle
    from tests.conftest import Bucket

PREFIX = "models/dev/"
SHAPE = ModelShape(8, 8, 3, 2, "softmax")
ARCHITECTURE = {
    "class_name": "Sequential",
    "keras_version": "2.15.0",
    "backend": "tensorflow",
    "config": {
        "name": "m",
        "layers": [
            {
                "class_name": "InputLayer",
                "config": {"batch_input_shape": [None, 8, 8, 3], "dtype": "float32", "name": "i"},
            },
            {
                "class_name": "Conv2D",
                "config": {
                    "name": "c",
                    "filters": 2,
                    "kernel_size": [3, 3],
                    "activation": "relu",
                    "kernel_initializer": {"class_name": "GlorotUniform", "config": {"seed": None}},
                },
            },
            {"class_name": "GlobalAveragePooling2D", "config": {"name": "g"}},
            {"class_name": "Dense", "config": {"name": "d", "units": 2, "activation": "softmax", "use_bias": True}},
        ],
    },
}
SERVING = {
    "labels": ["cat", "dog"],
    "output": "softmax",
    "top_k": 2,
    "preprocessing": {"size": [8, 8], "filter": "bilinear", "mean": [1.0, 2.0, 3.0], "std": 2.0, "fast_decode": True},
}
ENTRY = {"key": PREFIX + "architecture.json", "etag": "e", "version_id": "v", "sha256": "0" * 64, "size": 3}
PUBLISHED = {"version": "x", "objects": {"architecture.json": ENTRY, "notes": {}}, "replaced": {"weights.h5": "e"}}
REPORTED = json.loads(
    Report(
        fingerprint="f" * 16,
        usable=True,
        reason="",
        identities=(frozenset({("architecture", "a"), ("weights", "b")}),),
        shape=SHAPE,
        serving=json.dumps(SERVING),
        labels="cat\ndog",
        model_sha256="0" * 64,
        model_bytes=8,
        measured={"float32": {"largest_difference": 1e-7}},
        versions={"tensorflow": "2"},
    ).to_json()
)


def labelled(document: bytes) -> None:
    parse_serving(None, document, SHAPE)


def served(document: bytes) -> None:
    uses_labels_file(document)
    parse_serving(document, None, SHAPE)


def reported(document: bytes) -> None:
    open_litert(b"compiled", parse_report(document))


READERS: dict[str, tuple[Callable[[bytes], object], Any]] = {
    "architecture.json": (read_architecture, ARCHITECTURE),
    "serving.json": (served, SERVING),
    "labels.txt": (labelled, ["cat", "dog"]),
    "published.json": (lambda data: parse_publication(data, 5.0, PREFIX), PUBLISHED),
    "report.json": (reported, REPORTED),
}
BROKEN = (
    *(
        b"",
        b"{",
        b"[]",
        b"null",
        b"5",
        b'"x"',
        b'"{}"',
        b"\xff\xfe\xfa",
        b"\xef\xbb\xbf{}",
        b"\0" * 50,
        b'{"a": 1e999}',
    ),
    *(b"[" * 100_000, b'{"a":' * 100_000, b"[" * 500 + b"]" * 500, b'{"a": NaN}', b'{"a": 1, "a": 2}', b"9" * 5000),
    *(b'{"class_name": []}', b'{"objects": 5}', b'{"objects": {"architecture.json": 5}}', b'{"preprocessing": 5}'),
)
ODD: tuple[Any, ...] = (
    None,
    True,
    5,
    -1,
    0.5,
    10**30,
    "x",
    "",
    "\ud800",
    "\x00",
    "a" * 5000,
    [],
    {},
    [[]],
    [None],
    {"class_name": []},
)


def broken(document: Any) -> Iterator[bytes]:
    """The document with each one of its values replaced by each odd one, left out, or given another name."""
    yield from BROKEN
    for path in paths(document):
        for value in (*ODD, KeyError, TypeError):
            changed = copy.deepcopy(document)
            inside = changed
            for step in path[:-1]:
                inside = inside[step]
            if value is KeyError:
                del inside[path[-1]]
            elif value is TypeError:
                inside.insert(0, {}) if isinstance(inside, list) else inside.update({"odd": {}})
            else:
                inside[path[-1]] = value
            yield json.dumps(changed).encode()


def paths(document: Any, before: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    items = (
        document.items() if isinstance(document, dict) else enumerate(document) if isinstance(document, list) else ()
    )
    for step, value in items:
        yield (*before, step)
        yield from paths(value, (*before, step))


@pytest.mark.parametrize("name", READERS)
def test_whatever_is_wrong_with_a_document_is_a_model_error(name: str) -> None:
    read, document = READERS[name]
    refused = 0
    for data in broken(document):
        try:
            read(data)
        except ModelError:
            refused += 1
    assert refused > len(BROKEN) // 2


@pytest.mark.parametrize("name", ["architecture.json", "serving.json", "published.json", "report.json"])
def test_a_document_of_a_million_lists_is_refused_before_it_is_made_of_them(name: str) -> None:
    data = b'{"objects": [' + b"[]," * 1_000_000 + b"[]]}"
    tracemalloc.start()
    with pytest.raises(ModelTooLargeError):
        READERS[name][0](data)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 10_000_000


class Answer:
    name = "tensorflow"

    def __init__(self, version: str) -> None:
        self.version = version

    def predict(self, picture: Buffer) -> array[float]:
        return floats(memoryview(picture).tobytes()[:8])


def open_keras(bundle: Bundle) -> Loaded:
    """Everything that the engine reads of a bundle, without TensorFlow."""
    read_architecture(bundle.parts["architecture"])
    serving = parse_serving(bundle.parts.get("serving"), bundle.parts.get("labels"), SHAPE)
    return Loaded(Answer(bytes(bundle.weights).decode()), serving, {})


def publish(bucket: Bucket, version: str, **changed: bytes) -> list[tuple[str, str]]:
    """As `publish` does it, or with other bytes in some place; the keys and versions that were written."""
    files = {"architecture.json": json.dumps(ARCHITECTURE).encode(), "model.weights.h5": version.encode()}
    files |= {"serving.json": json.dumps(SERVING).encode()} if "labels_txt" not in changed else {}
    files |= {name.replace("_", "."): data for name, data in changed.items() if name != "published_json"}
    written, objects = [], {}
    for name, data in files.items():
        put = bucket.put(PREFIX + name, data)
        written.append((PREFIX + name, put["VersionId"]))
        objects[name] = {
            "key": PREFIX + name,
            "version_id": put["VersionId"],
            "etag": put["ETag"],
            "size": len(data),
            "sha256": hashlib.sha256(data).hexdigest(),
        }
    document = json.dumps({"version": version, "objects": objects}).encode()
    put = bucket.put(PREFIX + "published.json", changed.get("published_json", document))
    return [*written, (PREFIX + "published.json", put["VersionId"])]


def cold(bucket: Bucket) -> str:
    """What a function answers with that has just started."""
    store = ModelStore.at(bucket.s3, bucket.name, PREFIX, settle_s=0, max_bytes=30_000_000)
    opener = Opener(store.bundles, store.compiled, open_keras, open_litert, engine="auto", patience_s=0)
    model = ModelLoader(store.bundles, opener, check_s=30, reload_wait_s=0).acquire(time.monotonic() + 20)
    assert isinstance(model.engine, Answer)
    return model.engine.version


CHOSEN: dict[str, list[bytes]] = {
    "architecture_json": [b"{", b"[" * 100_000, b'{"class_name": []}'],
    "serving_json": [b"{", b"[" * 100_000, b'{"top_k": 1e999}', b'{"labels": [[], {}]}'],
    "labels_txt": [b"\xff", b"one\n" * 200_000],
    "published_json": [
        b"{",
        b"[" * 100_000,
        b'{"objects": []}',
        b'{"objects": {"architecture.json": {"size": 1e999}}}',
    ],
}


@pytest.mark.parametrize("name", CHOSEN)
def test_a_cold_function_goes_back_to_the_older_version(name: str, bucket: Bucket) -> None:
    publish(bucket, "one")
    time.sleep(1.1)  # S3's times are whole seconds
    for data in [*CHOSEN[name], *list(broken(READERS[name.replace("_", ".")][1]))[-200::40]]:
        written = publish(bucket, "two", **{name: data})
        assert cold(bucket) in ("one", "two"), data[:80]
        for key, version in written:
            bucket.boto.delete_object(Bucket=bucket.name, Key=key, VersionId=version)
    publish(bucket, "two", **{name: b"{"})
    assert cold(bucket) == "one"


def test_a_cold_function_serves_by_tensorflow_whose_report_is_odd(bucket: Bucket) -> None:
    publish(bucket, "one")
    parts = {"architecture": json.dumps(ARCHITECTURE), "serving": json.dumps(SERVING), "weights": "one"}
    version = fingerprint({role: hashlib.sha256(text.encode()).hexdigest() for role, text in parts.items()})  # type: ignore[misc]
    model = bucket.put(key_of(PREFIX, version, MODEL), b"compiled")
    assert model["VersionId"]
    report = {**REPORTED, "fingerprint": version, "model_sha256": hashlib.sha256(b"compiled").hexdigest()}
    key = key_of(PREFIX, version, REPORT)
    for data in [json.dumps(report).encode(), *BROKEN, *list(broken(report))[::40]]:
        put = bucket.put(key, data)
        assert cold(bucket) == "one", data[:80]
        bucket.boto.delete_object(Bucket=bucket.name, Key=key, VersionId=put["VersionId"])
