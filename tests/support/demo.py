"""The demo model as tests use it: its bundle, its samples, plain Keras's answers, and a local Lambda that serves it."""

from __future__ import annotations

import json
import mimetypes
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from classifier.bundles.store import ModelStore
from classifier.compiling.compile_job import CompileJob
from classifier.s3.endpoint import Endpoint
from classifier.s3.sigv4 import Credentials
from classifier.s3.storage import S3
from local.cloud import Config, LocalLambda
from local.launch import PROJECT, Code
from local.s3 import LocalS3
from local.template import read_template

BUNDLE = PROJECT / "examples" / "clothing"
SAMPLES = sorted((BUNDLE / "samples").rglob("*.jpg"))
NAMES = ("architecture.json", "model.weights.h5", "serving.json", "labels.txt")
HANDLERS = Path(__file__).parent / "handlers"
IMAGE_PREFIX = "images/"


@dataclass(frozen=True, slots=True)
class Demo:
    """A running local Lambda with the demo model."""

    cloud: LocalLambda
    s3: Any
    models: str
    images: str
    prefix: str
    store: ModelStore
    engine: str

    def put_bundle(self, folder: Path) -> None:
        """Copy a bundle into the bucket by hand, as `aws s3 cp` does."""
        for name in NAMES:
            if (folder / name).exists():
                self.s3.put_object(Bucket=self.models, Key=self.prefix + name, Body=(folder / name).read_bytes())

    def compile(self, seconds: float = 300) -> dict[str, Any]:
        """Do the compile function's work here and now."""
        import time

        return CompileJob(self.store).run(time.monotonic() + seconds)


@contextmanager
def demo(
    s3_server: LocalS3,
    suffix: str,
    bundle: Path = BUNDLE,
    *,
    compiling: bool = False,
    handlers: str = "loopback",
    memory_mb: Mapping[str, int] = {},
    **environment: str,
) -> Iterator[Demo]:
    """Serve `bundle` from fresh buckets with serverless.yml's functions; links may point to this machine.

    Only if `compiling`, S3's events start the compile function; else a test decides when there is a compiled form.
    `handlers` is the module in tests/support/handlers that takes the real handler's place.
    """
    template = read_template(suffix=f"-{suffix}")
    for name in template.buckets.values():
        s3_server.create_bucket(name)
    functions = tuple(
        replace(
            function,
            handler=function.handler.replace("handler.", f"{handlers}."),
            memory_mb=memory_mb.get(function.name.rpartition("-")[2], function.memory_mb),
            environment={**function.environment, "SWAP_SETTLE_SECONDS": "1", **environment},
            rules=function.rules if compiling else (),
        )
        for function in template.functions
    )
    settings = functions[0].environment
    s3 = S3(Endpoint("us-east-1", s3_server.endpoint), lambda: Credentials("testing", "testing"))
    store = ModelStore.at(s3, settings["MODEL_BUCKET"], settings["MODEL_PREFIX"], settle_s=1, max_bytes=10**9)
    with LocalLambda(Config(functions=functions, code=Code(python_path=(HANDLERS,)), strict=True), s3_server) as cloud:
        running = Demo(
            cloud,
            s3_server.client(),
            settings["MODEL_BUCKET"],
            settings["IMAGE_BUCKET"],
            settings["MODEL_PREFIX"],
            store,
            settings["ENGINE"],
        )
        running.put_bundle(bundle)
        for sample in SAMPLES:
            running.s3.put_object(Bucket=running.images, Key=key_of(sample), Body=sample.read_bytes())
        yield running


def key_of(sample: Path) -> str:
    """A key with everything in it that goes wrong in URLs."""
    return f"{IMAGE_PREFIX}space plus+ünd {sample.parent.name}/{sample.name}"


def content_type(sample: Path) -> str:
    """The media type that a browser would send."""
    return mimetypes.guess_type(sample.name)[0] or "application/octet-stream"


@cache
def plain_keras(bundle: Path = BUNDLE, pictures: tuple[Path, ...] = tuple(SAMPLES)) -> Mapping[str, list[float]]:
    """Scores by picture, in the order of the labels, from Keras alone: load_img, preprocess_input, model(x)."""
    import keras
    import numpy as np
    from keras.applications.imagenet_utils import preprocess_input

    serving = json.loads((bundle / "serving.json").read_text())["preprocessing"]
    model = keras.models.model_from_json((bundle / "architecture.json").read_text())
    model.load_weights(bundle / "model.weights.h5")
    scores = {}
    for sample in pictures:
        size = tuple(serving.get("size") or model.input_shape[1:3])
        picture = keras.utils.load_img(sample, target_size=size, interpolation=serving.get("filter", "nearest"))
        array = keras.utils.img_to_array(picture)[np.newaxis]
        match serving.get("scale", "none"):
            case "unit":
                array /= 255
            case "tf" | "caffe" | "torch" as mode:
                array = preprocess_input(array, mode=mode)
        scores[sample.name] = np.asarray(model(array))[0].tolist()
    return scores
