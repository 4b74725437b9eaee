"""Lambda entry points. Makes the packaged dependencies importable, builds the application once, passes events on."""

from __future__ import annotations

import os
import time
from copy import replace
from functools import cache, partial
from typing import TYPE_CHECKING, Any

from classifier import garbage
from classifier.bootstrap import dependencies

STARTED = time.monotonic()

dependencies.make_importable()  # before any third-party import: the one thing that importing this module does

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from mmap import mmap
    from wsgiref.types import WSGIApplication

    from classifier.app import App, Context
    from classifier.bulk.job import BulkJob
    from classifier.bundles.compiled import Report
    from classifier.bundles.reader import Bundle
    from classifier.bundles.store import ModelStore
    from classifier.canary_alarm import CanaryAlarm
    from classifier.captures.capture import Captures
    from classifier.compiling.compile_jobs import CompileJobs
    from classifier.engines.engine import Loaded
    from classifier.links.netguard import AddressRule
    from classifier.named_models import NamedModels
    from classifier.s3.storage import S3
    from classifier.settings import Settings
    from model_loader import ModelLoader


def classify(event: object, context: Context) -> Any:  # noqa: ANN401 - each front door has its own form
    """Answer one event of API Gateway (HTTP or REST API), a Function URL, a load balancer, or a direct invocation."""
    return _app().handle(event, context)


def compile_model(event: dict[str, Any], context: Context) -> dict[str, Any]:
    """Compile the newest bundle after S3 said that one of its objects was created; a direct invocation may ask too.

    Raises what went wrong with S3, so that Lambda tries the event again; a broken bundle is reported, not raised.
    """
    from classifier import logs, metrics

    results = _compile_jobs().run(event, time.monotonic() + context.get_remaining_time_in_millis() / 1000)
    for result in results:
        logs.emit("info", "compile", fields=metrics.of_compile(result) | {"request_id": context.aws_request_id})
    if not results:
        return {"result": "not an object of the bundle"}
    return results[0] if len(results) == 1 else {"results": results}


def classify_bulk(event: dict[str, Any], context: Context) -> dict[str, Any]:
    """Classify the pictures that a queue's messages or a list's batch name, and write their rows to S3.

    Raises what may pass, so that the queue or the state machine tries again.
    """
    return _bulk_job().run(event, time.monotonic() + context.get_remaining_time_in_millis() / 1000)


def end_canary(event: dict[str, Any], context: Context) -> list[dict[str, Any]]:
    """End the canaries that an alarm of CloudWatch is about, if they say so; what came of each model that has one.

    Raises what went wrong with S3, so that Lambda tries the event again.
    """
    return _canary_alarm().run(event, time.monotonic() + context.get_remaining_time_in_millis() / 1000)


def wsgi() -> WSGIApplication:
    """The same application for a WSGI server, its model loaded: `gunicorn "handler:wsgi()"` (docs/operate/scale.md)."""
    from classifier.settings import Settings
    from classifier.wsgi import application

    app, settings = build(os.environ), Settings.from_env(os.environ)
    app.prepare("provisioned-concurrency")
    largest = max(settings.max_image_bytes, settings.max_batch_bytes)
    return application(app, largest * 4 // 3 + 65_536)  # as base64 in JSON


def build(environ: Mapping[str, str], link_rule: AddressRule | None = None, *, ahead: bool = False) -> App:
    """The application with its collaborators; `link_rule` is loosened by tests only, never by the environment.

    `ahead`: S3 is asked for the model before the rest is imported, as it takes its time to answer.
    """
    from classifier import logs
    from classifier.bundles.store import ModelStore
    from classifier.settings import Settings

    settings = Settings.from_env(environ)
    logs.configure(settings.log_level, settings.metric_namespace)
    store = ModelStore.from_settings(settings, environ)
    loader = _loader(store, settings)
    if ahead:
        loader.prefetch()
    from classifier import function_memory
    from classifier.app import App
    from classifier.pictures.headers.picture import ImageLimits
    from classifier.service import Classifier, ImageStore

    classifier = Classifier(
        models=loader,
        model_name=settings.model_name,
        fetch=lambda link, deadline: _fetch(link, deadline, settings, link_rule),
        store=ImageStore(store.s3, settings.image_bucket, settings.image_prefix, settings.max_image_bytes),
        limits=ImageLimits.from_settings(settings, environ),
    )
    left = partial(function_memory.left, classifier.limits.function_memory_bytes)
    named = cache(partial(_named_models, store, settings, left))
    captures = _captures(store.s3, settings) if settings.capture else None
    return App(settings, loader, classifier, STARTED, named, partial(_preload, settings), captures)


def _loader(store: ModelStore, settings: Settings, *, canaries: bool = True) -> ModelLoader:
    from classifier import model_memory
    from classifier.engines.opening import Opener
    from model_loader import ModelLoader

    opener = Opener(
        store.bundles,
        store.compiled,
        _open_keras,
        _open_litert,
        engine=settings.engine,
        patience_s=settings.compile_patience_s,
        memory=model_memory.stated(),
    )
    check_s, reload_wait_s = settings.model_check_s, settings.reload_wait_s
    return ModelLoader(store.bundles, opener, check_s=check_s, reload_wait_s=reload_wait_s, canaries=canaries)


def _preload(settings: Settings) -> None:
    """Import in INIT, while S3 answers, what most first requests need."""
    from classifier.links import fetch, netguard  # noqa: F401
    from classifier.pictures.preload import preload

    preload(settings.image_formats)
    if settings.engine != "tensorflow":
        from classifier import litert_c

        litert_c.preload()


# What only some requests need is imported by the first that does: a cold start is a user waiting.


def _named_models(store: ModelStore, settings: Settings, memory_left: Callable[[], int | None]) -> NamedModels:
    """The models in the folders under the prefix, each with a loader of its own."""
    from classifier.named_models import NamedModels, Place

    def place_of(name: str) -> Place:
        folder = store.inside(name, settle_s=settings.swap_settle_s, max_bytes=settings.max_model_bytes)
        return Place(folder.bundles, partial(_loader, folder, settings))

    return NamedModels(place_of, memory_left)


def _captures(s3: S3, settings: Settings) -> Captures:
    from classifier.captures.capture import Captures

    return Captures.from_settings(s3, settings)


def _open_keras(bundle: Bundle) -> Loaded:
    from classifier import model_memory
    from classifier.engines.keras_engine import open_keras

    return open_keras(bundle, model_memory.stated())


def _open_litert(model: bytes | mmap, report: Report) -> Loaded:
    from classifier.engines.litert_engine import open_litert

    return open_litert(model, report)


def _fetch(link: str, deadline: float, settings: Settings, rule: AddressRule | None) -> bytes:
    from classifier.links import fetch, netguard

    limits = fetch.FetchLimits(
        max_bytes=settings.max_image_bytes,
        timeout_s=settings.fetch_timeout_s,
        max_redirects=settings.fetch_max_redirects,
    )
    rule = replace(rule or netguard.PUBLIC, hosts=settings.link_hosts)
    client = fetch.Client(formats=settings.image_formats, contact=settings.link_contact)
    return fetch.fetch(link, rule=rule, limits=limits, deadline=deadline, client=client)


@cache
def _app() -> App:
    """Built once. In Lambda that is in INIT, where a wrong setting shows at once and pulling the model begins."""
    app = build(os.environ, ahead=True)
    app.prepare(os.environ.get("AWS_LAMBDA_INITIALIZATION_TYPE", ""))
    return app


@cache
def _compile_jobs() -> CompileJobs:
    from classifier import logs, model_memory
    from classifier.bundles.store import ModelStore
    from classifier.compiling.compile_job import CompileJob
    from classifier.compiling.compile_jobs import CompileJobs
    from classifier.settings import Settings

    settings = Settings.from_env(os.environ)
    logs.configure(settings.log_level, settings.metric_namespace)
    store = ModelStore.from_settings(settings, os.environ)
    inside = partial(store.inside, settle_s=settings.swap_settle_s, max_bytes=settings.max_model_bytes)
    return CompileJobs(CompileJob(store, settings.compile_quantize, model_memory.stated()), inside)


@cache
def _bulk_job() -> BulkJob:
    from classifier import logs
    from classifier.bulk.job import BulkJob
    from classifier.bundles.store import ModelStore
    from classifier.settings import Settings

    settings = Settings.from_env(os.environ)
    logs.configure(settings.log_level, settings.metric_namespace)
    store = ModelStore.from_settings(settings, os.environ)
    return BulkJob.from_settings(_loader(store, settings, canaries=False), store.s3, settings, os.environ)


@cache
def _canary_alarm() -> CanaryAlarm:
    from classifier import logs
    from classifier.bundles.store import ModelStore
    from classifier.canary_alarm import CanaryAlarm
    from classifier.settings import Settings

    settings = Settings.from_env(os.environ)
    logs.configure(settings.log_level, settings.metric_namespace)
    store = ModelStore.from_settings(settings, os.environ)
    return CanaryAlarm(
        store, partial(store.inside, settle_s=settings.swap_settle_s, max_bytes=settings.max_model_bytes)
    )


if os.environ.get("_HANDLER") == "handler.classify":
    with garbage.left_alone():
        _app()
