"""Answering TensorFlow Serving's REST requests with the served model: rows in, the model's own output rows out."""

from __future__ import annotations

import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from classifier.arrays import shortest
from classifier.errors import ImageError, OutOfTimeError, RequestError
from classifier.phases import Phases
from classifier.tf_serving import tensors
from classifier.tf_serving.protocol import PREDICT_METHOD, SIGNATURES, Target, metadata_of, status_of
from classifier.web import bodies
from classifier.web.bodies import Budget
from classifier.web.responses import Response, json_response, server_timing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from classifier.bundles.serving import Serving
    from classifier.pictures.headers.picture import ImageLimits, Picture
    from classifier.tf_serving.protocol import Model
    from classifier.web.routes import Exchange

    type Outputs = Sequence[Sequence[float]]
    type Reply = Callable[[Outputs, Serving], dict[str, Any]]

MAX_OUTPUTS = tensors.MAX_ROWS
"""Most scores in one reply: as text they stay well below the 6 MB that Lambda returns."""


class Models(Protocol):
    """Where a model comes from."""

    def look_ahead(self) -> None: ...
    def acquire(self, deadline: float) -> Model: ...


@dataclass(frozen=True, slots=True)
class ServingApi:
    """Answers the protocol's requests for one model; at most `max_pictures` encoded ones at once."""

    models: Models
    model_name: str
    limits: ImageLimits
    max_pictures: int
    others: tuple[Model, ...] = ()
    """Versions that are served beside, for a status to name."""

    def answer(self, target: Target, exchange: Exchange) -> Response:
        """The reply. RequestError and its kin for what can't be read, wherever possible before a model is loaded."""
        match target.action:
            case "status":
                return json_response(status_of(self._model(target, exchange), *self.others))
            case "metadata":
                return json_response(metadata_of(self._model(target, exchange), self.model_name))
            case "predict":
                rows, key = tensors.read_rows(self._document(target, exchange))
                return self._run(target, exchange, rows, lambda found, serving: {key: _own(found, serving, key)})
            case "classify":
                rows = tensors.read_examples(self._document(target, exchange))
                return self._run(target, exchange, rows, lambda found, serving: {"results": _labelled(found, serving)})
        raise RequestError(
            "regress",
            public=f"Expected regression signature method_name to be tensorflow/serving/regress. Was: {PREDICT_METHOD}",
        )

    def _document(self, target: Target, exchange: Exchange) -> Mapping[str, Any]:
        body = exchange.request.body
        if not body.strip():
            raise RequestError(public="JSON Parse error: The document is empty")
        try:
            document = bodies.read_json(body, Budget.of_function(self.limits.function_memory_bytes, exchange.deadline))
        except RequestError as error:
            raise RequestError(str(error), public=f"JSON Parse error: {error.public}") from error
        signature = document.get("signature_name", "")
        if not isinstance(signature, str):
            raise RequestError(public="Not formatted correctly. 'signature_name' key must be a string value.")
        if signature not in SIGNATURES[target.action]:
            text = f'Serving signature name: "{signature[:100]}" not found in signature def'
            raise RequestError("unknown signature", public=text)
        return document

    def _model(self, target: Target, exchange: Exchange) -> Model:
        model = self.models.acquire(exchange.deadline)
        exchange.log["model"] = {"name": self.model_name, "version": model.version, "engine": model.engine.name}
        target.check(model)
        return model

    def _run(self, target: Target, exchange: Exchange, rows: tensors.Rows, reply: Reply) -> Response:
        phases = Phases()
        self.models.look_ahead()
        pictures = self._inspected(rows, exchange.deadline) if isinstance(rows, tensors.Encoded) else []
        with phases.measure("load"):
            model = self._model(target, exchange)
        _check_outputs(len(rows), len(model.serving.labels))
        if isinstance(rows, tensors.Encoded):
            inputs = self._decoded(pictures, model.serving, phases, exchange.deadline)
        else:
            inputs = _single_rows(rows, model.serving, phases)
        outputs = _predict(inputs, model, exchange.deadline, phases)
        document = reply(outputs, model.serving)
        exchange.log["timings_ms"] = timings = phases.finish()
        exchange.log["rows"] = len(rows)
        headers = {"server-timing": server_timing(timings), "x-model-version": model.version}
        return json_response(document, headers=headers)

    def _inspected(self, rows: tensors.Encoded, deadline: float) -> list[Picture]:
        """The pictures, checked; RequestError if decoding all of them may take longer than there is time."""
        from classifier.pictures.decode import price_s, prove
        from classifier.pictures.headers.inspection import inspect

        if len(rows) > self.max_pictures:
            raise RequestError(public=f"There are {len(rows)} pictures; at most {self.max_pictures} are taken at once.")
        pictures = []
        for index, data in enumerate(rows.pictures):
            with _naming(index):
                pictures.append(inspect(data, self.limits))
        seconds = sum(price_s(picture, self.limits) for picture in pictures if not picture.slow)
        if seconds > deadline - time.monotonic():
            text = "There is no time to decode all of these pictures. Send fewer or smaller ones at once."
            raise RequestError(f"{len(pictures)} pictures may take {seconds:.1f} s", public=text)
        for index, picture in enumerate(pictures):
            with _naming(index):
                prove(picture, self.limits, deadline)
        return pictures

    def _decoded(
        self, pictures: list[Picture], serving: Serving, phases: Phases, deadline: float
    ) -> Iterator[memoryview[float]]:
        from classifier.pictures.decode import decode

        for index, picture in enumerate(pictures):
            with _naming(index), phases.measure("decode"):
                decoded = decode(picture, serving.preprocessing, self.limits, deadline)
                array = serving.preprocessing.to_array(decoded.pixels)
            yield array


def _single_rows(rows: tensors.Numbers, serving: Serving, phases: Phases) -> Iterator[memoryview[float]]:
    with phases.measure("decode"):
        pictures = rows.pictures(serving.preprocessing.shape[1:], serving.row)
    yield from pictures


def _predict(inputs: Iterator[memoryview[float]], model: Model, deadline: float, phases: Phases) -> Outputs:
    """One row after the other: on Lambda's one or two cores a batch is no faster (docs/use/tensorflow-serving.md)."""
    outputs: list[Sequence[float]] = []
    for array in inputs:
        if time.monotonic() > deadline:
            raise OutOfTimeError(f"after {len(outputs)} rows", public="Deadline exceeded. Send fewer rows at once.")
        with phases.measure("infer"):
            outputs.append(model.engine.predict(array))
    return outputs


def _check_outputs(rows: int, labels: int) -> None:
    if rows * labels > MAX_OUTPUTS:
        most = max(1, MAX_OUTPUTS // labels)
        raise RequestError(public=f"There are {rows} rows; at most {most} are taken at once for {labels} labels.")


@contextmanager
def _naming(index: int) -> Iterator[None]:
    """Say which row it is whose picture is refused."""
    try:
        yield
    except ImageError as error:
        text = f"Failed to process element: {index}. Error: {error.public}"
        raise RequestError(f"row {index}: {error.code}: {error}", public=text) from error


def _own(outputs: Outputs, serving: Serving, key: str) -> Any:  # noqa: ANN401 - any JSON
    """The model's own numbers; of several outputs by name, in each row or, in columns, around all rows."""
    if len(serving.heads) == 1:
        return list(map(shortest, outputs))
    rows = [{head.name: shortest(part) for head, part in serving.parts(raw)} for raw in outputs]
    return rows if key == "predictions" else {head.name: [row[head.name] for row in rows] for head in serving.heads}


def _labelled(outputs: Outputs, serving: Serving) -> list[list[list[Any]]]:
    """Every label with its score, best first, for each row."""
    found = (serving.predictions(raw, len(serving.labels)) for raw in outputs)
    return [[[item["label"], item["score"]] for item in predictions] for predictions in found]
