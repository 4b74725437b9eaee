"""One request of a campaign and what must come of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping

type Form = Literal["one", "several", "serving", "model", "refused", "health", "feedback"]


@dataclass(frozen=True, slots=True)
class Refusal:
    """The one right error: status, and code where the form of the reply has one."""

    status: int
    code: str = ""

    def __str__(self) -> str:
        return f"{self.status} {self.code}".strip()


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A request. `wants` has for each of its pictures the picture's name, whose scores are wanted, or the refusal."""

    kind: str
    name: str
    target: str = "/classify?top=10"
    wants: tuple[str | Refusal, ...]
    form: Form = "one"
    method: str = "POST"
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = field(default=b"", repr=False)
    by_key: bool = False
    """Whether a picture of it is read from S3."""
