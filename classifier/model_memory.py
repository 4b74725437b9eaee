"""How much memory a model takes, known before it is spent: one rule for each way of using one.

Measured over the size classes of keras.applications, MobileNetV2 to ConvNeXtLarge (docs/operate/memory.md). A sandbox
that passes its memory is killed, with the model that it serves; what would not fit is refused instead.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from classifier import function_memory
from classifier.errors import ModelTooLargeError
from classifier.records import Record

if TYPE_CHECKING:
    from collections.abc import Mapping

MB = 1 << 20
"""As Lambda counts memory."""
_WITH_TRAINING_STATE = 3
"""Adam keeps two numbers beside each weight."""
IDLE_MB = 40
"""What a sandbox holds before it has a model; part of every rule's `base_mb`."""


class Rule(Record):
    """The most that a sandbox holds at any moment: `times` a model's size, and `base_mb` whatever its size."""

    name: str
    times: float
    base_mb: int
    layer_mb: int
    """A layer's output of this size is in `base_mb`. What is beyond counts three times: in, out and between."""
    parameter: str
    """Of serverless.yml: what to raise; the bulk function serves as `classify` does, and has one of its own."""

    def peak_mb(self, size: int, layer: int = 0) -> int:
        """Megabytes, for a model of `size` bytes: of the compiled form for LiteRT, else of the weights as float32.

        `layer`: bytes of the largest output of a layer, for one picture.
        """
        beyond = max(0, layer - self.layer_mb * MB)
        return -(-(int(self.times * size) + 3 * beyond) // MB) + self.base_mb

    def check(self, size: int, memory: int, *, layer: int = 0, begun: bool = False, least: bool = False) -> None:
        """ModelTooLargeError if a model of `size` bytes does not fit a function of `memory` bytes (0: not known).

        What the process holds beside counts, too: the model that still serves, a picture. `begun`: the engine's own
        part of the rule is in memory already. `least`: the model may turn out to be larger.
        """
        if not memory:
            return
        needed, other = self.peak_mb(size, layer), self._other_mb(begun=begun)
        if needed + other > memory // MB and other:
            function_memory.give_back()
            other = self._other_mb(begun=begun)
        if needed + other > memory // MB:
            raise self.refusal(size, memory, layer=layer, other_mb=other, least=least)

    def refusal(
        self, size: int, memory: int, *, layer: int = 0, other_mb: int = 0, least: bool = False
    ) -> ModelTooLargeError:
        """The error that says what is needed, what there is, and what to raise."""
        needed = self.peak_mb(size, layer)
        beside = f", beside {other_mb:,} MB that are in use" if other_mb else ""
        return ModelTooLargeError(
            f"{self.name} needs {'at least ' if least else ''}{needed:,} MB for a model of {-(-size // MB):,} MB"
            f"{beside}, the function has {memory // MB:,} MB: raise the parameter `{self._parameter()}`",
            needed_mb=needed,
        )

    def check_file(self, size: int, memory: int, *, published: bool) -> None:
        """The same for a weights file that is not read yet: but for a published one, it may hold a training's state."""
        self.check(size if published else size // _WITH_TRAINING_STATE, memory, least=not published)

    def _parameter(self) -> str:
        bulk = self.parameter == "memory" and os.environ.get("_HANDLER", "").endswith("bulk")
        return "bulkMemory" if bulk else self.parameter

    def _other_mb(self, *, begun: bool) -> int:
        return max(0, function_memory.resident() // MB - (self.base_mb if begun else IDLE_MB))


LITERT = Rule("LiteRT", 1.4, 45, 16, "memory")
TENSORFLOW = Rule("TensorFlow", 2.0, 350, 64, "memory")
COMPILING = Rule("compiling", 3.5, 600, 64, "compileMemory")


class Room(Record):
    """A function's memory (0: not known), held against what a model turns out to need, step by step, by one rule."""

    rule: Rule
    memory: int

    def for_weights(self, size: int) -> None:
        """ModelTooLargeError if variables of `size` bytes, which are about to be made, do not fit."""
        self.rule.check(size, self.memory, begun=True)

    def for_layers(self, size: int, layer: int) -> None:
        """The same once it is known how large the largest output of a layer is, before any is made."""
        if layer > self.rule.layer_mb * MB and self.rule.peak_mb(size, layer) > self.memory // MB > 0:
            raise self.rule.refusal(size, self.memory, layer=layer)


ANY = Room(TENSORFLOW, 0)


def stated(environ: Mapping[str, str] = os.environ) -> int:
    """The function's memory in bytes, as Lambda states it; 0 where nobody does."""
    megabytes = environ.get("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "")
    return int(megabytes) * MB if megabytes.isdecimal() else 0
