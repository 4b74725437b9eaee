"""Owns the training run: the plan (sizes and learning rate over time), the loop, and the weights it ends with."""

import functools
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tools.training import architecture, augmentation
from tools.training.pictures import Pixels

if TYPE_CHECKING:
    import keras
    import numpy as np
    import tensorflow as tf
    from numpy.typing import NDArray

WARM_UP = 0.05
MILD_FROM = 0.85
REPORT_EACH = 5  # epochs
GROWTH = ((0.55, 2 / 3), (0.85, 5 / 6), (math.inf, 1.0))  # until this progress, this share of the size


@dataclass(frozen=True, slots=True)
class Plan:
    """What one run may cost and how it learns. Whichever of `epochs` and `minutes` is used up first ends it."""

    size: int
    epochs: int
    minutes: float
    seed: int
    batch: int = 32
    peak_rate: float = 2e-3
    weight_decay: float = 0.05

    def rate(self, progress: float) -> float:
        """Learning rate at progress 0..1: a linear warm-up, then half a cosine down to zero (Loshchilov 2017)."""
        if progress < WARM_UP:
            return self.peak_rate * max(progress / WARM_UP, 0.01)
        return self.peak_rate * 0.5 * (1 + math.cos(math.pi * min((progress - WARM_UP) / (1 - WARM_UP), 1.0)))

    def size_at(self, progress: float) -> int:
        """Side in pixels at progress 0..1: small pictures first (Tan 2021), since a pass over them costs a fraction."""
        share = next(share for until, share in GROWTH if progress < until)
        return max(round(self.size * share / architecture.STRIDE), 1) * architecture.STRIDE if share < 1 else self.size


@dataclass(frozen=True, slots=True)
class Fitted:
    """A trained model of fixed input size and what it took."""

    model: "keras.Model"
    epochs: int
    minutes: float
    cpu_minutes: float


@dataclass(slots=True)
class Clock:
    """How far a run is, 0..1: by pictures seen or by time, whichever is further."""

    plan: Plan
    began: float = field(default_factory=time.monotonic)
    cpu_began: float = field(default_factory=time.process_time)
    epoch: int = 0
    share_of_epoch: float = 0.0

    @property
    def minutes(self) -> float:
        return (time.monotonic() - self.began) / 60

    @property
    def cpu_minutes(self) -> float:
        return (time.process_time() - self.cpu_began) / 60

    @property
    def progress(self) -> float:
        return max((self.epoch + self.share_of_epoch) / self.plan.epochs, self.minutes / self.plan.minutes)


def fit(train: Pixels, validation: Pixels, classes: int, plan: Plan, say: Callable[[str], None]) -> Fitted:
    """Train on pictures of any stored size; the learning rate always runs down to zero, however slow the machine is."""
    import keras

    keras.utils.set_random_seed(plan.seed)
    model = architecture.build(classes, None, training=True)
    optimizer = keras.optimizers.AdamW(plan.peak_rate, weight_decay=plan.weight_decay)
    model.compile(optimizer, keras.losses.CategoricalCrossentropy())
    passes = functools.cache(functools.partial(_passes, train, classes, plan))  # tracing a pipeline costs seconds
    weights, clock = class_weights(train.targets, classes), Clock(plan)
    while (progress := clock.progress) < 1.0 or clock.epoch == 0:
        size = plan.size_at(progress)
        loss = _train_epoch(model, passes(size, progress >= MILD_FROM), weights, clock)
        if clock.epoch % REPORT_EACH == 0 or clock.progress >= 1.0:
            say(_line(clock, size, loss, _accuracy(model, validation)))
    final = architecture.build(classes, plan.size)
    final.set_weights(model.get_weights())
    return Fitted(final, clock.epoch, clock.minutes, clock.cpu_minutes)


def _passes(train: Pixels, classes: int, plan: Plan, size: int, mild: bool) -> "tf.data.Dataset":
    return augmentation.batches(train, classes, size=size, batch=plan.batch, seed=plan.seed, mild=mild)


def _train_epoch(
    model: "keras.Model", batches: "tf.data.Dataset", weights: "NDArray[np.float32]", clock: Clock
) -> float:
    """One pass, or as much of it as the time allows; the mean loss of its batches."""
    steps = len(batches)
    losses: list[float] = []
    for step, (images, labels) in enumerate(batches):
        clock.share_of_epoch = step / steps
        if clock.progress >= 1.0 and losses:
            break
        model.optimizer.learning_rate.assign(clock.plan.rate(clock.progress))
        losses.append(float(model.train_on_batch(images, labels, sample_weight=labels.numpy() @ weights)))
    clock.epoch, clock.share_of_epoch = clock.epoch + 1, 0.0
    return sum(losses) / len(losses)


def _accuracy(model: "keras.Model", pixels: Pixels) -> float:
    return float((predict(model, pixels).argmax(1) == pixels.targets).mean()) if len(pixels.targets) else math.nan


def _line(clock: Clock, size: int, loss: float, accuracy: float) -> str:
    share = min(clock.progress, 1.0)
    cost = f"epoch {clock.epoch:3d}  {share:4.0%}  {clock.minutes:5.1f} min"
    return f"{cost}  {size} px  loss {loss:.3f}  validation {accuracy:.1%}"


def class_weights(targets: "NDArray[np.int64]", classes: int) -> "NDArray[np.float32]":
    """Weights float32 [classes] of mean 1 over the pictures: inverse square roots of the counts."""
    import numpy as np

    counts = np.bincount(targets, minlength=classes)
    raw = 1 / np.sqrt(np.maximum(counts, 1))
    weights: NDArray[np.float32] = (raw * counts.sum() / (raw * counts).sum()).astype(np.float32)
    return weights


def predict(model: "keras.Model", pixels: Pixels) -> "NDArray[np.float32]":
    """Probabilities float32 [n, classes] for pictures that are stored at exactly the serving size."""
    import numpy as np

    if not len(pixels.images):
        return np.zeros((0, model.output_shape[-1]), np.float32)
    parts = [pixels.images[start : start + 64] for start in range(0, len(pixels.images), 64)]
    scaled = (part.astype(np.float32) / 127.5 - 1.0 for part in parts)  # "tf" of keras.applications.imagenet_utils
    return np.concatenate([model.predict_on_batch(part) for part in scaled])
