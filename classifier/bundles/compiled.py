"""The compiled form of a bundle: what `report.json` says of it, and which report belongs to which bundle."""

from __future__ import annotations

import json
from copy import replace
from typing import TYPE_CHECKING, Any

from classifier.bundles.bundle import Identity, fingerprint
from classifier.bundles.serving import ModelShape, parse_serving
from classifier.documents import Fields, blamed, check, read_object
from classifier.errors import ModelError
from classifier.records import Record, as_dict

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from classifier.bundles.bundle import Snapshot
    from classifier.s3.listing import ObjectInfo

FOLDER = "compiled/"
MODEL = "model.tflite"
REPORT = "report.json"
HEAD = "explain.head"
"""What makes the model one of its class activation maps, put before it (classifier/compiling/explain_form.py)."""
EXPLAIN = "explain"
"""Among what was measured: that head, or why there is none."""
SMALLER_FORMS = ("float16", "int8")
MAX_REPORT_BYTES = 20_000_000
_OUTPUT = Fields(
    {"name": str, "units": int, "activation": (str, None)},
    {"loss": (str, None), "output": (str, None), "known": str},
)
_REPORT = Fields(
    {
        **dict.fromkeys(("fingerprint", "reason", "model_sha256"), str),
        "usable": bool,
        "identities": [[[str]]],
        "shape": Fields(
            {"height": (int, None), "width": (int, None), "channels": int, "units": int, "activation": (str, None)},
            {"row": ([(int, None)], None), "outputs": [_OUTPUT], "resizes": (dict, None)},
        ),
        **dict.fromkeys(("serving", "labels"), (str, None)),
        "model_bytes": int,
    },
    {"measured": dict, "versions": {str: str}, "compiled": str},
)
LARGEST_DIFFERENCE = 1e-4
"""Largest difference of a score at which the compiled form still serves (invariant 4)."""
ALIGNMENT = 16
"""Of the data in a FlatBuffer of TensorFlow Lite's, and so the length of what is put before one is a multiple of it."""
IDENTITIES_KEPT = 20
LARGEST_LAYER = "largest_layer_bytes"
"""Among what was measured: the largest output of a layer, for one picture."""


class Report(Record, kw_only=True):
    """What compiling one bundle came to; written after the model, so that a report stands for a whole compiled form.

    `usable` says whether it may serve, `reason` why not. `identities` are the objects in S3 that it was made from, of
    which one content may have several. `serving` and `labels` are the bundle's own, so that no other object is read.
    """

    fingerprint: str
    usable: bool
    reason: str
    identities: tuple[Identity, ...]
    shape: ModelShape
    serving: str | None
    labels: str | None
    model_sha256: str
    model_bytes: int
    measured: Mapping[str, Any] = {}
    versions: Mapping[str, str] = {}
    compiled: str = ""

    @property
    def compiled_only(self) -> bool:
        """Whether the model has no layers, so that only its compiled form can serve it (a SavedModel, a GraphDef)."""
        return self.measured.get("compiled_only") is True

    @property
    def largest_layer(self) -> int:
        """Bytes of the largest output of a layer; 0 in reports that don't say."""
        found = self.measured.get(LARGEST_LAYER)
        return found if isinstance(found, int) else 0

    @property
    def head_sha256(self) -> str:
        """The SHA-256 of the head that belongs before this very model; empty where there is none."""
        found = self.measured.get(EXPLAIN)
        mine = isinstance(found, dict) and found.get("model_sha256") == self.model_sha256
        return str(found.get("sha256", "")) if mine else ""  # type: ignore[union-attr]

    @property
    def objects(self) -> tuple[str, ...]:
        """Names of the objects that it stands for, beside which it lies."""
        return (*((MODEL,) if self.model_bytes else ()), *((HEAD,) if self.head_sha256 else ()))

    @property
    def refusal(self) -> str:
        """Why no engine can serve the bundle; empty if one can."""
        return "" if self.usable or self.shape.units else self.reason

    @property
    def says_what_scores_are(self) -> bool:
        """Whether it can be served from: earlier versions guessed what numbers are, where nobody had stated it."""
        try:
            parse_serving(_encoded(self.serving), _encoded(self.labels), self.shape)
        except ModelError:
            return False
        return True

    def to_json(self) -> bytes:
        """The report as it is stored."""
        identities = [sorted(map(list, identity)) for identity in self.identities]
        return json.dumps({**as_dict(self), "identities": identities}, indent=1).encode()

    def also_for(self, identity: Identity) -> Report:
        """The same report for further objects of the same content, the newest last."""
        others = [known for known in self.identities if known != identity]
        return replace(self, identities=(*others, identity)[-IDENTITIES_KEPT:])

    def under(self, version: str, identity: Identity, serving: bytes | None, labels: bytes | None) -> Report:
        """The same report for a bundle that says the same of the numbers, without the smaller forms.

        UnicodeDecodeError if its texts are not UTF-8.
        """
        measured = {name: value for name, value in self.measured.items() if name not in SMALLER_FORMS}
        its: dict[str, Any] = {"serving": text_of(serving), "labels": text_of(labels), "measured": measured}
        return replace(self, fingerprint=version, identities=(identity,), **its)

    def measured_too(self, measured: Mapping[str, Any]) -> Report:
        """The same report with what was measured of further forms."""
        return replace(self, measured={**measured, **self.measured})


def parse_report(data: bytes) -> Report:
    """Read `report.json`; ModelError if it is malformed."""
    document: dict[str, Any] = read_object(data, REPORT)
    check(document, _REPORT, REPORT)
    with blamed(REPORT):
        document["identities"] = tuple(
            frozenset((role, etag) for role, etag in identity) for identity in document["identities"]
        )
        document["shape"] = ModelShape.from_json(document["shape"])
        return Report(**document)


def reports_in(objects: Iterable[ObjectInfo], prefix: str) -> tuple[ObjectInfo, ...]:
    """The reports of a listing, newest first."""
    start = prefix + FOLDER
    found = (info for info in objects if info.key.startswith(start) and info.key.endswith("/" + REPORT))
    return tuple(sorted(found, key=lambda info: info.modified, reverse=True))


def key_of(prefix: str, version: str, name: str) -> str:
    """The key of one object of a compiled form."""
    return f"{prefix}{FOLDER}{version}/{name}"


def known_fingerprint(snapshot: Snapshot) -> str | None:
    """The snapshot's fingerprint without reading it: known when it was published, with its objects' SHA-256."""
    digests = {part.role: part.sha256 for part in snapshot.parts if part.sha256}
    return fingerprint(digests) if len(digests) == len(snapshot.parts) else None


def text_of(data: bytes | None) -> str | None:
    """A document of the bundle, as its report holds it."""
    return None if data is None else data.decode()


def _encoded(text: str | None) -> bytes | None:
    return None if text is None else text.encode()
