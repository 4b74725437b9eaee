"""One client of the campaign: sends one case after the other and keeps what came back."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import urllib3

from tools.chaos.attempts import Attempt
from tools.chaos.captures import SAID, feedback
from tools.chaos.judge import Finding, Reply, judge
from tools.chaos.secrets import BEARER, WORDS, found_in

if TYPE_CHECKING:
    import threading
    from collections.abc import Mapping, Sequence
    from random import Random

    from tools.chaos.cases import Case
    from tools.chaos.models import Answers

WEIGHTS = {
    "full": 2,
    "over 6 MB": 2,
    "stalling server": 1,
    "/health": 2,
    "/model": 2,
    "malformed": 6,
    "hostile server": 6,
}
"""How often a kind of request is chosen, 10 unless it is here; costly ones are rare."""
CALLER = "x-caller"
CALLERS = 50
"""How many callers there seem to be: which of them asks decides whose model answers while there is a canary."""
_TIMEOUT_S = 60.0


class Client:
    """Sends cases chosen by its own chance, one at a time."""

    def __init__(self, url: str, answers: Mapping[str, Answers], cases: Sequence[Case], chance: Random) -> None:
        self.attempts: list[Attempt] = []
        self.leaked: list[str] = []
        self._url, self._answers, self._chance = url, answers, chance
        self._pool = urllib3.PoolManager(timeout=_TIMEOUT_S, retries=False)
        self._kinds: dict[str, list[Case]] = {}
        for case in cases:
            self._kinds.setdefault(case.kind, []).append(case)

    def run(self, over: threading.Event) -> None:
        """Ask until it is over."""
        kinds = sorted(self._kinds)
        weights = [WEIGHTS.get(kind, 10) for kind in kinds]
        while not over.is_set():
            kind = self._chance.choices(kinds, weights)[0]
            attempt = self._attempt(self._chance.choice(self._kinds[kind]))
            self.attempts.append(attempt)
            if attempt.case.form == "one" and attempt.model and self._chance.random() < SAID:
                self.attempts.append(self._attempt(feedback(attempt)))

    def until_served(self, seconds: float) -> None:
        """Wait for the first right answer; RuntimeError with the last one when it does not come."""
        end = time.monotonic() + seconds
        case = self._kinds["upload"][0]
        while (attempt := self._attempt(case)).finding.verdict == "failed":
            if time.monotonic() > end:
                raise RuntimeError(f"nothing is served: {attempt}")
            time.sleep(0.2)

    def _attempt(self, case: Case) -> Attempt:
        began = time.monotonic()
        try:
            reply = self._ask(case)
        except urllib3.exceptions.HTTPError as error:
            found = Finding("failed", "no reply", type(error).__name__)
            return Attempt(case, began, time.monotonic(), found.code, "", found)
        finding = judge(case, reply, self._answers)
        code = reply.code if reply.status != 200 else "200"
        return Attempt(case, began, time.monotonic(), code, reply.request_id, finding, _model(reply))

    def _ask(self, case: Case) -> Reply:
        caller = {CALLER: str(self._chance.randrange(CALLERS))}
        got = self._pool.request(
            case.method, self._url + case.target, body=case.body or None, headers={**BEARER, **case.headers, **caller}
        )
        text = got.data.decode(errors="replace")
        self.leaked += found_in([text, str(dict(got.headers))], WORDS)
        return Reply(got.status, {name.lower(): value for name, value in got.headers.items()}, _json(text))


def _json(text: str) -> Any:  # noqa: ANN401 - whatever came
    try:
        return json.loads(text)
    except ValueError:
        return None


def _model(reply: Reply) -> str:
    """Version and engine of the model that answered, as far as the reply says it."""
    model = reply.document.get("model") if isinstance(reply.document, dict) else None
    return f"{model['version']} {model['engine']}" if reply.status == 200 and isinstance(model, dict) else ""
