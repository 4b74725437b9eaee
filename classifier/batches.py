"""Several pictures in one request: read in parallel, run with one model one after the other, answered in order.

A picture that is refused has its error in its place and does not fail the others; what is wrong with the model is
wrong with all of them.
"""

from __future__ import annotations

import time
from collections import deque
from copy import replace
from typing import TYPE_CHECKING, Any

from classifier.errors import ClassifierError, ImageTooLargeError, OutOfTimeError
from classifier.service import described
from classifier.web.sources import Question, Upload

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from classifier.phases import Phases
    from classifier.pictures.headers.picture import Picture
    from classifier.service import Classifier, Model
    from classifier.web.sources import Batch

READERS = 8
"""Pictures read at once, and most that wait to be decoded: bounds memory, and how often one origin is asked."""

type Read = Callable[[], bytes]


def classify_batch(
    classifier: Classifier, batch: Batch, phases: Phases, deadline: float, *, max_bytes: int
) -> dict[str, Any]:
    """`results` in the pictures' order, and the one `model` that computed them, None if no picture was fit for it.

    Pictures after the first `max_bytes` together are refused. Whatever keeps the model from being loaded is raised.
    """
    classifier.models.look_ahead()
    run = _Run(classifier, phases, deadline, max_bytes)
    results = [run.result(question, read) for question, read in _reading(classifier, batch, deadline)]
    return {"results": results, "model": run.named()}


class _Run:
    """One batch on its way: the bytes seen so far, and the model once a picture was fit for it."""

    def __init__(self, classifier: Classifier, phases: Phases, deadline: float, max_bytes: int) -> None:
        self._classifier, self._phases, self._deadline = classifier, phases, deadline
        self._bytes_left, self._max_bytes = max_bytes, max_bytes
        self._model: Model | None = None

    def result(self, question: Question | ClassifierError, read: Read) -> dict[str, Any]:
        """One picture's predictions or error."""
        if isinstance(question, ClassifierError):
            return _refused(question)
        try:
            picture = self._checked(read)
        except ClassifierError as error:
            return _refused(error)
        if self._model is None:
            with self._phases.measure("load"):
                self._model = self._classifier.models.acquire(self._deadline)
        try:
            return self._answered(question, picture, self._model)
        except ClassifierError as error:
            return _refused(error)

    def named(self) -> dict[str, Any] | None:
        """The model as replies name it."""
        return None if self._model is None else self._model.named(self._classifier.model_name)

    def _checked(self, read: Read) -> Picture:
        from classifier.pictures.decode import admit

        with self._phases.measure("fetch"):
            data = read()
        self._bytes_left -= len(data)
        if self._bytes_left < 0:
            text = f"The pictures up to this one have more than {self._max_bytes} bytes together."
            raise ImageTooLargeError(public=text)
        return admit(data, self._classifier.limits, self._deadline)

    def _answered(self, question: Question, picture: Picture, model: Model) -> dict[str, Any]:
        from classifier.pictures.decode import decode

        left = self._deadline - time.monotonic()
        if left <= 0:
            raise OutOfTimeError("the batch's deadline")
        limits = self._classifier.limits
        limits = replace(limits, decode_timeout_s=min(limits.decode_timeout_s, left))
        with self._phases.measure("decode"):
            decoded = decode(picture, model.serving.preprocessing, limits)
            array = model.serving.preprocessing.to_array(decoded.pixels)
        with self._phases.measure("infer"):
            raw = model.engine.predict(array)
        predictions = model.serving.predictions(raw, question.top)
        return {"predictions": predictions, "image": described(question.source, decoded)}


def _reading(
    classifier: Classifier, batch: Batch, deadline: float
) -> Iterator[tuple[Question | ClassifierError, Read]]:
    """Each question with what gives its bytes or raises; `READERS` are read ahead, and no more."""
    from concurrent.futures import ThreadPoolExecutor

    pool = ThreadPoolExecutor(READERS, "picture")
    ahead: deque[tuple[Question | ClassifierError, Read]] = deque()
    waiting = iter(batch.questions)
    try:
        while True:
            while len(ahead) < READERS and (question := next(waiting, None)) is not None:
                ahead.append((question, _begin(pool.submit, classifier, question, deadline)))
            if not ahead:
                return
            yield ahead.popleft()
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def _begin(
    submit: Callable[..., Any], classifier: Classifier, question: Question | ClassifierError, deadline: float
) -> Read:
    if isinstance(question, ClassifierError):
        return bytes
    source = question.source
    if isinstance(source, Upload):
        return lambda: source.data
    read: Read = submit(classifier.read, source, deadline).result
    return read


def _refused(error: ClassifierError) -> dict[str, Any]:
    return {"error": {"code": error.code, "message": error.public}, "status": error.status}
