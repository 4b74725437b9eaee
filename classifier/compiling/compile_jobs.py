"""Which models an event is about: the prefix's own, and those in folders of their names under it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from classifier.bundles.bundle import PUBLISHED, ROLES
from classifier.bundles.names import is_name

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from classifier.bundles.store import ModelStore
    from classifier.compiling.compile_job import CompileJob


@dataclass(frozen=True, slots=True)
class CompileJobs:
    """The jobs of the models that an event is about: the prefix's own, and those in folders of their names under it."""

    own: CompileJob
    inside: Callable[[str], ModelStore]
    """A named model's place."""

    def run(self, event: Mapping[str, Any], deadline: float) -> list[dict[str, Any]]:
        """What came of each model that the event concerns, named if it has a name; none for an event about others."""
        done = []
        for name in self.concerned(event):
            job = replace(self.own, store=self.inside(name)) if name else self.own
            done.append(job.run(deadline) | ({"model": name} if name else {}))
        return done

    def concerned(self, event: Mapping[str, Any]) -> list[str]:
        """Names of the models whose bundles an event is about, "" for the prefix's own.

        S3 sends notifications of its own, whose keys are form-encoded, or events by EventBridge, whose keys are not. An
        event about no object asks for a look anyway: at the model that `model` names, or else at the prefix's own.
        """
        from urllib.parse import unquote_plus

        if "Records" in event:
            keys = [unquote_plus(record["s3"]["object"]["key"]) for record in event["Records"]]
        elif "detail" in event:
            keys = [event["detail"]["object"]["key"]]
        else:
            keys = [f"{self.own.store.prefix}{f'{event["model"]}/' if event.get('model') else ''}{PUBLISHED}"]
        return sorted({name for key in keys if (name := self._name(key)) is not None})

    def _name(self, key: str) -> str | None:
        """The name of the model that an object is part of; None for one that is no part of any."""
        if not key.startswith(self.own.store.prefix):
            return None
        folder, _, file = key.removeprefix(self.own.store.prefix).rpartition("/")
        if file not in ROLES and file != PUBLISHED:
            return None
        return folder if not folder or is_name(folder) else None
