"""What memory the deployed functions need for a model, held against what they have, before anything is uploaded."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from classifier.model_memory import COMPILING, LITERT, MB, TENSORFLOW

if TYPE_CHECKING:
    from classifier.bundles.compiled import Report

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
