"""Which compiled form is kept when somebody edits serving.json: that of the same objects, with the same numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from classifier.bundles.bundle import REQUIRED
from classifier.bundles.serving import LINES
from classifier.documents import read_object

if TYPE_CHECKING:
    from classifier.bundles.bundle import Identity
    from classifier.bundles.compiled import Report
    from classifier.bundles.reader import Bundle

WORDS = ("labels", "top_k", "threshold", *LINES)
"""Fields of serving.json that the compiled form does not hold, and that its comparison with Keras does not read."""


def reworded(report: Report, bundle: Bundle) -> Report | None:
    """The report as it is true of a bundle that differs in such fields only; None if it differs in more.

    A temperature is more: at a low one the scores of the two engines may differ by more than they did.
    """
    identity = bundle.snapshot.identity
    try:
        mine = report.under(bundle.fingerprint, identity, bundle.parts.get("serving"), bundle.parts.get("labels"))
    except UnicodeDecodeError:
        return None
    made_of = map(_made_of, report.identities)
    if not report.usable or _made_of(identity) not in made_of:
        return None
    if not report.says_what_scores_are or not mine.says_what_scores_are:
        return None
    return mine if _numbers(mine.serving) == _numbers(report.serving) else None


def _made_of(identity: Identity) -> Identity:
    return frozenset((role, etag) for role, etag in identity if role in REQUIRED)


def _numbers(serving: str | None) -> tuple[dict[str, Any], list[tuple[str, dict[str, Any]]]]:
    """What serving.json says besides the words, and of each output, in their order."""
    document: dict[str, Any] = {} if serving is None else read_object(serving.encode(), "serving.json")
    outputs = document.pop("outputs", {})
    return _without_words(document), [(name, _without_words(fields)) for name, fields in outputs.items()]


def _without_words(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if name not in WORDS}
