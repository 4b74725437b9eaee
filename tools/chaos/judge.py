"""Whether one reply is the right one: scores as the reference has them, or the one error that was due."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from tools.chaos.cases import Case, Refusal

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tools.chaos.models import Answers

TOLERANCE = 1e-4
"""What two engines may differ by (invariant 4)."""
FAILED = "failed function"
"""The code that stands for a gateway's own error: the function crashed or did not answer."""


@dataclass(frozen=True, slots=True)
class Reply:
    """A reply as the client got it; `document` is its JSON, None if it is none."""

    status: int
    headers: Mapping[str, str]
    document: Any

    @property
    def request_id(self) -> str:
        """The function's own name for the request, empty where the reply's form has none."""
        return str(self.document.get("request_id", "")) if isinstance(self.document, dict) else ""

    @property
    def code(self) -> str:
        """The error's status and code; the gateway's own errors are told apart by their form."""
        document = self.document if isinstance(self.document, dict) else {}
        error = document.get("error")
        if isinstance(error, dict):
            return str(Refusal(self.status, str(error.get("code"))))
        if self.status >= 500 and error is None:
            return f"{self.status} {FAILED}"
        return str(Refusal(self.status))


@dataclass(frozen=True, slots=True)
class Finding:
    """`right`, `wrong` (a 200 that says something untrue) or `failed` with the code that came instead."""

    verdict: Literal["right", "wrong", "failed"]
    code: str = ""
    detail: str = ""


RIGHT = Finding("right")


def judge(case: Case, reply: Reply, answers: Mapping[str, Answers]) -> Finding:
    """Hold a reply against what the case wants."""
    if case.form == "refused":
        return RIGHT if reply.code == str(case.wants[0]) else Finding("failed", reply.code)
    if case.form == "feedback" and reply.code == "404 not_found":
        return RIGHT  # nothing was kept of that request
    if reply.status != 200:
        return Finding("failed", reply.code)
    try:
        return _judge_success(case, reply, answers)
    except (KeyError, TypeError, IndexError, AttributeError, ValueError) as error:
        return Finding("wrong", detail=f"a reply of another form: {error!r}: {str(reply.document)[:200]}")


def _judge_success(case: Case, reply: Reply, answers: Mapping[str, Answers]) -> Finding:
    document = reply.document
    match case.form:
        case "health":
            return RIGHT if document["status"] == "ok" else Finding("wrong", detail=str(document))
        case "feedback":
            return RIGHT if document["feedback"]["request_id"] == case.name else Finding("wrong", detail=str(document))
        case "model":
            same = document["labels"] == list(answers[document["version"]].labels)
            return RIGHT if same else Finding("wrong", detail=str(document)[:300])
        case "serving":
            known = answers[reply.headers["x-model-version"]]
            found = dict(zip(known.labels, document["predictions"][0], strict=True))
            return _compared(found, str(case.wants[0]), known)
        case "several":
            return _judge_several(case, document, answers)
    return _compared(_scores(document), str(case.wants[0]), answers[document["model"]["version"]])


def _judge_several(case: Case, document: Any, answers: Mapping[str, Answers]) -> Finding:  # noqa: ANN401 - JSON
    known = answers[document["model"]["version"]] if document["model"] else None
    failed = RIGHT
    for want, result in zip(case.wants, document["results"], strict=True):
        code = str(Refusal(result["status"], result["error"]["code"])) if "error" in result else ""
        if isinstance(want, Refusal) or code:
            found = RIGHT if code == str(want) else Finding("failed", code or "200")
        else:
            assert known is not None
            found = _compared(_scores(result), want, known)
        if found.verdict == "wrong":
            return found
        failed = failed if found.verdict == "right" else found
    return failed


def _scores(document: Any) -> dict[str, float]:  # noqa: ANN401 - JSON
    return {item["label"]: float(item["score"]) for item in document["predictions"]}


def _compared(found: Mapping[str, float], picture: str, known: Answers) -> Finding:
    wanted = dict(zip(known.labels, known.scores[picture], strict=True))
    if found.keys() != wanted.keys():
        return Finding("wrong", detail=f"{picture}: labels {sorted(found)}")
    # Written so that NaN is a difference, too.
    largest = max(wanted, key=lambda label: abs(found[label] - wanted[label]))
    if all(abs(found[label] - wanted[label]) < TOLERANCE for label in wanted):
        return RIGHT
    return Finding("wrong", detail=f"{picture}: {largest} {found[largest]}, the reference has {wanted[largest]}")
