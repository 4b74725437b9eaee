"""The application behind the entry points: reads an event, answers it, logs one line."""

from __future__ import annotations

import time
from copy import replace
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, Protocol

from classifier import failures, logs, metrics
from classifier.errors import ClassifierError, NotFoundError
from classifier.failures import CLASSIFY
from classifier.phases import Phases
from classifier.stored import stored_picture
from classifier.web import events
from classifier.web.bodies import Budget, unpacked
from classifier.web.page import docs_response, page_response
from classifier.web.questions import only_model, read_question
from classifier.web.responses import (
    Response,
    classification_response,
    json_response,
    prefers_text,
    server_timing,
)
from classifier.web.routes import Exchange, Routes
from classifier.web.sources import Batch, Question, Upload

if TYPE_CHECKING:
    from collections.abc import Callable

    from classifier.captures.capture import Captures
    from classifier.descriptions import Descriptions
    from classifier.named_models import NamedModels
    from classifier.service import Classifier
    from classifier.settings import Settings
    from model_loader import ModelLoader

RESERVE_S = 0.5
"""Time kept back from the function's own limit, so that the caller gets our error and not a time-out."""
INIT_S = 8.0
"""Lambda gives INIT 10 s, and starts over if it takes longer; importing the runtime comes before what we can count."""
PROVISIONED_INIT_S = 100.0
"""Lambda gives a provisioned start-up 130 s at least ("Understanding the Lambda execution environment lifecycle")."""

STRAIGHT_ON_S = 1.0
"""A first request that comes later than this after start-up did not wait for it: Lambda had started us in advance."""


class Context(Protocol):
    """What we need of Lambda's context object."""

    aws_request_id: str

    def get_remaining_time_in_millis(self) -> int: ...


class App:
    """One function's warm state: the models, and whether a request was answered before."""

    def __init__(
        self,
        settings: Settings,
        loader: ModelLoader,
        classifier: Classifier,
        started: float,
        named: Callable[[], NamedModels] | None = None,
        preload: Callable[[], None] = lambda: None,
        captures: Captures | None = None,
    ) -> None:
        self._settings = settings
        self._loader = loader
        self._classifier = classifier
        self._named_models = named
        self._preload = preload
        self._captures = captures
        self._started = started
        self._ready = time.monotonic()
        self._answered_before = False
        shown = [
            name for name, is_set in (("examples", settings.examples_prefix), ("models", settings.models)) if is_set
        ]
        self._routes = Routes(
            {
                "/": {"GET": lambda _: page_response(settings.embed_origins, shown=shown)},
                CLASSIFY: {"GET": self._classify, "POST": self._classify},
                "/health": {"GET": self._health},
                "/model": {"GET": self._model},
                "/docs": {"GET": lambda _: docs_response()},
                "/openapi.json": {"GET": _description},
                **({"/examples": {"GET": self._show_examples}} if settings.examples_prefix else {}),
                **({"/feedback": {"POST": self._feedback}} if captures else {}),
            },
            settings.cors_allow_origin,
            serving={"GET": self._serve, "POST": self._serve},
            caller_header=settings.caller_header,
        )

    def prepare(self, initialization: str) -> None:
        """Load in INIT, which runs at full speed, and mostly before anybody waits: all but TensorFlow.

        With provisioned concurrency INIT may last, so that is loaded too. Never raises: what S3 or the model are at
        fault for, the first request sees.
        """
        self._loader.prefetch()
        self._preload()  # meanwhile S3 answers
        in_time = self._started + INIT_S
        try:
            if initialization == "provisioned-concurrency":
                in_time = time.monotonic() + PROVISIONED_INIT_S
                self._loader.acquire(in_time)
            else:
                self._loader.wait_prefetched(in_time)
            if self._loader.current is not None and time.monotonic() < in_time - INIT_S / 2:
                self._rehearse(in_time)
        except ClassifierError as error:
            logs.emit("warning", "no picture was classified before the first request", error=error)
        self._ready = time.monotonic()

    def _rehearse(self, deadline: float) -> None:
        """Classify a tiny picture as a first request would: whatever is used for the first time, is used now."""
        from classifier.pictures.preload import SAMPLE, SAMPLE_FORMAT

        if SAMPLE_FORMAT in self._settings.image_formats:
            self._classifier.classify(Question(Upload(SAMPLE), None), Phases(), deadline)

    def handle(self, event: object, context: Context, kind: events.EventKind | None = None) -> Any:  # noqa: ANN401
        """Answer one event in its own form: Lambda's that fits it, or `kind`.

        Never raises: what went wrong is in the answer and in the log.
        """
        began = time.monotonic()
        kind = kind or events.kind_of(event)
        cold, self._answered_before = not self._answered_before, True
        log: dict[str, object] = {"request_id": context.aws_request_id, "cold_start": cold}
        request, failure = None, None
        unread: list[str] = []
        try:
            request = self._without_base(events.read(kind, event))
            log["route"] = f"{request.method[:20]} {request.path.partition('?')[0][:100]}"
            response = self._answer(request, context, began, log, unread, cold=cold)
            events.check_reply(kind, response)
        except Exception as error:  # noqa: BLE001 - the last resort: a caller never sees our stack
            failure = error if isinstance(error, ClassifierError) else failures.unexpected(error)
            failures.add_hint(failure, request, unread)
            log["code"] = failure.code
            response = failures.refusal(failure, request, context.aws_request_id)
        if unread:
            response = failures.with_unknown(response, unread)
        if request is not None and request.method == "HEAD":
            response = replace(response, body="")
        fields = metrics.of_request(log, response.status, (time.monotonic() - began) * 1000)
        logs.emit(failures.level(failure), "request", error=failure, fields=fields)
        return kind.render(self._routes.with_cors(response))

    def _without_base(self, request: events.Request) -> events.Request:
        """The request as if it had come to the root: a CDN or load balancer in front may have us under a path."""
        base = self._settings.base_path
        if not base or not f"{request.path}/".startswith(f"{base}/"):
            return request
        return replace(request, path=request.path.removeprefix(base) or "/")

    def _answer(
        self,
        request: events.Request,
        context: Context,
        began: float,
        log: dict[str, object],
        unread: list[str],
        *,
        cold: bool,
    ) -> Response:
        waited = cold and began - self._ready < STRAIGHT_ON_S
        deadline = self._reply_by(context, self._started if waited else began, direct=request.direct)
        if coding := request.headers.get("content-encoding", ""):
            budget = Budget.of_function(self._classifier.limits.function_memory_bytes, deadline)
            request = replace(request, body=unpacked(request.body, coding, budget))
        return self._routes.answer(Exchange(request, context.aws_request_id, deadline, cold, log, unread))

    def _reply_by(self, context: Context, since: float, *, direct: bool) -> float:
        """When the answer must be ready: the gateway's clock started when a cold function's start-up did."""
        own = time.monotonic() + context.get_remaining_time_in_millis() / 1000 - RESERVE_S
        return own if direct else min(own, since + self._settings.reply_timeout_s)

    def _classify(self, exchange: Exchange) -> Response:
        phases = Phases()
        settings = self._settings
        memory = self._classifier.limits.function_memory_bytes
        budget = partial(Budget.of_function, memory, exchange.deadline)  # asked for by JSON only
        most = settings.max_image_bytes, settings.max_batch_images
        asked = read_question(exchange.request, *most, budget, exchange.unread)
        question = asked.question
        if isinstance(question, Batch):
            return self._classify_batch(question, asked.model, exchange)
        exchange.log["source"] = question.source.kind
        classifier, loader = self._by_name(asked.model, exchange)
        warm = loader.current is not None
        stored = stored_picture(exchange.request, question, classifier.store, settings.cache_control)
        if stored and warm and (known := stored.known_answer(classifier.models, exchange.deadline)):
            exchange.log.update(timings_ms=phases.finish())
            return known
        keeping = self._captures.begin() if self._captures else None
        read = stored.read if stored else partial(classifier.read, question.source)
        answered = classifier.classify(question, phases, exchange.deadline, keeping.reading(read) if keeping else read)
        if "role" in exchange.log:
            from classifier.callers import observe

            observe(classifier, question, answered, exchange)
        timings = _timings(phases, loader, warm=warm)
        exchange.log.update(model=answered["model"], timings_ms=timings, **metrics.doubts([answered]))
        if keeping:
            answered |= keeping.keep(answered, classifier.limits, exchange)
        rest = {"cold_start": exchange.cold_start, "timings_ms": timings, "request_id": exchange.request_id}
        as_text = prefers_text(exchange.request.headers.get("accept", ""))
        response = classification_response(answered | rest, as_text=as_text)
        return stored.tagged(response, answered["model"]["version"]) if stored else response

    def _classify_batch(self, batch: Batch, model: str, exchange: Exchange) -> Response:
        from classifier.batches import classify_batch

        phases = Phases()
        classifier, loader = self._by_name(model, exchange)
        warm = loader.current is not None
        limit = self._settings.max_batch_bytes
        keeping = self._captures.begin() if self._captures else None
        offer = keeping.offer if keeping else None
        answered = classify_batch(classifier, batch, phases, exchange.deadline, max_bytes=limit, offer=offer)
        timings = _timings(phases, loader, warm=warm)
        refused = [result["error"]["code"] for result in answered["results"] if "error" in result]
        exchange.log.update(model=answered["model"], timings_ms=timings, pictures=len(batch.questions), refused=refused)
        exchange.log.update(metrics.doubts(answered["results"]))
        if keeping:
            keeping.finish(answered, exchange)
        rest = {"cold_start": exchange.cold_start, "timings_ms": timings, "request_id": exchange.request_id}
        return json_response(answered | rest, headers={"server-timing": server_timing(timings)})

    def _by_name(self, name: str, exchange: Exchange) -> tuple[Classifier, ModelLoader]:
        """The model of that name; without one the prefix's own."""
        classifier, loader = self._classifier, self._loader
        if name not in ("", self._settings.model_name):
            if self._named_models is None:
                raise NotFoundError("no named models", public="There is no model of this name.")
            loader = self._named_models().get(name, exchange.deadline)
            classifier = replace(classifier, models=loader, model_name=name)
        if loader.canary is None:
            return classifier, loader
        from classifier.callers import for_caller

        return for_caller(classifier, loader, exchange, self._settings.caller_header), loader

    def _health(self, exchange: Exchange) -> Response:
        current = self._loader.current
        model = None if current is None else current.named(self._settings.model_name)
        state = "cold" if current is None else "warm"
        told = {"status": "ok", "state": state, "model": model, **_beside(self._loader)}
        return json_response({**told, "request_id": exchange.request_id})

    def _model(self, exchange: Exchange) -> Response:
        name = only_model(value for parameter, value in exchange.request.query if parameter == "model")
        classifier, loader = self._by_name(name, exchange)
        current: Any = classifier.models.acquire(exchange.deadline)
        told = self._descriptions.of(current, classifier.model_name, exchange.deadline)
        feedback = {"feedback": True} if self._captures else {}
        return json_response({**told, **_beside(loader), **feedback, "request_id": exchange.request_id})

    def _show_examples(self, exchange: Exchange) -> Response:
        return self._descriptions.examples.response(exchange.request_id, exchange.deadline)

    @cached_property
    def _descriptions(self) -> Descriptions:
        from classifier.descriptions import Descriptions

        return Descriptions(self._classifier.store.s3, self._settings)

    def _feedback(self, exchange: Exchange) -> Response:
        from classifier.captures.feedback import answer

        assert self._captures is not None
        until = exchange.deadline
        known = lambda name: self._by_name(name, exchange)[0].models.acquire(until).serving.labels  # noqa: E731
        return answer(exchange, self._captures, known)

    def _serve(self, exchange: Exchange) -> Response:
        from classifier.serving_front import answer

        return answer(self._by_name, exchange, self._settings.max_batch_images)


def _beside(loader: ModelLoader) -> dict[str, object]:
    """That the newest bundle is refused, and an older one serves, and the canary; the log says why in full."""
    refusal = loader.refusal
    told: dict[str, object] = {} if refusal is None else {"refused": {"code": refusal.code, "message": refusal.public}}
    if loader.canary is None:
        return told
    from classifier.callers import described

    return told | described(loader)


def _description(_: Exchange) -> Response:
    from classifier.web.openapi import openapi_response

    return openapi_response()


def _timings(phases: Phases, loader: ModelLoader, *, warm: bool) -> dict[str, float]:
    """The reply that waited for a model shows what loading consisted of; a warm one's does not mention it."""
    timings = phases.finish()
    current = loader.current
    if warm or current is None:
        timings.pop("load", None)
        return timings
    return {phase: round(ms, 2) for phase, ms in current.timings_ms.items()} | timings
