"""Captures and feedback under load: what was kept is whole, and belongs to the request whose id it bears."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from classifier.captures.capture import PREFIX, RECORD
from classifier.captures.feedback import NONE_OF_THESE, SUFFIX
from classifier.errors import ClassifierError
from classifier.pictures.headers.inspection import ImageLimits, inspect
from tools.chaos.cases import Case
from tools.chaos.judge import TOLERANCE
from tools.chaos.secrets import WORDS, found_in

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from tools.chaos.attempts import Attempt
    from tools.chaos.models import Models

SHARE = "0.5"
"""Of the pictures, which are kept."""
SAID = 0.5
"""So many of the answered requests get feedback, whether they were kept or not."""
_JSON = {"content-type": "application/json"}


def feedback(attempt: Attempt) -> Case:
    """What a caller says of a request; that nothing was kept of it is as right an answer as that it is filed."""
    body = json.dumps({"request_id": attempt.request_id, "label": NONE_OF_THESE}).encode()
    return Case(
        kind="feedback",
        name=attempt.request_id,
        target="/feedback",
        headers=_JSON,
        body=body,
        wants=(),
        form="feedback",
        by_key=True,
    )


def judged(
    client: Any,  # noqa: ANN401 - boto3's
    bucket: str,
    models: Models,
    attempts: Iterable[Attempt],
) -> tuple[dict[str, int], list[str]]:
    """How much was kept, and a sentence about each object that is not what it should be."""
    asked = {attempt.request_id: attempt.case for attempt in attempts if attempt.request_id}
    sent = {data: name for name, data in models.pictures.items()}
    sent |= {case.body: str(case.wants[0]) for case in asked.values() if case.kind == "full"}
    known = {inspect(data, ImageLimits()).data: name for data, name in sent.items()}
    kept, said, torn = set[str](), set[str](), list[str]()
    for key in _keys(client, bucket):
        got = client.get_object(Bucket=bucket, Key=key)
        name, data = key.removeprefix(PREFIX), got["Body"].read()
        if name.endswith(SUFFIX):
            name = name.removesuffix(SUFFIX)
            said.add(name)
            if json.loads(data).get("request_id") != name:
                torn.append(f"{key}: {data[:200]!r}")
            continue
        kept.add(name)
        text = got["Metadata"].get(RECORD, "")
        try:
            wrong = _wrong(name, known.get(data), json.loads(text), models, asked)
        except (ClassifierError, ValueError, KeyError, TypeError, IndexError) as error:
            wrong = f"its record makes no sense: {error!r}"
        if wrong or found_in([text], WORDS):
            torn.append(f"{key}, {len(data)} bytes: {wrong or 'a secret'}: {text[:200]}")
    torn += [f"{name}: feedback on what was not kept" for name in said - kept]
    return {"pictures kept": len(kept), "with feedback": len(said)}, torn


def _wrong(
    name: str,
    picture: str | None,
    record: Any,  # noqa: ANN401 - JSON
    models: Models,
    asked: Mapping[str, Case],
) -> str:
    """What is wrong with one, empty for nothing; `picture` is which of ours its bytes are."""
    if picture is None:
        return "the picture is none that was sent"
    if record["request_id"] != name:
        return "it is another request's"
    # The requests that began it are not known where the reply was lost.
    case = asked.get(name)
    if case is not None and case.wants[0] != picture:
        return f"{case.wants[0]} was sent, {picture} is kept"
    answers = models.answers[record["model"]["version"]]
    scores = dict(zip(answers.labels, answers.scores[picture], strict=True))
    found = {one["label"]: one["score"] for one in record["predictions"]}
    untrue = [label for label, score in found.items() if not abs(scores[label] - score) < TOLERANCE]
    return f"{untrue[0]} has another score for {picture}" if untrue or not found else ""


def _keys(client: Any, bucket: str) -> Iterator[str]:  # noqa: ANN401 - boto3's
    for page in client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=PREFIX):
        yield from (item["Key"] for item in page.get("Contents", []))
