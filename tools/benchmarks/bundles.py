"""The models that are measured: the demo, and keras.applications with random weights, in their real sizes."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

from local.launch import PROJECT

DEMO = PROJECT / "examples" / "clothing"
APPLICATIONS = {
    "MobileNetV2": ("mobilenet_v2", 224),
    "EfficientNetV2B0": ("efficientnet_v2", 224),
    "ResNet50": ("resnet50", 224),
    "InceptionV3": ("inception_v3", 299),
}


def bundle(name: str, work: Path, *, compiled: bool = False) -> Path:
    """A folder with the bundle of `name` ("demo" or an application), and its compiled form if asked for."""
    folder = work / "models" / name
    wanted = folder / (".compiled" if compiled else "serving.json")
    if name == "demo" and _stale(folder):
        wanted.unlink(missing_ok=True)
    if not wanted.exists():
        # In a process of its own: TensorFlow in this one would take the measured processes' memory and cores.
        command = [sys.executable, "-m", "tools.benchmarks.bundles", name, str(folder), str(int(compiled))]
        subprocess.run(command, cwd=PROJECT, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return folder


def compiled_form(folder: Path) -> Path:
    """The compiled form in a bundle's folder."""
    return next(folder.glob("compiled/*/model.tflite"))


def _stale(folder: Path) -> bool:
    return any(
        not (folder / name).exists() or (folder / name).read_bytes() != (DEMO / name).read_bytes()
        for name in ("architecture.json", "model.weights.h5", "serving.json")
    )


def _make(name: str, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    if name == "demo":
        for file in ("architecture.json", "model.weights.h5", "serving.json"):
            (folder / file).write_bytes((DEMO / file).read_bytes())
        return
    import keras

    module, size = APPLICATIONS[name]
    model = getattr(getattr(keras.applications, module), name)(weights=None, input_shape=(size, size, 3))
    (folder / "architecture.json").write_text(model.to_json())
    model.save_weights(folder / "model.weights.h5")
    labels = [f"class {number}" for number in range(1000)]
    mode = "caffe" if name == "ResNet50" else "tf"
    serving = {"labels": labels, "output": "softmax", "preprocessing": {"size": [size, size], "scale": mode}}
    (folder / "serving.json").write_text(json.dumps(serving))


def _compile(folder: Path) -> None:
    """Do what the compile function does, and keep what it writes."""
    import shutil

    from classifier.bundles.store import ModelStore
    from classifier.compiling.compile_job import CompileJob
    from classifier.s3.endpoint import Endpoint
    from classifier.s3.sigv4 import Credentials
    from classifier.s3.storage import S3
    from local.seed import read_bundle, seed_bundle
    from tools.benchmarks.sandboxes import storage

    with storage() as s3:
        client, bucket, prefix = s3.client(), s3.create_bucket("bench-compile"), "models/dev/"
        seed_bundle(client, bucket, prefix, read_bundle(folder), source=folder.name)
        access = S3(Endpoint("us-east-1", s3.endpoint), lambda: Credentials("testing", "testing"))
        store = ModelStore.at(access, bucket, prefix, settle_s=1, max_bytes=10**9)
        result = CompileJob(store).run(time.monotonic() + 900)
        assert result["usable"], result
        shutil.rmtree(folder / "compiled", ignore_errors=True)
        for entry in client.list_objects_v2(Bucket=bucket, Prefix=f"{prefix}compiled/")["Contents"]:
            path = folder / entry["Key"].removeprefix(prefix)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(client.get_object(Bucket=bucket, Key=entry["Key"])["Body"].read())
    (folder / ".compiled").touch()


def main(argv: list[str]) -> int:
    """Make one bundle: name, folder, whether to compile it."""
    name, folder, compiled = argv[0], Path(argv[1]), argv[2] == "1"
    _make(name, folder)
    if compiled:
        _compile(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
