"""Exchanging the model under load: good ones published or swapped by hand, broken and hostile ones in between."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from classifier.bundles.compiled import MODEL, REPORT, key_of
from local.seed import read_bundle, seed_bundle, version_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path
    from random import Random

OBJECTS = ("serving.json", "architecture.json", "model.weights.h5")
_LAMBDA = {"class_name": "Lambda", "config": {"name": "l", "function": ["4wEAAAA=", None, None]}}


@dataclass(frozen=True, slots=True)
class Bucket:
    """Where the served bundle lies, by boto3's client of the real S3."""

    client: Any
    name: str
    prefix: str
    compiled: Mapping[str, bytes]
    """The sound compiled forms of the good models, by key; none when TensorFlow is to serve."""

    def put(self, name: str, data: bytes) -> None:
        """Write one object of the bundle."""
        self.client.put_object(Bucket=self.name, Key=self.prefix + name, Body=data)

    def publish(self, files: Mapping[str, bytes]) -> None:
        """Publish a bundle as `scripts/models publish` does."""
        seed_bundle(self.client, self.name, self.prefix, files, source="chaos")

    def mend(self) -> None:
        """Put the compiled forms back as they should be: each model first, its report last."""
        for key, data in sorted(self.compiled.items()):
            self.client.put_object(Bucket=self.name, Key=key, Body=data)


@dataclass(frozen=True, slots=True)
class Swap:
    """One way of exchanging the model. `good` is whether the model that lies there afterwards can be served.

    `tensorflow` is whether a cold function has to import TensorFlow meanwhile, to serve it or to see that it is broken:
    on a busy machine that may take longer than a reply may.
    """

    name: str
    good: bool
    run: Callable[[Bucket, Mapping[str, bytes], Random], None]
    tensorflow: bool = False


def _publish(bucket: Bucket, files: Mapping[str, bytes], _: Random) -> None:
    bucket.publish(files)


def _by_hand(bucket: Bucket, files: Mapping[str, bytes], chance: Random) -> None:
    """As `aws s3 cp` does: object by object, in any order."""
    for name in chance.sample(OBJECTS, len(OBJECTS)):
        bucket.put(name, files[name])


def _cut_architecture(bucket: Bucket, files: Mapping[str, bytes], _: Random) -> None:
    bucket.put("architecture.json", files["architecture.json"][:-100])


def _cut_weights(bucket: Bucket, files: Mapping[str, bytes], chance: Random) -> None:
    """As an interrupted upload leaves them, by hand or under a publication that vouches for them."""
    cut = files["model.weights.h5"][: chance.randrange(len(files["model.weights.h5"]))]
    if chance.random() < 0.5:
        bucket.put("model.weights.h5", cut)
    else:
        bucket.publish({**files, "model.weights.h5": cut})


def _damaged_compiled(bucket: Bucket, files: Mapping[str, bytes], chance: Random) -> None:
    """The model is sound, its compiled form or the report on it is not: the old model or TensorFlow has to do."""
    key = key_of(bucket.prefix, version_of(files), chance.choice([MODEL, REPORT]))
    if key in bucket.compiled:
        sound = bucket.compiled[key]
        damaged = chance.choice([sound[: len(sound) // 2], b"", b"{}", sound[:-9] + bytes(9), chance.randbytes(9000)])
        bucket.client.put_object(Bucket=bucket.name, Key=key, Body=damaged)
    bucket.publish(files)


def _lambda_layer(bucket: Bucket, files: Mapping[str, bytes], _: Random) -> None:
    document = json.loads(files["architecture.json"])
    document["config"]["layers"].append(_LAMBDA)
    bucket.publish({**files, "architecture.json": json.dumps(document).encode()})


def _deep_architecture(bucket: Bucket, files: Mapping[str, bytes], _: Random) -> None:
    bucket.publish({**files, "architecture.json": b'{"config":' + b"[" * 500_000})


def _huge_architecture(bucket: Bucket, files: Mapping[str, bytes], _: Random) -> None:
    layer = {"class_name": "Dense", "config": {"name": "d", "units": 10**12, "dtype": "float32"}}
    document = {"class_name": "Sequential", "config": {"name": "s", "layers": [layer]}}
    bucket.publish({**files, "architecture.json": json.dumps(document).encode()})


def _no_layers(bucket: Bucket, files: Mapping[str, bytes], _: Random) -> None:
    bucket.publish({**files, "architecture.json": b'{"class_name": "Functional", "config": {"layers": []}}'})


def _broken_publication(bucket: Bucket, _: Mapping[str, bytes], chance: Random) -> None:
    bucket.put("published.json", chance.choice([b"{", b"[]", b'{"objects": {"architecture.json": {}}}', b"\xff\xfe"]))


def _foreign_publication(bucket: Bucket, files: Mapping[str, bytes], _: Random) -> None:
    """It names objects of another prefix as the model's."""
    entry = {"key": "images/x", "version_id": "v", "size": 1, "sha256": "0" * 64, "etag": "e"}
    bucket.put("published.json", json.dumps({"objects": dict.fromkeys(files, entry)}).encode())


def _false_publication(bucket: Bucket, files: Mapping[str, bytes], _: Random) -> None:
    """It states another content for its objects than they have."""
    bucket.publish(files)
    key = f"{bucket.prefix}published.json"
    document = json.loads(bucket.client.get_object(Bucket=bucket.name, Key=key)["Body"].read())
    document["objects"]["model.weights.h5"]["sha256"] = "0" * 64
    bucket.put("published.json", json.dumps(document).encode())


def _delete(bucket: Bucket, _: Mapping[str, bytes], chance: Random) -> None:
    """Of a versioned bucket it hides the object; a publication pins its version."""
    name = chance.choice(OBJECTS)
    bucket.client.delete_object(Bucket=bucket.name, Key=bucket.prefix + name)


SWAPS = (
    Swap("published", True, _publish),
    Swap("swapped by hand", True, _by_hand),
    Swap("architecture cut off", False, _cut_architecture),
    Swap("weights cut off", False, _cut_weights, tensorflow=True),
    Swap("compiled form damaged", False, _damaged_compiled, tensorflow=True),
    Swap("Lambda layer", False, _lambda_layer),
    Swap("deep architecture", False, _deep_architecture),
    Swap("a model of terabytes", False, _huge_architecture),
    Swap("no layers", False, _no_layers),
    Swap("published.json broken", False, _broken_publication),
    Swap("published.json of another prefix", False, _foreign_publication),
    Swap("published.json untrue", False, _false_publication),
    Swap("object deleted", False, _delete),
)


def bundles(folders: tuple[Path, Path]) -> tuple[dict[str, bytes], dict[str, bytes]]:
    """The files of the two good models."""
    return read_bundle(folders[0]), read_bundle(folders[1])


def compiled(folders: tuple[Path, Path], prefix: str) -> dict[str, bytes]:
    """The compiled forms of both, by their keys under `prefix`."""
    paths = [(folder, path) for folder in folders for path in folder.glob("compiled/*/*")]
    return {prefix + path.relative_to(folder).as_posix(): path.read_bytes() for folder, path in paths}
