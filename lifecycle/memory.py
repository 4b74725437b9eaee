"""What memory the deployed functions need for a model, held against what they have, before anything is uploaded."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from classifier.bundles.bundle import Snapshot
from classifier.model_memory import COMPILING, IDLE_MB, LITERT, MB, TENSORFLOW
from lifecycle.timeline import LOOK_S

if TYPE_CHECKING:
    from classifier.bundles.compiled import Report
    from classifier.model_memory import Rule
    from lifecycle.place import Place
    from lifecycle.timeline import Timeline

SERVICE = "keras-classifier"
_STAGE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_PATIENCE_S = 3


@dataclass(frozen=True, slots=True)
class Needs:
    """Megabytes: of `memory` by each engine (`litert` None where it can't serve the model), and of `compileMemory`."""

    litert: int | None
    tensorflow: int | None
    compiling: int

    def as_dict(self) -> dict[str, Any]:
        """As `--json` tells it."""
        return {"memory": {"litert": self.litert, "tensorflow": self.tensorflow}, "compileMemory": self.compiling}

    def __str__(self) -> str:
        engines = (("LiteRT", self.litert), ("TensorFlow", self.tensorflow))
        text = ", ".join(f"{megabytes:,} MB by {name}" for name, megabytes in engines if megabytes is not None)
        return f"memory {text}; compileMemory {self.compiling:,} MB"


def needs_of(weights: int, report: Report) -> Needs:
    """What a model of `weights` bytes needs, once what other models hold is added (docs/operate/memory.md)."""
    litert = LITERT.peak_mb(report.model_bytes, report.largest_layer) if report.usable else None
    tensorflow = None if report.compiled_only else TENSORFLOW.peak_mb(weights, report.largest_layer)
    return Needs(litert, tensorflow, COMPILING.peak_mb(weights, report.largest_layer))


def refuse_what_cannot_fit(weights: int, report: Report, memory_mb: int | None) -> None:
    """ModelTooLargeError if the function has the memory for neither engine; None: it is not known."""
    needs = needs_of(weights, report)
    if memory_mb is None or any(one is not None and one <= memory_mb for one in (needs.litert, needs.tensorflow)):
        return
    rule, size = (LITERT, report.model_bytes) if report.usable else (TENSORFLOW, weights)
    raise rule.refusal(size, memory_mb * MB, layer=report.largest_layer)


@dataclass(frozen=True, slots=True)
class Beside:
    """What a canary needs by the engine that will serve it, and what the stable model holds meanwhile."""

    rule: Rule
    size: int
    layer: int
    stable_mb: int

    @property
    def total_mb(self) -> int:
        """Both together."""
        return self.rule.peak_mb(self.size, self.layer) + self.stable_mb

    def as_dict(self) -> dict[str, int]:
        """As `--json` tells it."""
        return {"memory": self.total_mb, "stable": self.stable_mb}

    def __str__(self) -> str:
        own = self.total_mb - self.stable_mb
        return (
            f"memory {self.total_mb:,} MB: {own:,} by {self.rule.name} for it, {self.stable_mb:,} for the stable model"
        )

    def refuse_what_cannot_fit(self, memory_mb: int | None) -> None:
        """ModelTooLargeError if the function has no room for both; None: its memory is not known."""
        if memory_mb is not None and self.total_mb > memory_mb:
            raise self.rule.refusal(self.size, memory_mb * MB, layer=self.layer, other_mb=self.stable_mb)


def needs_beside(timeline: Timeline, weights: int, report: Report | None) -> Beside:
    """What a canary of `weights` bytes needs beside the model that serves; a report of None: it is not compiled yet."""
    stable, newest = 0, timeline.view.newest
    compiled = report is not None and report.usable
    if isinstance(newest, Snapshot):
        known = timeline.store.compiled.report_for(newest, timeline.view.reports, time.monotonic() + LOOK_S)
        if known is not None and known.usable:
            stable = int(LITERT.times * known.model_bytes) // MB
        else:
            # TensorFlow itself is in memory once, in the canary's part if that needs it, too.
            own = TENSORFLOW.base_mb - IDLE_MB if compiled else 0
            stable = int(TENSORFLOW.times * newest.weights.size) // MB + own
    layer = report.largest_layer if report is not None else 0
    if report is not None and compiled:
        return Beside(LITERT, report.model_bytes, layer, stable)
    return Beside(TENSORFLOW, weights, layer, stable)


def stage_of(place: Place) -> str:
    """The stage whose models lie there: models/<stage>/ as serverless.yml has it, else the last folder."""
    folders = place.prefix.strip("/").split("/")
    return folders[1] if folders[0] == "models" and len(folders) > 1 else folders[-1]


def deployed_mb(stage: str | None) -> int | None:
    """The memory of a stage's `classify`, as Lambda has it; None where there is no stage, no function, or no answer."""
    if not stage or not _STAGE.fullmatch(stage):
        return None
    import boto3
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError, ClientError
    from botocore.parsers import ResponseParserError

    patience = Config(connect_timeout=_PATIENCE_S, read_timeout=_PATIENCE_S, retries={"total_max_attempts": 1})
    try:
        client = boto3.session.Session().client("lambda", config=patience)
        found = client.get_function_configuration(FunctionName=f"{SERVICE}-{stage}-classify")
        return int(found["MemorySize"])
    except (BotoCoreError, ClientError, ResponseParserError, KeyError):
        return None
