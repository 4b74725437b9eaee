"""TensorFlow Serving's REST protocol as data: its paths, errors, statuses, and what it says of a model.

https://www.tensorflow.org/tfx/serving/api_rest; errors are worded as the server words them, so that people find them.
A model's version is the time of its newest object in S3, in whole seconds since the epoch: an integer that grows with
each publication, as TensorFlow Serving's versions do. Labels are `stable` and the fingerprint.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from classifier.errors import (
    ClassifierError,
    MethodNotAllowedError,
    NotFoundError,
    OutOfTimeError,
    RequestError,
)
from classifier.tf_serving.tensors import INPUT
from classifier.web.responses import Response, error_headers, json_response

if TYPE_CHECKING:
    from classifier.bundles.serving import Serving

STABLE = "stable"
DEFAULT_SIGNATURE, CLASSIFY_SIGNATURE = "serving_default", "classify"
PREDICT_METHOD, CLASSIFY_METHOD = "tensorflow/serving/predict", "tensorflow/serving/classify"
SIGNATURES = {
    "predict": ("", DEFAULT_SIGNATURE),
    "classify": ("", DEFAULT_SIGNATURE, CLASSIFY_SIGNATURE, CLASSIFY_METHOD),
}
"""Values of `signature_name` by verb; empty or missing is the default."""
_PATH = re.compile(
    r"/v1/models(?:/(?P<name>[^/:]+))?(?:/versions/(?P<version>\d+)|/labels/(?P<label>[^/:]+))?"
    r"(?:/(?P<metadata>metadata)|:(?P<verb>classify|regress|predict))?",
    re.IGNORECASE | re.ASCII,
)
_MAX_VERSION = (1 << 63) - 1
_SHOWN = 100


class Model(Protocol):
    """What the protocol needs of a loaded model."""

    @property
    def version(self) -> str: ...
    @property
    def updated(self) -> float: ...
    @property
    def serving(self) -> Serving: ...
    @property
    def engine(self) -> Any: ...  # noqa: ANN401 - classifier.engines.Engine


@dataclass(frozen=True, slots=True)
class Target:
    """What a path names: a model, perhaps a version or label of it, and a verb, `metadata`, or `status`."""

    name: str
    version: int | None
    label: str | None
    action: str

    def not_served(self) -> NotFoundError:
        """The error for a model or version that isn't there, which status words in its own way."""
        name = _shown(self.name)
        if self.action == "status":
            what = "any versions" if self.version is None else f"version {self.version}"
            return NotFoundError("no such model", public=f"Could not find {what} of model {name}")
        what = f"Latest({name})" if self.version is None else f"Specific({name}, {self.version})"
        return NotFoundError("no such model", public=f"Servable not found for request: {what}")

    def names(self, model: Model) -> bool:
        """Whether it names this very model, by version or by the fingerprint as a label."""
        return self.version == version_of(model) or self.label == model.version

    def check(self, model: Model) -> None:
        """RequestError or NotFoundError if `model` is not of the version or label that was asked for."""
        if self.label not in (None, STABLE, model.version):
            raise RequestError("label", public=f"Unrecognized servable version label: {_shown(self.label or '')}")
        if self.version not in (None, version_of(model)):
            raise self.not_served()


def parse_target(method: str, path: str) -> Target:
    """What is asked for; RequestError if the path is malformed, MethodNotAllowedError if the method isn't its own."""
    found = _PATH.fullmatch(path.rstrip("/"))
    if found is None or not found["name"]:
        missing = found is not None and method in ("GET", "HEAD")
        text = "Missing model name in request." if missing else f"Malformed request: {method[:20]} {_shown(path)}"
        raise RequestError("malformed path", public=text)
    verb = (found["verb"] or "").lower()
    if verb and method != "POST":
        raise MethodNotAllowedError(method[:20], ("OPTIONS", "POST"))
    if not verb and method not in ("GET", "HEAD"):
        raise MethodNotAllowedError(method[:20], ("GET", "HEAD", "OPTIONS"))
    version = found["version"]
    if version and (len(version) > 19 or int(version) > _MAX_VERSION):
        raise RequestError("version", public=f"Failed to convert version: {version[:40]} to numeric.")
    number = int(version) if version else None
    return Target(found["name"], number, found["label"], verb or ("metadata" if found["metadata"] else "status"))


def error_response(error: ClassifierError) -> Response:
    """The protocol's error form. Of faults of a request it knows 400 and 404 only; 405 is HTTP's own."""
    status = error.status
    if isinstance(error, OutOfTimeError):
        status = 504
    elif status < 500 and not isinstance(error, NotFoundError | MethodNotAllowedError):
        status = 400
    return json_response({"error": error.public}, status, error_headers(error))


def version_of(model: Model) -> int:
    """The model's version as TensorFlow Serving counts: a whole number, greater for a newer one."""
    return int(model.updated)


def status_of(*models: Model) -> dict[str, Any]:
    """Loaded models as GetModelStatus describes them, the newest version first."""
    ok = {"error_code": "OK", "error_message": ""}
    numbers = sorted(map(version_of, models), reverse=True)
    return {"model_version_status": [{"version": str(one), "state": "AVAILABLE", "status": ok} for one in numbers]}


def metadata_of(model: Model, name: str) -> dict[str, Any]:
    """A loaded model as GetModelMetadata describes it: two signatures, the first of them the default."""
    numbers = _tensor("DT_FLOAT", INPUT, -1, *model.serving.row)
    heads = model.serving.heads
    outputs = {head.name: head.units for head in heads} if len(heads) > 1 else {"scores": heads[0].units}
    scores = {output: _tensor("DT_FLOAT", output, -1, units) for output, units in outputs.items()}
    classes = _tensor("DT_STRING", "classes", -1, len(model.serving.labels))
    signatures = {
        DEFAULT_SIGNATURE: _signature(PREDICT_METHOD, {INPUT: numbers}, scores),
        CLASSIFY_SIGNATURE: _signature(
            CLASSIFY_METHOD,
            {"inputs": _tensor("DT_STRING", "examples", -1)},
            {"classes": classes, "scores": _tensor("DT_FLOAT", "scores", -1, len(model.serving.labels))},
        ),
    }
    spec = {"name": name, "signature_name": "", "version": str(version_of(model))}
    return {"model_spec": spec, "metadata": {"signature_def": {"signature_def": signatures}}}


def _signature(method: str, inputs: dict[str, Any], outputs: dict[str, Any]) -> dict[str, Any]:
    return {"inputs": inputs, "outputs": outputs, "method_name": method, "defaults": {}}


def _tensor(dtype: str, name: str, *sizes: int) -> dict[str, Any]:
    dimensions = [{"size": str(size), "name": ""} for size in sizes]
    return {"dtype": dtype, "tensor_shape": {"dim": dimensions, "unknown_rank": False}, "name": f"{name}:0"}


def _shown(text: str) -> str:
    # Whatever follows a question mark may be a credential.
    return text.partition("?")[0][:_SHOWN]
