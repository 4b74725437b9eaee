"""Which pictures are classified, by which model, cut into which parts: fixed when the work begins, kept beside it.

What is added under the prefix later belongs to the next plan. A part is a slice of the list, so its name says which
pictures it holds, and it is whole or not there.
"""

from __future__ import annotations

import json
import uuid
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from lifecycle import record
from lifecycle.errors import PlaceError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lifecycle.bulk.folder import Destination

PLAN = "plan.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """One run over one list of keys."""

    run: str
    began: str
    source: str
    """s3://bucket/prefix of the pictures."""
    model: str
    """Where the model is: its place in S3, or the API's URL."""
    version: str | None
    """The model's version, None where the API decides."""
    top: int | None
    part_size: int
    replaces: str | None
    """The token of a result that was there before and may be replaced."""
    keys: tuple[str, ...]

    @property
    def parts(self) -> range:
        """Numbers of all parts."""
        return range(-(-len(self.keys) // self.part_size))

    def keys_of(self, part: int) -> tuple[str, ...]:
        """Its pictures, in order."""
        return self.keys[part * self.part_size : (part + 1) * self.part_size]

    def name_of(self, part: int) -> str:
        """Its name under the destination's `work`."""
        return f"{self.run}/part-{part:05d}.jsonl"


def begin(
    destination: Destination,
    *,
    source: str,
    model: str,
    version: str | None,
    top: int | None,
    part_size: int,
    keys: Sequence[str],
    again: bool,
) -> Plan:
    """Fix a plan, or take the one that another machine fixed at the same moment."""
    folder, name = destination.folder, destination.work + PLAN
    before = folder.token(name) if again else None
    plan = Plan(
        run=uuid.uuid4().hex[:12],
        began=record.now(),
        source=source,
        model=model,
        version=version,
        top=top,
        part_size=part_size,
        replaces=folder.token(destination.name) if again else None,
        keys=tuple(keys),
    )
    if folder.write(name, json.dumps(asdict(plan)).encode(), before):
        return plan
    other = read_plan(destination)
    if other is None:
        raise PlaceError(f"{folder.url}{name} was removed while the work began; run it again")
    return other


def read_plan(destination: Destination) -> Plan | None:
    """The plan that is being worked on, None if there is none."""
    name = destination.work + PLAN
    data = destination.folder.read(name)
    if data is None:
        return None
    try:
        document = json.loads(data)
        return Plan(**{**document, "keys": tuple(document["keys"])})
    except (ValueError, KeyError, TypeError) as error:
        raise PlaceError(f"{destination.folder.url}{name} is no plan: {error!r}") from error
