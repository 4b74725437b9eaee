"""Owns the training run: the plan (sizes and learning rate over time), the loop, and the weights it ends with."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from training import architecture, augmentation
from training.pictures import Pixels

if TYPE_CHECKING:
    import keras
    import numpy as np
    from numpy.typing import NDArray

WARM_UP = 0.05
MILD_FROM = 0.9


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
        """Side in pixels at progress 0..1: two thirds of the final size first, which costs less than half."""
        share = 2 / 3 if progress < 0.55 else 5 / 6 if progress < 0.85 else 1.0
        step = architecture.STRIDE
        return max(step, min(self.size, round(self.size * share / step) * step)) if share < 1 else self.size


@dataclass(frozen=True, slots=True)
class Fitted:
    """A trained model of fixed input size and what it took."""

    model: "keras.Model"
    epochs: int
    minutes: float


def fit(train: Pixels, validation: Pixels, classes: int, plan: Plan, say: Callable[[str], None]) -> Fitted:
    """Train on pictures of any stored size; the learning rate always runs down to zero, however slow the machine is."""
    import keras

    keras.utils.set_random_seed(plan.seed)
    model = architecture.build(classes, None, training=True)
    model.compile(
        keras.optimizers.AdamW(plan.peak_rate, weight_decay=plan.weight_decay),
        keras.losses.CategoricalCrossentropy(),
        weighted_metrics=[],
    )
    weights = class_weights(train.targets, classes)
    began, epoch, progress = time.monotonic(), 0, 0.0
    while progress < 1.0:
        size, epoch_began = plan.size_at(progress), progress
        batches = augmentation.batches(
            train.images, train.targets, classes, size=size, batch=plan.batch, seed=plan.seed + epoch, mild=progress >= MILD_FROM
        )
        steps = max(len(train.images) // plan.batch, 1)
        for step, (images, labels) in enumerate(batches):
            elapsed = (time.monotonic() - began) / 60
            progress = max((epoch + step / steps) / plan.epochs, elapsed / plan.minutes)
            if progress >= 1.0:
                break
            model.optimizer.learning_rate.assign(plan.rate(progress))
            loss = model.train_on_batch(images, labels, sample_weight=labels.numpy() @ weights)
        epoch += 1
        progress = max(progress, epoch / plan.epochs)
        if epoch % 5 == 0 or progress >= 1.0 or epoch_began == 0.0:
            right = float((predict(model, validation).argmax(1) == validation.targets).mean())
            minutes = (time.monotonic() - began) / 60
            say(f"epoch {epoch:3d}  {progress:4.0%}  {minutes:5.1f} min  {size} px  loss {float(loss):.3f}  validation {right:.1%}")
    final = architecture.build(classes, plan.size)
    final.set_weights(model.get_weights())
    return Fitted(final, epoch, (time.monotonic() - began) / 60)


def class_weights(targets: "NDArray[np.int64]", classes: int) -> "NDArray[np.float32]":
    """Weights float32 [classes] of mean 1 over the pictures: inverse square roots of the counts, so that rare classes count."""
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
