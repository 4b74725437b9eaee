"""What a campaign came to: counts, causes and the figures that must be nought, as a table and as JSON."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

SHOWN = 40
LISTS = ("unexplained", "wrong", "lost", "leaks", "torn")


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """Figures of one campaign. The lists tell what must not happen, an entry each time that it did."""

    seed: str
    seconds: float
    engine: str
    requests: Mapping[str, int]
    """How often each kind of request was sent."""
    answers: Mapping[str, int]
    """How often each status and code came back."""
    causes: Mapping[str, int]
    """Failures that a fault of S3 or a kill explains: cause and code together."""
    events: Mapping[str, int]
    """Faults, swaps and kills, each with how often it was made."""
    adopted: Mapping[str, int]
    """Replies by model version and engine."""
    roles: Mapping[str, int]
    """Requests answered while there was a canary, by whose model."""
    captures: Mapping[str, int]
    """Pictures that were kept, and those of them that got feedback."""
    slow_starts: int
    """Starts that took more than INIT's 10 s."""
    peak_mb: int
    memory_mb: int
    unexplained: tuple[str, ...] = field(default=())
    wrong: tuple[str, ...] = field(default=())
    lost: tuple[str, ...] = field(default=())
    leaks: tuple[str, ...] = field(default=())
    torn: tuple[str, ...] = field(default=())
    """What was kept and is not whole, or another request's."""

    @property
    def broken(self) -> Mapping[str, int]:
        """What must be nought and is not."""
        over = int(self.peak_mb > self.memory_mb)
        return {name: count for name, count in [*self._nought(), ("over the memory", over)] if count}

    def _nought(self) -> Iterator[tuple[str, int]]:
        yield "unexplained failures", len(self.unexplained)
        yield "wrong results", len(self.wrong)
        yield "sandboxes lost", len(self.lost)
        yield "leaks", len(self.leaks)
        yield "captures torn", len(self.torn)

    def to_json(self) -> str:
        """Everything, for other programs."""
        names = [name for name in self.__slots__ if name not in LISTS]
        document: dict[str, Any] = {name: getattr(self, name) for name in names}
        document |= {"must_be_0": dict(self._nought()), "ok": not self.broken}
        document["examples"] = {name: list(getattr(self, name)[:SHOWN]) for name in LISTS}
        return json.dumps(document, indent=2, default=dict)

    def table(self) -> str:
        """The same for people."""
        total = sum(self.requests.values())
        rows = [("requests", total, f"{self.seconds:.0f} s, seed {self.seed}, ENGINE={self.engine}")]
        rows += [(f"  {name}", count, "") for name, count in sorted(self.requests.items())]
        rows.append(("answers", sum(self.answers.values()), ""))
        rows += [(f"  {name}", count, "") for name, count in sorted(self.answers.items())]
        rows.append(("failures by cause", sum(self.causes.values()), "each explained by what was wrong just then"))
        rows += [(f"  {name}", count, "") for name, count in sorted(self.causes.items())]
        rows.append(("what went wrong", sum(self.events.values()), ""))
        rows += [(f"  {name}", count, "") for name, count in sorted(self.events.items())]
        rows.append(("replies by model", sum(self.adopted.values()), ""))
        rows += [(f"  {name}", count, "") for name, count in sorted(self.adopted.items())]
        rows += [(f"  by the {name} model beside a canary", count, "") for name, count in sorted(self.roles.items())]
        rows += [(name, count, "") for name, count in self.captures.items()]
        rows += [(name, count, "must be 0") for name, count in self._nought()]
        rows.append(("starts over 10 s", self.slow_starts, ""))
        rows.append(("peak memory, MB", self.peak_mb, f"of {self.memory_mb}, the largest VmHWM of any sandbox"))
        lines = [f"{name:<58}{count:>8,}  {note}".rstrip() for name, count, note in rows]
        for name in LISTS:
            lines += [f"{name}: {text}" for text in getattr(self, name)[:SHOWN]]
        return "\n".join(lines)


def counted(names: Iterator[str]) -> dict[str, int]:
    """How often each comes, in a plain dictionary."""
    return dict(Counter(names))
