"""Which of two models answers a caller, while `published.json` names a canary; imported only then.

One caller sees one model: the share is decided by the caller's key, not by the request. Whoever can't be told apart (a
direct invocation), and whoever's canary isn't loaded, is answered by the stable model. The log's line says `role`.
"""

from __future__ import annotations

import time
from copy import replace
from typing import TYPE_CHECKING, Any

from classifier import logs
from classifier.errors import ClassifierError
from classifier.phases import Phases
from classifier.web.sources import Link, Question, Upload

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from classifier.bundles.canary import Plan
    from classifier.service import Classifier, Model
    from classifier.tf_serving.protocol import Target
    from classifier.web.routes import Exchange
    from model_loader import ModelLoader

STABLE, CANARY = "stable", "canary"
SHADOW_RESERVE_S = 0.5
"""What a shadow must leave of the reply's time, beside twice what the request took until then."""


def for_caller(classifier: Classifier, loader: ModelLoader, exchange: Exchange, header: str) -> Classifier:
    """The classifier with the models of the caller who asks; `header` names what tells callers apart, if not empty."""
    chosen = Chosen(loader, exchange, caller_of(exchange, header))
    canary = loader.canary
    if canary is None or not canary.plan.shadow:
        return replace(classifier, models=chosen)
    return replace(classifier, models=chosen, fetch=chosen.remembering(classifier.fetch))


def caller_of(exchange: Exchange, header: str) -> str:
    """The caller's key: the header's value, else the source address; empty if neither is there."""
    return (header and exchange.request.headers.get(header.lower(), "")) or exchange.request.address


class Chosen:
    """A loader's two models as one caller's one, for one request; what it chose is in the request's log."""

    def __init__(self, loader: ModelLoader, exchange: Exchange, key: str) -> None:
        self._loader, self.log, self._key = loader, exchange.log, key
        self._request_id = exchange.request_id
        self.began = time.monotonic()
        self.fetched: dict[str, bytes] = {}

    def look_ahead(self) -> None:
        """As ModelLoader has it."""
        self._loader.look_ahead()

    def acquire(self, deadline: float) -> Model:
        """The caller's model; whatever the canary's trouble is, errors are the stable one's only."""
        stable = self._loader.acquire(deadline)
        canary = self._loader.canary
        if canary is None:  # it ended while the picture was fetched
            self.log.pop("role", None)
            return stable
        model = self._loader.acquire_canary(deadline) if self._has(canary.plan) else None
        if self._has(canary.plan) and model is None:
            self.log["canary_absent"] = 1
        self.log["role"] = STABLE if model is None else CANARY
        return model or stable

    def _has(self, plan: Plan) -> bool:
        return bool(self._key) and not plan.shadow and plan.has(self._key)

    def shadow(self) -> Model | None:
        """The model that computes this request, too; None if it isn't of the sample, or not loaded."""
        canary = self._loader.canary
        if canary is None or not canary.plan.shadow or not canary.plan.has(self._request_id):
            return None
        return canary.model

    def remembering(self, fetch: Callable[[str, float], bytes]) -> Callable[[str, float], bytes]:
        """`fetch`, keeping what came: no stranger's server is asked twice."""

        def fetching(link: str, deadline: float) -> bytes:
            self.fetched[link] = data = fetch(link, deadline)
            return data

        return fetching


def observe(classifier: Classifier, question: Question, answered: Mapping[str, Any], exchange: Exchange) -> None:
    """Log what the two models are compared by, and compute the shadow, if this request is of its sample."""
    log, chosen = exchange.log, classifier.models
    log["label"] = best = answered["predictions"][0]["label"]
    if isinstance(chosen, Chosen) and (model := chosen.shadow()) is not None:
        _shadow(classifier, chosen, model, question, exchange, best)


def _shadow(
    classifier: Classifier, chosen: Chosen, model: Model, question: Question, exchange: Exchange, best: str
) -> None:
    log, question = exchange.log, replace(question, explain=None)
    if isinstance(question.source, Link):
        question = replace(question, source=Upload(chosen.fetched[question.source.url]))
    began = time.monotonic()
    if exchange.deadline - began < SHADOW_RESERVE_S + 2 * (began - chosen.began):
        log["shadow"] = "no time"
        return
    try:
        told = replace(classifier, models=_Fixed(model)).classify(question, Phases(), exchange.deadline)
    except Exception as error:  # noqa: BLE001 - whatever the canary does, the caller has the stable model's answer
        log["shadow"], log["shadow_failures"] = "failed", 1
        if not isinstance(error, ClassifierError) or error.status >= 500:
            logs.emit("warning", "the shadow failed", error=error, fields={"request_id": exchange.request_id})
        return
    log["shadow_label"] = other = told["predictions"][0]["label"]
    log["shadow"], log["shadowed"] = "same" if other == best else "other", 1
    log["disagreements"] = int(other != best)
    log["shadow_ms"] = round((time.monotonic() - began) * 1000, 1)


class _Fixed:
    """One model, whatever happens to the loader's."""

    def __init__(self, model: Model) -> None:
        self._model = model

    def look_ahead(self) -> None:
        """Nothing is newer."""

    def acquire(self, _deadline: float) -> Model:
        return self._model


def described(loader: ModelLoader) -> dict[str, Any]:
    """What /health and /model say of the canary; nothing where there is none."""
    canary = loader.canary
    if canary is None:
        return {}
    told: dict[str, Any] = {"version": canary.plan.version, "percent": canary.plan.percent}
    told |= {"shadow": True} if canary.plan.shadow else {}
    if canary.refusal is not None:
        return {"canary": {**told, "state": "refused", "code": canary.refusal.code, "message": canary.refusal.public}}
    return {"canary": {**told, "state": "loading" if canary.model is None else "warm"}}


def versions(loader: ModelLoader, chosen: Any, target: Target) -> tuple[Any, Target, tuple[Model, ...]]:  # noqa: ANN401
    """TensorFlow Serving's way to name a version or label: what gives its model, its target, and what is served beside.

    Without either, the caller's share decides, and a status tells both.
    """
    canary = loader.canary
    model = canary.model if canary is not None else None
    if model is None:
        return chosen, target, ()
    if target.version is None and target.label is None:
        return (_Named(loader, chosen, None), target, (model,)) if target.action == "status" else (chosen, target, ())
    if target.label == CANARY:
        return _Named(loader, chosen, model), replace(target, label=None), ()
    return _Named(loader, chosen, model if target.names(model) else None), target, ()


class _Named:
    """The model that a path names: the canary's where it is given, else the stable one."""

    def __init__(self, loader: ModelLoader, chosen: Chosen, model: Model | None) -> None:
        self._loader, self._chosen, self._model = loader, chosen, model

    def look_ahead(self) -> None:
        self._loader.look_ahead()

    def acquire(self, deadline: float) -> Model:
        stable = self._loader.acquire(deadline)
        self._chosen.log["role"] = STABLE if self._model is None else CANARY
        return self._model or stable
