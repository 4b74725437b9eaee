"""What a model's first BatchNormalization layers keep of the training's pictures: each channel's mean and variance.

They were taken of what the training's own pipeline made, so pictures that another pipeline made differ from them
whatever is on them: often more clearly than in the scores, where neighbouring filters are nearly alike.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from classifier.engines.keras_engine import TracedModel

LAYERS = 2
"""Layers whose statistics count: those behind see less and less of how a pixel was made."""
LEAST = 32
"""Fewer pictures say nothing of how much pictures vary."""
SHRUNK = 0.02
"""The covariance's share that is its diagonal alone: there are more channels than a few pictures tell apart."""
BATCH = 32
"""Keras's usual size of a batch: a layer keeps the variance within batches."""
LEAST_MISFIT = 2.0
"""A distance counts half at most: how pictures were turned and zoomed in training is not known."""


@dataclass(frozen=True, slots=True)
class BatchMoments:
    """What the layers keep, one after the other: mean and variance (with the layer's epsilon), of shape (channels,)."""

    mean: NDArray[np.float64]
    variance: NDArray[np.float64]
    epsilon: NDArray[np.float64]
    look: Callable[[Any], NDArray[np.float32]]
    """Mean and mean square of each channel, of shape (2, channels), for a model's input."""

    def behind(self, seen: Sequence[NDArray[np.float32]], classes: NDArray[np.int_]) -> NDArray[np.float64]:
        """How much less likely than the nearest each pipeline is, in nats; zeros where there are too few pictures.

        `seen` has for each pipeline what `look` gave of the same pictures, of shape (pictures, 2, channels). Half the
        squared Mahalanobis distance of a pipeline's means and logarithms of variances from those kept, by how they
        vary from picture to picture, and with the labels' unknown shares in training (each share equally likely,
        Dirichlet's distribution). It is divided by the squared misfit of the nearest pipeline (its mean square distance
        in each direction, 1 if pictures are like the training's): strangers' pictures say little.
        """
        import numpy as np

        if len(classes) < LEAST:
            return np.zeros(len(seen))
        found = [self._apart(each) for each in seen]
        away = np.array([distance for distance, _ in found])
        spread = np.mean([_covariance(influence, classes) for _, influence in found], 0)
        spread = (1 - SHRUNK) * spread + SHRUNK * np.diag(np.diag(spread)) + 1e-12 * np.eye(len(spread))
        squared = np.einsum("ij,ij->i", away, np.linalg.solve(spread, away.T).T)
        misfit = float(squared.min()) / away.shape[1]
        nats: NDArray[np.float64] = (squared - squared.min()) / 2 / max(LEAST_MISFIT, misfit**2)
        return nats

    def _apart(self, seen: NDArray[np.float32]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """How far all pictures' moments are from those kept, and what each picture adds to that."""
        import numpy as np

        means, squares = np.asarray(seen, np.float64).transpose(1, 0, 2)
        mean = means.mean(0)
        variance = np.maximum(squares.mean(0) - mean**2, 0) + self.epsilon
        within = variance - ((means - mean) ** 2).mean(0) / BATCH
        scale = np.sqrt(self.variance)
        distance = np.concatenate([(mean - self.mean) / scale, np.log(within / self.variance) / 2])
        deviation = squares - 2 * means * mean + mean**2 + self.epsilon
        return distance, np.concatenate([(means - mean) / scale, (deviation / variance - 1) / 2], 1)


def _covariance(influence: NDArray[np.float64], classes: NDArray[np.int_]) -> NDArray[np.float64]:
    """Of the mean over such pictures, whose labels come in unknown shares."""
    import numpy as np

    of_labels = np.array([influence[classes == label].mean(0) for label in np.unique(classes)])
    count = len(of_labels)
    share = (1 - 1 / count) / count / (count + 1)
    found: NDArray[np.float64] = np.cov(influence.T) / len(influence) + share * of_labels.T @ of_labels
    return found


def batch_moments(model: TracedModel) -> BatchMoments | None:
    """What a model keeps; None without such layers, or if they were never trained."""
    import numpy as np
    import tensorflow as tf

    seen: list[tuple[Any, Any, Any]] = []

    @tf.function(input_signature=model.module.serve.input_signature)  # type: ignore[untyped-decorator]
    def look(picture: Any) -> Any:  # noqa: ANN401 - TensorFlow's tensors
        found = []
        for each in (picture, tf.reverse(picture, [2])):  # mirrored, too, as most trainings show them
            with _watched(model.module.model, seen):
                model.module.serve.python_function(each)
            found.append(tf.stack([tf.concat([tf.zeros(0), *(row[index] for row in seen)], 0) for index in (1, 2)]))
        return (found[0] + found[1]) / 2

    if not _normalizations(model.module.model):
        return None
    concrete = look.get_concrete_function()
    if not (kept := [layer for layer, *_ in seen]):
        return None
    means = [np.asarray(layer.moving_mean.numpy(), np.float64) for layer in kept]
    mean = np.concatenate(means)
    variance = np.concatenate([np.asarray(layer.moving_variance.numpy(), np.float64) for layer in kept])
    if not mean.any() and (variance == 1).all():
        return None
    epsilon = np.concatenate([np.full(len(each), layer.epsilon) for layer, each in zip(kept, means, strict=True)])
    return BatchMoments(mean, variance + epsilon, epsilon, lambda array: concrete(tf.constant(array)).numpy())


def _normalizations(model: Any) -> list[Any]:  # noqa: ANN401 - a keras.Model
    import keras

    return [each for each in model._flatten_layers() if isinstance(each, keras.layers.BatchNormalization)]  # noqa: SLF001


@contextmanager
def _watched(model: Any, seen: list[tuple[Any, Any, Any]]) -> Iterator[None]:  # noqa: ANN401
    """While it runs, note for the first layers that normalise planes what they are given: mean and mean square."""
    import tensorflow as tf

    def watched(layer: Any, call: Callable[..., Any]) -> Callable[..., Any]:  # noqa: ANN401
        def noting(inputs: Any, *rest: Any, **named: Any) -> Any:  # noqa: ANN401
            if len(inputs.shape) == 4 and len(seen) < LAYERS:
                numbers = tf.cast(inputs, tf.float32)
                axes = [axis for axis in range(4) if axis != layer.axis % 4]
                seen.append((layer, tf.reduce_mean(numbers, axes), tf.reduce_mean(numbers**2, axes)))
            return call(inputs, *rest, **named)

        return noting

    layers = _normalizations(model)
    seen.clear()
    for layer in layers:
        layer.call = watched(layer, layer.call)
    try:
        yield
    finally:
        for layer in layers:
            del layer.call
