"""Lambda entry points. Makes the packaged dependencies importable, builds the application once, passes events on."""

from __future__ import annotations

import os
import time
from functools import cache
from typing import TYPE_CHECKING, Any

from classifier import bootstrap

STARTED = time.monotonic()

bootstrap.make_importable()  # before any third-party import: the one thing that importing this module does

if TYPE_CHECKING:
    from collections.abc import Mapping

    from classifier.app import App, Context
    from classifier.netguard import AddressRule


def classify(event: object, context: Context) -> Any:  # noqa: ANN401 - each front door has its own form
    """Answer one event of API Gateway (HTTP or REST API), a Function URL, a load balancer, or a direct invocation."""
    return _app().handle(event, context)


def build(environ: Mapping[str, str], link_rule: AddressRule | None = None) -> App:
    """The application with its collaborators; `link_rule` is loosened by tests only, never by the environment."""
    from classifier import fetch, logs, netguard
    from classifier.app import App
    from classifier.bundle_reader import BundleReader
    from classifier.engines.keras_engine import open_keras
    from classifier.images import ImageLimits
    from classifier.s3_http import Endpoint, environment_credentials
    from classifier.service import Classifier, ImageStore
    from classifier.settings import Settings
    from classifier.storage import S3
    from model_loader import ModelLoader

    settings = Settings.from_env(environ)
    logs.set_level(settings.log_level)
    s3 = S3(Endpoint.from_env(environ), environment_credentials)
    reader = BundleReader(
        s3,
        settings.model_bucket,
        settings.model_prefix,
        settle_s=settings.swap_settle_s,
        max_bytes=settings.max_model_bytes,
    )
    loader = ModelLoader(reader, open_keras, check_s=settings.model_check_s, reload_wait_s=settings.reload_wait_s)
    limits = fetch.FetchLimits(
        max_bytes=settings.max_image_bytes,
        timeout_s=settings.fetch_timeout_s,
        max_redirects=settings.fetch_max_redirects,
    )
    rule = link_rule or netguard.PUBLIC
    classifier = Classifier(
        models=loader,
        model_name=settings.model_name,
        fetch=lambda link, deadline: fetch.fetch(link, rule=rule, limits=limits, deadline=deadline),
        store=ImageStore(s3, settings.image_bucket, settings.image_prefix, settings.max_image_bytes),
        limits=ImageLimits.from_settings(settings, environ),
    )
    return App(settings, loader, classifier, STARTED)


@cache
def _app() -> App:
    return build(os.environ)


if "AWS_LAMBDA_RUNTIME_API" in os.environ:
    _app()  # in Lambda's INIT, where a wrong setting shows at once
