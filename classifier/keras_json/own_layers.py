"""The few pieces of arithmetic that old models need and Keras's public API does not have."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from classifier.errors import ModelError

if TYPE_CHECKING:
    import keras

    from classifier.keras_json.graph import Layer


type Tensor = Any
type Initializer = Any


def keras2_hard_sigmoid(x: Tensor) -> Tensor:
    """clip(0.2x + 0.5, 0, 1): what hard_sigmoid was until Keras 2.15 (keras/backend.py)."""
    import keras

    return keras.ops.clip(0.2 * x + 0.5, 0.0, 1.0)


def l2_normalize(x: Tensor, axis: int | list[int] | None = None, epsilon: float = 1e-12) -> Tensor:
    """tf.math.l2_normalize: x / sqrt(max(sum(x^2), epsilon))."""
    import keras

    total = keras.ops.sum(keras.ops.square(x), axis=axis, keepdims=True)
    return x * keras.ops.rsqrt(keras.ops.maximum(total, epsilon))


def per_image_standardization(x: Tensor) -> Tensor:
    """tf.image.per_image_standardization: (x - mean) / max(deviation, 1 / sqrt(numbers)), of each picture."""
    import keras

    x = keras.ops.cast(x, "float32")
    axes = (-3, -2, -1)
    least = 1 / math.sqrt(math.prod(x.shape[-3:]))
    deviation = keras.ops.maximum(keras.ops.std(x, axes, keepdims=True), least)
    return (x - keras.ops.mean(x, axes, keepdims=True)) / deviation


def make(layer: Layer, name: str, zeros: Initializer) -> keras.Layer:
    """Make one of our own layers.

    LayerScale (x * gamma) of applications.convnext, CustomScaleLayer (a + b * scale) of inception_resnet_v2, and Keras
    2.2's bilinear UpSampling2D: it measured from pixels' corners (backend/tensorflow_backend.py, resize_images),
    today's from their centres. ScaledCenterCrop is RandomCrop of tf.keras until 2.6 outside of training, and
    OwnStatisticsNormalization a BatchNormalization that Keras 2 was told to run as in training.
    """
    import keras

    dtype = layer.options["dtype"]

    class LayerScale(keras.layers.Layer):  # type: ignore[misc]  # keras has no types
        def build(self, _: Tensor) -> None:
            self.gamma = self.add_weight(shape=(layer.options["projection_dim"],), initializer=zeros, name="gamma")

        def call(self, x: Tensor) -> Tensor:
            return x * self.gamma

    class CustomScaleLayer(keras.layers.Layer):  # type: ignore[misc]
        def call(self, inputs: Tensor) -> Tensor:
            return inputs[0] + inputs[1] * layer.options["scale"]

    factors: Any = layer.options.get("size")

    class TensorFlow1UpSampling2D(keras.layers.Layer):  # type: ignore[misc]
        def call(self, x: Tensor) -> Tensor:
            import tensorflow as tf

            size = [x.shape[axis] * factor for axis, factor in zip((1, 2), factors, strict=True)]
            return tf.compat.v1.image.resize_bilinear(x, size, half_pixel_centers=False)

    class ScaledCenterCrop(keras.layers.Layer):  # type: ignore[misc]
        def call(self, x: Tensor) -> Tensor:
            return _scaled_center_crop(x, int(layer.options["height"]), int(layer.options["width"]))  # type: ignore[arg-type]

    simple = {made.__name__: made for made in (LayerScale, CustomScaleLayer, TensorFlow1UpSampling2D, ScaledCenterCrop)}
    if layer.kind in simple:
        return simple[layer.kind](name=name, dtype=dtype)
    if layer.kind == "OwnStatisticsNormalization":
        return _own_statistics_normalization(layer, name, zeros)
    raise ModelError(f"layer {layer.name!r}: {layer.kind} is not one of ours")


def _own_statistics_normalization(layer: Layer, name: str, zeros: Initializer) -> keras.Layer:
    import keras

    class BatchNormalization(keras.layers.BatchNormalization):  # type: ignore[misc]  # weights files go by the name
        def call(self, inputs: Tensor, *, own_statistics: bool = False) -> Tensor:
            if not own_statistics:
                return super().call(inputs, training=False)
            mean, variance = keras.ops.moments(inputs, axes=self._reduction_axes)
            scaling = {"offset": self.beta if self.center else None, "scale": self.gamma if self.scale else None}
            return keras.ops.batch_normalization(inputs, mean, variance, self.axis, epsilon=self.epsilon, **scaling)

    initial = {f"{weight}_initializer": zeros for weight in ("beta", "gamma", "moving_mean", "moving_variance")}
    return BatchNormalization(name=name, **{**layer.options, **initial})


def _scaled_center_crop(x: Tensor, height: int, width: int) -> Tensor:
    """The picture scaled until it just covers height x width, and its middle (image_preprocessing.py of 2.6)."""
    import keras

    had_height, had_width = x.shape[1:3]
    if had_height is None or had_width is None:
        raise ModelError("RandomCrop of Keras 2.6 and before needs a picture of known size")
    size = (height, int(height * had_width / had_height))
    if had_height / had_width > height / width:
        size = (int(width * had_height / had_width), width)
    top, left = (size[0] - height) // 2, (size[1] - width) // 2
    return keras.ops.image.resize(x, size)[:, top : top + height, left : left + width]
