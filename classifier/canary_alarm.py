"""What an alarm of CloudWatch does: it ends the canaries that say so, by one conditional PUT each.

A function of its own (`handler.end_canary`), as the one that answers may not write; the alarm on the canary's errors
invokes it. Its metrics are those of a stage, so an alarm is about every canary of the stage that had begun by then.
https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/alarms-and-actions-Lambda.html
"""

from __future__ import annotations

import json
from datetime import datetime
from typing import TYPE_CHECKING, Any

from classifier import logs
from classifier.bundles.bundle import PUBLISHED, ROLES, Unsettled
from classifier.bundles.canary import ABORT_ON, without
from classifier.bundles.names import is_name
from classifier.bundles.reader import MAX_PUBLISHED_BYTES
from classifier.documents import Fields, check, read_object
from classifier.errors import ClassifierError, ModelError, StorageUnavailableError
from classifier.records import Record
from classifier.s3.storage import ObjectChangedError, ObjectMissingError, ObjectTooLargeError, ObjectUnreadableError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from classifier.bundles.store import ModelStore

CHANGES_TOLERATED = 5
ERRORS = "errors"
_EVENT = Fields({"alarmData": Fields({"alarmName": str, "state": Fields({"value": str, "timestamp": str})})})
_SAID = Fields({"version": str, "since": int, ABORT_ON: [str]})


class CanaryAlarm(Record):
    """Ends canaries under one prefix, the prefix's own and those of models in folders of their names."""

    store: ModelStore
    inside: Callable[[str], ModelStore]
    """A named model's place."""

    def run(self, event: Mapping[str, Any], deadline: float) -> list[dict[str, Any]]:
        """What came of each model that has a canary; none if the event says no alarm. `deadline` by time.monotonic().

        ModelError for an event that is none of CloudWatch's alarms. Raises what went wrong with S3, after all models
        had their turn, so that Lambda tries again: what is done is not done twice.
        """
        alarm = _alarm(event)
        if alarm is None:
            return []
        done, failure = [], None
        for name in self._names(deadline):
            try:
                result = self._end(self.inside(name) if name else self.store, alarm, deadline)
            except ModelError as error:
                logs.emit("warning", "published.json makes no sense, nothing was ended", error=error)
            except ClassifierError as error:
                failure = error
            else:
                done += [result | ({"model": name} if name else {})] if result else []
        for result in done:
            logs.emit("warning" if result["ended"] else "info", "alarm", fields={"alarm": alarm.name, **result})
        if failure is not None:
            raise failure
        return done

    def _names(self, deadline: float) -> list[str]:
        """The models of the stage, "" for the prefix's own."""
        listed = self.store.s3.list(self.store.bucket, self.store.prefix, deadline).objects
        places = (info.key.removeprefix(self.store.prefix).rpartition("/") for info in listed)
        return sorted({folder for folder, _, file in places if file == PUBLISHED and (not folder or is_name(folder))})

    def _end(self, store: ModelStore, alarm: Alarm, deadline: float) -> dict[str, Any]:
        """What came of one model's canary; nothing if it has none."""
        for _ in range(CHANGES_TOLERATED):
            try:
                return _ended(store, alarm, deadline)
            except ObjectChangedError as error:
                changed = error
            except ObjectTooLargeError as error:
                raise ModelError(str(error)) from error
            except (ObjectMissingError, ObjectUnreadableError) as error:
                raise StorageUnavailableError(f"{PUBLISHED} can't be read or written: {error}") from error
        raise StorageUnavailableError(f"{PUBLISHED} changed each time: {changed}") from changed


class Alarm(Record):
    """An alarm that went off, and when, in seconds since the epoch."""

    name: str
    at: float


def _alarm(event: Mapping[str, Any]) -> Alarm | None:
    """What the event says; None for an alarm that is over."""
    check(event, _EVENT, "the event")
    data = event["alarmData"]
    if data["state"]["value"] != "ALARM":
        return None
    try:
        return Alarm(data["alarmName"], datetime.fromisoformat(data["state"]["timestamp"]).timestamp())
    except ValueError as error:
        raise ModelError(f"the event's timestamp is {data['state']['timestamp'][:40]!r}") from error


def _ended(store: ModelStore, alarm: Alarm, deadline: float) -> dict[str, Any]:
    """Read, decide, and write on the condition that nobody else did meanwhile; ObjectChangedError if somebody did.

    What lies at the root is listed before the decision: what is copied there by hand later is newer than what is
    written here, and goes on counting.
    """
    key = store.prefix + PUBLISHED
    data, etag = store.s3.get_tagged(store.bucket, key, deadline, max_bytes=MAX_PUBLISHED_BYTES)
    document = read_object(data, key)
    if document.get("canary") is None:
        return {}
    root = store.s3.list(store.bucket, store.prefix, deadline, delimiter="/").objects
    written = next((info.modified for info in root if info.key == key and info.etag == etag), None)
    view = store.bundles.look(deadline)
    if written is None:
        raise ObjectChangedError(f"{key} is another one now")
    if isinstance(view.newest, Unsettled):
        raise StorageUnavailableError("objects were copied by hand moments ago; once they count, they end the canary")
    said: Any = document["canary"]
    told = {"canary": str(said.get("version"))[:64] if isinstance(said, dict) else "", "ended": False}
    if view.canary is None or view.canary.snapshot is None:
        return {**told, "why": "it serves nobody: objects were copied by hand, or what is said of it makes no sense"}
    if ABORT_ON not in said:
        return {**told, "why": f"it does not say {ABORT_ON}"}
    check(said, _SAID, f"{key}.canary")
    if ERRORS not in said[ABORT_ON] or said["since"] > alarm.at:
        return {**told, "why": "it began after the alarm" if ERRORS in said[ABORT_ON] else "it is not about errors"}
    names = {info.key.removeprefix(store.prefix): info.etag for info in root}
    replaced = {name: etag for name, etag in names.items() if name in ROLES}
    body = json.dumps({**without(document, written), "replaced": replaced}, indent=1).encode()
    condition = {"if-match": f'"{etag}"'}
    store.s3.put(store.bucket, key, body, deadline, content_type="application/json", condition=condition)
    return {**told, "ended": True, "stable": str(document.get("version"))[:64]}
