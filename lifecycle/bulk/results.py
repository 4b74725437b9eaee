"""The end of a run: finished parts joined into one file, in the order of the list, which then appears whole."""

from __future__ import annotations

import json
import tempfile
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from itertools import batched
from typing import IO, TYPE_CHECKING, Any

from lifecycle import record
from lifecycle.bulk.formats import write_rows
from lifecycle.bulk.plan import PLAN, Plan, read_plan
from lifecycle.errors import ConflictError, PlaceError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from classifier.bulk.rows import Row
    from lifecycle.bulk.folder import Destination

DONE = "done.json"
READERS = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """What a finished run came to; kept beside its results, so that it is not done again."""

    run: str
    source: str
    model: str
    pictures: int
    errors: dict[str, int]
    """Pictures with an error, by code."""
    versions: dict[str, int]
    """Pictures that were classified, by the model's version."""
    finished: str


@dataclass(slots=True)
class Tally:
    """Counts rows as they pass."""

    errors: Counter[str] = field(default_factory=Counter)
    versions: Counter[str] = field(default_factory=Counter)

    def counted(self, rows: Iterator[Row]) -> Iterator[Row]:
        """The same rows."""
        for row in rows:
            if "error" in row:
                self.errors[row["error"]["code"]] += 1
            else:
                self.versions[row["model"]["version"]] += 1
            yield row


def read_done(destination: Destination) -> Done | None:
    """What the finished run says, None if none has finished."""
    data = destination.folder.read(destination.work + DONE)
    if data is None:
        return None
    try:
        return Done(**json.loads(data))
    except (ValueError, TypeError) as error:
        raise PlaceError(f"{destination.folder.url}{destination.work}{DONE} can't be read: {error!r}") from error


def finished_parts(destination: Destination, plan: Plan) -> set[int]:
    """Numbers of the parts that are there."""
    start = len(destination.work)
    names = {name[start:] for name in destination.folder.names(f"{destination.work}{plan.run}/")}
    return {part for part in plan.parts if plan.name_of(part) in names}


def join(destination: Destination, plan: Plan) -> Done:
    """Write the file, then that it is done, then remove the parts; ConflictError if somebody began anew."""
    tally = Tally()
    with tempfile.TemporaryFile() as file:
        write_rows(tally.counted(_rows(destination, plan)), destination.format, file)
        _check_still_ours(destination, plan)
        file.seek(0)
        if not destination.folder.write(destination.name, file, plan.replaces):
            _check_same(destination, file)
    done = Done(
        run=plan.run,
        source=plan.source,
        model=plan.model,
        pictures=len(plan.keys),
        errors=dict(sorted(tally.errors.items())),
        versions=dict(sorted(tally.versions.items())),
        finished=record.now(),
    )
    name = destination.work + DONE
    destination.folder.write(name, json.dumps(asdict(done), indent=1).encode(), destination.folder.token(name))
    clear(destination, done)
    return done


def clear(destination: Destination, done: Done) -> None:
    """Remove what a finished run no longer needs, also what came late from a machine that worked on it, too."""
    folder, work = destination.folder, destination.work
    plan = read_plan(destination)
    begun_since = (work + PLAN, f"{work}{plan.run}/") if plan is not None and plan.run != done.run else ()
    folder.remove(name for name in folder.names(work) if not name.startswith((work + DONE, *begun_since)))


def _rows(destination: Destination, plan: Plan) -> Iterator[Row]:
    def read(part: int) -> list[Row]:
        name = destination.work + plan.name_of(part)
        data = destination.folder.read(name)
        if data is None:
            raise PartMissingError(name)
        rows: list[Row] = [json.loads(line) for line in data.splitlines()]
        if tuple(row["key"] for row in rows) != plan.keys_of(part):
            raise PlaceError(f"{destination.folder.url}{name} does not hold the pictures that the plan names")
        return rows

    with ThreadPoolExecutor(READERS) as readers:
        for some in batched(plan.parts, READERS * 4, strict=False):
            for rows in readers.map(read, some):
                yield from rows


class PartMissingError(Exception):
    """A part is gone: another machine finished the run, or somebody removed it."""


def _check_still_ours(destination: Destination, plan: Plan) -> None:
    now = read_plan(destination)
    if now is not None and now.run != plan.run:
        raise ConflictError(f"somebody began the work anew ({now.began}); what this run classified is dropped")


def _check_same(destination: Destination, file: IO[bytes]) -> None:
    """The file is there already: fine if it is ours, written before a stop or by another machine."""
    there = destination.folder.read(destination.name)
    file.seek(0)
    if there != file.read():
        raise ConflictError(f"{destination.url} was written by somebody else meanwhile; --again replaces it")


def undo(destination: Destination) -> str:
    """How to remove the results."""
    url = destination.url
    if not url.startswith("s3://"):
        return f"rm -r {url} {destination.folder.url}{destination.work}"
    return f"aws s3 rm {url}; aws s3 rm --recursive {destination.folder.url}{destination.work}"


def as_document(done: Done) -> dict[str, Any]:
    """As --json gives it."""
    return asdict(done)
