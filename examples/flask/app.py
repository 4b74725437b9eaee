"""The same bundle behind Flask: a page to upload to and a JSON route, with the model kept warm and current.

MODEL_BUCKET=... MODEL_PREFIX=models/prod/ PYTHONPATH=. flask --app examples/flask/app.py run
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any

from flask import Flask, request

from classifier.bundles.store import ModelStore
from classifier.engines.keras_engine import open_keras
from classifier.engines.litert_engine import open_litert
from classifier.engines.opening import Opener
from classifier.errors import ClassifierError, MissingInputError
from classifier.phases import Phases
from classifier.pictures.headers.picture import ImageLimits
from classifier.service import Classifier, ImageStore
from classifier.settings import Settings
from classifier.web.sources import Question, Upload
from model_loader import ModelLoader

if TYPE_CHECKING:
    from collections.abc import Mapping

PAGE = """<!doctype html><title>Classify</title>
<form method="post" action="classify" enctype="multipart/form-data">
<input type="file" name="file" accept="image/*" required> <button>Classify</button></form>"""


def create_app(environ: Mapping[str, str] = os.environ) -> Flask:
    """The application; its settings are those of the Lambda function."""
    settings = Settings.from_env(environ)
    store = ModelStore.from_settings(settings, environ)
    patience, check_s, wait_s = settings.compile_patience_s, settings.model_check_s, settings.reload_wait_s
    opener = Opener(store.bundles, store.compiled, open_keras, open_litert, engine=settings.engine, patience_s=patience)
    loader = ModelLoader(store.bundles, opener, check_s=check_s, reload_wait_s=wait_s, canaries=False)
    pictures = ImageStore(store.s3, "", "images/", settings.max_image_bytes)
    limits = ImageLimits.from_settings(settings, environ)
    name, no_links = settings.model_name, lambda *_: b""
    classifier = Classifier(models=loader, model_name=name, fetch=no_links, store=pictures, limits=limits)
    app = Flask(__name__)
    app.config["MAX_CONTENT_LENGTH"] = settings.max_image_bytes
    app.add_url_rule("/", view_func=lambda: PAGE, endpoint="page")

    @app.post("/classify")
    def classify() -> Any:  # noqa: ANN401 - Flask takes many forms
        try:
            if "file" not in request.files:
                raise MissingInputError
            question = Question(Upload(request.files["file"].read()), None)
            return classifier.classify(question, Phases(), time.monotonic() + 60)
        except ClassifierError as error:
            return {"error": {"code": error.code, "message": error.public}}, error.status

    return app
