"""What was asked and what came back, and whether something that was wrong just then explains it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tools.chaos.judge import FAILED

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tools.chaos.cases import Case
    from tools.chaos.faults import Fault
    from tools.chaos.judge import Finding
    from tools.chaos.sandboxes import Kill

AFTER_S = 2.0
"""How long a sandbox without a model may repeat what S3 told it: MODEL_CHECK_SECONDS of a campaign, and some."""

NOTICED_S = 0.5
"""How long it may take until a killed process is known to be gone: an event may still be sent to it."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """One request: when it began and ended (time.monotonic()), what came back, and what that is worth."""

    case: Case
    began: float
    ended: float
    code: str
    request_id: str
    finding: Finding
    model: str = ""


@dataclass(frozen=True, slots=True)
class Span:
    """A fault and when it was on."""

    fault: Fault
    began: float
    ended: float

    def touches(self, attempt: Attempt, after_s: float = 0.0) -> bool:
        """Whether the fault was on at any time while the request ran, or less than `after_s` before."""
        return attempt.began <= self.ended + after_s and self.began <= attempt.ended


def cause(attempt: Attempt, spans: Iterable[Span], kills: Iterable[Kill], warm: set[str]) -> str:
    """What explains a failed attempt, empty if nothing does."""
    code = attempt.finding.code
    if code.endswith(FAILED):
        killed = any(attempt.began - NOTICED_S <= kill.at <= attempt.ended for kill in kills)
        return "sandbox killed" if killed else ""
    for span in spans:
        known = span.fault.by_key
        if attempt.case.form == "feedback" and known:
            known |= {"503 storage_unavailable"}  # it writes, too: what is denied or gone then is no missing picture
        by_key = attempt.case.by_key and code in known and span.touches(attempt)
        cold = _among(code, span.fault.cold) and span.touches(attempt, AFTER_S) and attempt.request_id not in warm
        if by_key or cold:
            return span.fault.name
    return ""


def _among(code: str, codes: frozenset[str]) -> bool:
    """Whether it is one of the codes; a reply of another protocol has a status only."""
    return code in codes or code in {known.partition(" ")[0] for known in codes}
