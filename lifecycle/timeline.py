"""What was published in which order, and what serves now: read from published.json's versions and the prefix itself."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from classifier.bundles.bundle import PUBLISHED, Snapshot, Unsettled
from classifier.bundles.compiled import known_fingerprint
from lifecycle import record
from lifecycle.errors import UsageError
from lifecycle.record import Record
from lifecycle.shares import canary_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from classifier.bundles.compiled import Report
    from classifier.bundles.reader import View
    from classifier.bundles.store import ModelStore
    from lifecycle.place import Place

LOOK_S = 60.0
BY_HAND = "swapped by hand"


@dataclass(frozen=True, slots=True)
class Refused:
    """That functions can't serve what is newest, as the compile function found out."""

    version: str
    reason: str
    instead: str | None
    """The version that they serve for it: a fingerprint, "swapped by hand", or None if there is no older one."""

    @property
    def told(self) -> str:
        """What functions do about it, in a sentence."""
        if self.instead is None:
            return "There is no good model before it: functions that start now have none."
        before = f"objects {BY_HAND} before it" if self.instead == BY_HAND else f"{self.instead}, the last good model"
        return f"Functions serve {before}."


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeline:
    """One place's publications, newest first, and what serves there now."""

    current: Record | None
    """What published.json says."""
    records: Sequence[Record]
    there: frozenset[tuple[str, str]]
    """(key, VersionId) of all object versions."""
    view: View
    store: ModelStore

    @property
    def swapped(self) -> bool:
        """Whether objects swapped by hand count, or soon will, instead of what is published."""
        newest = self.view.newest
        if newest is None:
            return False
        return isinstance(newest, Unsettled) or self.current is None or known_fingerprint(newest) is None

    @property
    def serving(self) -> str | None:
        """The version that functions load now: a fingerprint, "swapped by hand", or None for nothing."""
        if self.swapped:
            return BY_HAND
        return known_fingerprint(self.view.newest) if isinstance(self.view.newest, Snapshot) else None

    def refused(self) -> Refused | None:
        """What functions refuse, and what they serve instead; None if they can serve what counts now."""
        newest = self.view.newest
        report = self._report(newest) if isinstance(newest, Snapshot) else None
        if report is None or not report.refusal or not isinstance(newest, Snapshot):
            return None
        return Refused(report.fingerprint, report.refusal, self._before(newest))

    def _before(self, refused: Snapshot) -> str | None:
        """What a function that starts now goes back to."""
        for snapshot in self.store.bundles.older(time.monotonic() + LOOK_S):
            report = self._report(snapshot)
            if snapshot.stated != refused.stated and not (report and report.refusal):
                return known_fingerprint(snapshot) or (report.fingerprint if report else BY_HAND)
        return None

    def _report(self, snapshot: Snapshot) -> Report | None:
        return self.store.compiled.report_for(snapshot, self.view.reports, time.monotonic() + LOOK_S)

    @property
    def canary(self) -> Record | None:
        """The model that runs as a canary beside what serves; None if there is none, or a swap by hand has ended it."""
        found = None if self.swapped else canary_of(self.current)
        return Record(found, self.current.etag, self.current.written) if found and self.current else None

    @property
    def publications(self) -> list[Record]:
        """The newest record of each publication; going back to one is none of its own."""
        return [found for found in self.records if not found.is_return]

    def is_whole(self, found: Record) -> bool:
        """Whether it can be served again."""
        return record.is_whole(found, set(self.there))

    def named(self, version: str) -> Record:
        """The newest publication whose version begins with the text, or the canary.

        UsageError if there is none, or more than one.
        """
        every = [*self.publications, *([self.canary] if self.canary else [])]
        found = [item for item in every if version and item.version.startswith(version)]
        if len({item.version for item in found}) == 1:
            return found[0]
        known = ", ".join(dict.fromkeys(item.version for item in every)) or "none"
        how = "more than one" if found else "none"
        raise UsageError(f"version {version!r} is {how} of those published: {known}")

    def before(self) -> Record | None:
        """What a rollback goes to: the published model if another was swapped in by hand, else the one before it.

        What a rollback left counts no more: after A, B, back to A, and C, the one before C is A.
        """
        if self.current is None or self.swapped:
            return self.current
        stack: list[Record] = []
        for found in reversed(self.records):
            same = [index for index, item in enumerate(stack) if item.objects == found.objects]
            stack = [*(stack[: same[-1]] if same and found.is_return else stack), found]
        version = self.current.version
        return next((item for item in reversed(stack) if item.version != version and self.is_whole(item)), None)

    def undo(self, place: Place) -> str:
        """How to get back what serves now, once something else is live."""
        if self.swapped and self.current is not None:
            return "copy the objects that were swapped in by hand once more"
        if self.current is None:
            return f"aws s3 rm {place.url}/{PUBLISHED}"
        return f"scripts/models rollback {place.url} --to {self.current.version}"


def read_timeline(place: Place) -> Timeline:
    """Look at a place as a function would, and at everything that was published there."""
    store = place.store()
    return Timeline(
        current=record.read_current(place),
        records=record.history(place),
        there=frozenset(record.existing(place)),
        view=store.bundles.look(time.monotonic() + LOOK_S),
        store=store,
    )
