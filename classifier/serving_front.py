"""TensorFlow Serving's protocol over the application's models: which of them a path names, and who answers it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from classifier.errors import NotFoundError
from classifier.tf_serving.api import ServingApi
from classifier.tf_serving.protocol import parse_target

if TYPE_CHECKING:
    from collections.abc import Callable

    from classifier.service import Classifier
    from classifier.web.responses import Response
    from classifier.web.routes import Exchange
    from model_loader import ModelLoader


def answer(
    by_name: Callable[[str, Exchange], tuple[Classifier, ModelLoader]], exchange: Exchange, max_pictures: int
) -> Response:
    """The reply to a request of the protocol; RequestError and its kin in the protocol's words."""
    target = parse_target(exchange.request.method, exchange.request.path)
    try:
        classifier, loader = by_name(target.name, exchange)
    except NotFoundError as error:
        raise target.not_served() from error
    models: Any = classifier.models
    others: tuple[Any, ...] = ()
    if loader.canary is not None:
        from classifier.callers import versions

        models, target, others = versions(loader, models, target)
    return ServingApi(models, classifier.model_name, classifier.limits, max_pictures, others).answer(target, exchange)
