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
from classifier.pictures.decode import decode, price_s, prove
from classifier.pictures.headers.inspection import inspect
from classifier.service import described
from classifier.web.sources import Question, Upload

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from classifier.phases import Phases
    from classifier.pictures.headers.picture import ImageLimits, Picture
    from classifier.service import Classifier, Model
    from classifier.web.sources import Batch

DEAR_S = 0.25
"""A picture that may take longer to decode waits until the others are answered."""
READERS = 8
"""Pictures read at once, and most that wait to be decoded: bounds memory, and how often one origin is asked."""

type Read = Callable[[], bytes]


def classify_batch(
    classifier: Classifier,
    batch: Batch,
    phases: Phases,
    deadline: float,
    *,
    max_bytes: int,
    offer: Callable[[int, Picture, Mapping[str, Any]], None] | None = None,
) -> dict[str, Any]:
    """`results` in the pictures' order, and the one `model` that computed them, None if no picture was fit for it.

    Pictures after the first `max_bytes` together are refused. Whatever keeps the model from being loaded is raised.
    What may take long to decode comes last, the cheapest first, and each only if the time that is left covers its
    price: no picture takes the others' time. `offer` is told each answered picture, by its number.
    """
    classifier.models.look_ahead()
    run = _Run(classifier, phases, deadline, max_bytes)
    results: dict[int, dict[str, Any]] = {}
    dear: list[tuple[float, int, Question, Picture]] = []

    def answer(price: float, index: int, asked: Question, picture: Picture) -> None:
        results[index] = run.result(asked, picture, price)
        if offer is not None and "error" not in results[index]:
            offer(index, picture, results[index])

    for index, (question, read) in enumerate(_reading(classifier, batch, deadline)):
        try:
            asked, picture, price = run.admitted(question, read)
        except ClassifierError as error:
            results[index] = _refused(error)
            continue
        if price > DEAR_S:
            dear.append((price, index, asked, picture))
        else:
            answer(price, index, asked, picture)
    for one in sorted(dear, key=lambda item: item[:2]):
        answer(*one)
    return {"results": [results[index] for index in range(len(results))], "model": run.named()}


class _Run:
    """One batch on its way: the bytes seen so far, and the model once a picture was fit for it."""

    def __init__(self, classifier: Classifier, phases: Phases, deadline: float, max_bytes: int) -> None:
        self._classifier, self._phases, self._deadline = classifier, phases, deadline
        self._bytes_left, self._max_bytes = max_bytes, max_bytes
        self._model: Model | None = None

    def admitted(self, question: Question | ClassifierError, read: Read) -> tuple[Question, Picture, float]:
        """The picture and what decoding it may cost in seconds; or its error is raised."""
        if isinstance(question, ClassifierError):
            raise question
        picture = self._checked(read)
        return question, picture, price_s(picture, self._classifier.limits)

    def result(self, question: Question, picture: Picture, price: float) -> dict[str, Any]:
        """One picture's predictions or error. Only what keeps the model from being loaded is raised."""
        try:
            limits = self._limits(price)
            if self._model is None:
                prove(picture, limits, self._deadline)
        except ClassifierError as error:
            return _refused(error)
        if self._model is None:
            with self._phases.measure("load"):
                self._model = self._classifier.models.acquire(self._deadline)
        try:
            return self._answered(question, picture, self._model, self._limits(price))
        except ClassifierError as error:
            return _refused(error)

    def _limits(self, price: float) -> ImageLimits:
        """The limits for a picture of that price; OutOfTimeError if there is not that much time."""
        left = self._deadline - time.monotonic()
        if left <= price:
            public = "There was no time left for this picture: send it alone, or fewer large ones at once."
            raise OutOfTimeError(f"the batch's deadline: {left:.1f} s for {price:.1f} s", public=public)
        limits = self._classifier.limits
        return replace(limits, decode_timeout_s=min(limits.decode_timeout_s, left))

    def named(self) -> dict[str, Any] | None:
        """The model as replies name it."""
        return None if self._model is None else self._model.named(self._classifier.model_name)

    def _checked(self, read: Read) -> Picture:
        with self._phases.measure("fetch"):
            data = read()
        self._bytes_left -= len(data)
        if self._bytes_left < 0:
            text = f"The pictures up to this one have more than {self._max_bytes} bytes together."
            raise ImageTooLargeError(public=text)
        return inspect(data, self._classifier.limits)

    def _answered(self, question: Question, picture: Picture, model: Model, limits: ImageLimits) -> dict[str, Any]:
        with self._phases.measure("decode"):
            decoded = decode(picture, model.serving.preprocessing, limits)
            array = model.serving.preprocessing.to_array(decoded.pixels)
        with self._phases.measure("infer"):
            raw = model.engine.predict(array)
        return {**model.serving.answer(raw, question.top), "image": described(question.source, decoded)}


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
