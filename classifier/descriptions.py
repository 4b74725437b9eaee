"""What `GET /model` and `GET /examples` tell, mostly for the page: of serving.json, settings and `verify`."""

from __future__ import annotations

import time
from functools import cached_property
from typing import TYPE_CHECKING, Any

from classifier.bundles.serving import LINES
from classifier.documents import Fields, check, read_object
from classifier.errors import ClassifierError
from classifier.s3.storage import ObjectMissingError, ObjectTooLargeError, ObjectUnreadableError

if TYPE_CHECKING:
    from classifier.examples import Examples
    from classifier.s3.storage import S3
    from classifier.service import Model
    from classifier.settings import Settings

KEPT_S = 300.0
WAIT_S = 1.0
MAX_MARK_BYTES = 1_000_000
_MARK = Fields({"accuracy": dict})


class Descriptions:
    """Of the models under one prefix. A model's accuracy is looked for each five minutes, when somebody asks."""

    def __init__(self, s3: S3, settings: Settings) -> None:
        self._s3, self._settings = s3, settings
        self._accuracies: dict[str, tuple[float, float | None]] = {}

    @cached_property
    def examples(self) -> Examples:
        """The page's example pictures."""
        from classifier.examples import Examples

        return Examples(self._s3, self._settings.image_bucket, self._settings.examples_prefix)

    def of(self, model: Model, name: str, deadline: float) -> dict[str, Any]:
        """The model called `name`; what nobody set or measured has no field. `deadline` by time.monotonic()."""
        serving, preprocessing = model.serving, model.serving.preprocessing
        accuracy = self._accuracy(model.version, name, deadline)
        return {
            **model.named(name),
            **{line: text for line in LINES if (text := getattr(serving, line))},
            **({} if accuracy is None else {"accuracy": accuracy}),
            **serving.described(),
            "input_shape": [*preprocessing.size, preprocessing.channels],
            "preprocessing": preprocessing.to_json(),
            "published": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(model.updated)),
            **self._offered(),
        }

    def _offered(self) -> dict[str, list[str]]:
        models = dict.fromkeys((self._settings.model_name, *self._settings.models))
        return {"models": list(models)} if len(models) > 1 else {}

    def _accuracy(self, version: str, name: str, deadline: float) -> float | None:
        folder = "" if name == self._settings.model_name else f"{name}/"
        key = f"{self._settings.model_prefix}{folder}versions/{version}/verified.json"
        until, known = self._accuracies.get(key, (0.0, None))
        if time.monotonic() >= until:
            known = self._read(key, min(deadline, time.monotonic() + WAIT_S))
            self._accuracies[key] = time.monotonic() + KEPT_S, known
        return known

    def _read(self, key: str, deadline: float) -> float | None:
        """The share of right answers by the engine that is worse; None where nobody measured it, or S3 fails."""
        try:
            data = self._s3.get(self._settings.model_bucket, key, deadline, max_bytes=MAX_MARK_BYTES)
            document: Any = read_object(data, key)
            check(document, _MARK, key)
        except (ClassifierError, ObjectMissingError, ObjectTooLargeError, ObjectUnreadableError):
            return None
        shares = document["accuracy"].values()
        return min((share for share in shares if isinstance(share, float) and 0 <= share <= 1), default=None)
