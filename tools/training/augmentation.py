"""Owns what training pictures go through and served ones never do; it is no part of the model."""

from typing import TYPE_CHECKING

from tools.training.pictures import Pixels

if TYPE_CHECKING:
    from collections.abc import Sequence

    import tensorflow as tf

MAX_ROTATION = 0.26  # radians, 15 degrees
MAX_ASPECT = 1.25
LABEL_SMOOTHING = 0.05
MIXED_BATCHES = 0.25


def batches(train: Pixels, classes: int, *, size: int, batch: int, seed: int, mild: bool) -> "tf.data.Dataset":
    """(float32 [batch, size, size, 3] in -1..1, soft labels float32 [batch, classes]), new at every pass."""
    import tensorflow as tf

    pixels, labels, n = tf.constant(train.images), tf.one_hot(train.targets, classes), len(train.images)

    def load(indices: "tf.Tensor", step_seed: "tf.Tensor") -> "tuple[tf.Tensor, tf.Tensor]":
        chosen = tf.gather(pixels, indices)
        return augment(chosen, tf.gather(labels, indices), size=size, seed=step_seed, mild=mild)

    order = tf.data.Dataset.range(n).shuffle(n, seed=seed, reshuffle_each_iteration=True)
    order = order.batch(batch, drop_remainder=n >= batch)
    seeds = tf.data.Dataset.random(seed=seed, rerandomize_each_iteration=True).batch(2)
    return tf.data.Dataset.zip(order, seeds).map(load, num_parallel_calls=2).prefetch(4)


def augment(
    images: "tf.Tensor", labels: "tf.Tensor", *, size: int, seed: "tf.Tensor", mild: bool
) -> "tuple[tf.Tensor, tf.Tensor]":
    """Geometry, colour and, unless mild, erasing and mixing of uint8 [n, s, s, 3] and one-hot float32 [n, classes]."""
    import tensorflow as tf

    seeds = tf.unstack(tf.random.experimental.stateless_split(tf.cast(seed, tf.int64), 4))
    x = _warp(images, size, seeds[0], smallest=0.5 if mild else 0.35)
    x = _recolour(x, seeds[1])
    labels = labels * (1 - LABEL_SMOOTHING) + LABEL_SMOOTHING / labels.shape[-1]
    if not mild:
        x = _erase(x, seeds[2])
        x, labels = _mix(x, labels, seeds[3])
    return x, labels


def _uniform(seed: "tf.Tensor", index: int, shape: "Sequence[int | tf.Tensor]", low: float, high: float) -> "tf.Tensor":
    import tensorflow as tf

    return tf.random.stateless_uniform(shape, tf.random.experimental.stateless_fold_in(seed, index), low, high)


def _warp(images: "tf.Tensor", size: int, seed: "tf.Tensor", smallest: float) -> "tf.Tensor":
    """A random window (share of the area: `smallest`..1), turned, mirrored and stretched, in one sampling."""
    import math

    import tensorflow as tf

    n, source = tf.shape(images)[0], images.shape[1]
    side = tf.sqrt(_uniform(seed, 0, [n], smallest, 1.0))
    aspect = tf.exp(_uniform(seed, 1, [n], -math.log(MAX_ASPECT) / 2, math.log(MAX_ASPECT) / 2))
    width, height = tf.minimum(side * aspect, 1.0), tf.minimum(side / aspect, 1.0)
    centre_x = 0.5 + _uniform(seed, 2, [n], -0.5, 0.5) * (1 - width)
    centre_y = 0.5 + _uniform(seed, 3, [n], -0.5, 0.5) * (1 - height)
    mirror = tf.sign(_uniform(seed, 4, [n], -1.0, 1.0))
    angle = _uniform(seed, 5, [n], -MAX_ROTATION, MAX_ROTATION)
    scale_x, scale_y = width * mirror * source / size, height * source / size
    a0, a1 = scale_x * tf.cos(angle), -scale_y * tf.sin(angle)
    b0, b1 = scale_x * tf.sin(angle), scale_y * tf.cos(angle)
    half = (size - 1) / 2
    a2 = centre_x * (source - 1) - half * (a0 + a1)
    b2 = centre_y * (source - 1) - half * (b0 + b1)
    zero = tf.zeros_like(a0)
    return tf.raw_ops.ImageProjectiveTransformV3(
        images=tf.cast(images, tf.float32),
        transforms=tf.stack([a0, a1, a2, b0, b1, b2, zero, zero], 1),
        output_shape=[size, size],
        fill_value=255.0,
        interpolation="BILINEAR",
        fill_mode="REFLECT",
    )


def _recolour(x: "tf.Tensor", seed: "tf.Tensor") -> "tf.Tensor":
    """0..255 to -1..1 with random brightness, contrast, saturation and a slight cast, as lamps and cameras have."""
    import tensorflow as tf

    shape = [tf.shape(x)[0], 1, 1, 1]
    x = x / 127.5 - 1.0
    grey = tf.reduce_mean(x, -1, keepdims=True)
    x = grey + (x - grey) * _uniform(seed, 0, shape, 0.5, 1.5)
    mean = tf.reduce_mean(x, [1, 2, 3], keepdims=True)
    x = mean + (x - mean) * _uniform(seed, 1, shape, 0.7, 1.3)
    cast = _uniform(seed, 3, [tf.shape(x)[0], 1, 1, 3], -0.1, 0.1)
    return tf.clip_by_value(x + _uniform(seed, 2, shape, -0.3, 0.3) + cast, -1.0, 1.0)


def _box(seed: "tf.Tensor", n: "tf.Tensor", size: "tf.Tensor", share: "tf.Tensor") -> "tf.Tensor":
    """Masks float32 [n, size, size, 1], 1 inside a random square that covers about `share` of the picture."""
    import tensorflow as tf

    half = tf.sqrt(share) / 2
    centre = _uniform(seed, 1, [n, 2], 0.0, 1.0)
    line = (tf.range(size, dtype=tf.float32) + 0.5) / tf.cast(size, tf.float32)
    inside = tf.abs(line[None, :, None] - centre[:, None, :]) < tf.reshape(half, [-1, 1, 1])
    mask = tf.logical_and(inside[:, :, None, 0], inside[:, None, :, 1])
    return tf.cast(mask, tf.float32)[..., None]


def _erase(x: "tf.Tensor", seed: "tf.Tensor") -> "tf.Tensor":
    """Blank a square of up to a fifth of the area with a random colour, in every second picture or so."""
    import tensorflow as tf

    n = tf.shape(x)[0]
    share = tf.maximum(_uniform(seed, 0, [n], -0.2, 0.2), 0.0)
    mask = _box(seed, n, tf.shape(x)[1], share)
    return x * (1 - mask) + mask * _uniform(seed, 2, [n, 1, 1, 3], -1.0, 1.0)


def _mix(x: "tf.Tensor", labels: "tf.Tensor", seed: "tf.Tensor") -> "tuple[tf.Tensor, tf.Tensor]":
    """In a quarter of the batches, paste a part of another picture over each and share the label (CutMix, Yun 2019)."""
    import tensorflow as tf

    n = tf.shape(x)[0]
    chosen = tf.cast(_uniform(seed, 3, [], 0.0, 1.0) < MIXED_BATCHES, tf.float32)
    mask = chosen * _box(seed, n, tf.shape(x)[1], _uniform(seed, 0, [n], 0.0, 0.5))
    share = tf.reduce_mean(mask, [1, 2, 3])[:, None]
    other_x, other_labels = tf.reverse(x, [0]), tf.reverse(labels, [0])  # the batch is shuffled already
    return x * (1 - mask) + other_x * mask, labels * (1 - share) + other_labels * share
