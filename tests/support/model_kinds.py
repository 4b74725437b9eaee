"""Small classifiers of every kind that people train, as plain Keras makes them, and which engine has to serve each."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tests.conftest import Bucket

PREFIX = "models/dev/"
SIZE = 16
PICTURE = (SIZE, SIZE, 3)


@dataclass(frozen=True, slots=True)
class Kind:
    """How to make a model; `engine` serves it once compiling is over, "" for one that is refused.

    `reason` is part of what its report says, `serving` the bundle's serving.json, if it needs one. `twin` makes the
    same model in the layout that plain Keras can compute on every CPU, for one that it can't.
    """

    make: Callable[[], Any]
    engine: str = "litert"
    reason: str = ""
    serving: dict[str, Any] | None = None
    twin: Callable[[], Any] | None = None

    def reference(self, model: Any) -> Any:
        """What plain Keras computes pictures (batch, height, width, channels) with: `model`, or its twin's weights."""
        if self.twin is None:
            return model
        twin = self.twin()
        twin.set_weights(model.get_weights())
        return twin


def put(bucket: Bucket, model: Any, serving: Mapping[str, Any] | None = None, prefix: str = PREFIX) -> None:
    """Copy a model's files into S3 by hand."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.weights.h5"
        model.save_weights(path)
        bucket.put(prefix + "architecture.json", model.to_json().encode())
        bucket.put(prefix + path.name, path.read_bytes())
    if serving is not None:
        bucket.put(prefix + "serving.json", json.dumps(serving).encode())


def drawn(model: Any) -> Any:
    """The model with seeded weights that no two pictures leave alike; variances stay positive."""
    random = np.random.default_rng(7)
    for variable in model.weights:
        if variable.dtype == "float32":
            low, high = (0.5, 1.5) if "var" in variable.path else (-0.4, 0.4)
            variable.assign(random.uniform(low, high, variable.shape))
    return model


def classifier(
    body: Callable[[Any], Any], shape: tuple[int | None, ...] = PICTURE, units: int = 3, last: str | None = "softmax"
) -> Any:
    """A functional model: pixels to 0..1, `body`, mean over what is left of space, `units` scores."""
    import keras
    from keras import layers

    picture = keras.Input(shape)
    tensor = body(layers.Rescaling(1 / 255)(picture))
    if len(tensor.shape) > 2:
        tensor = (layers.GlobalAveragePooling2D() if len(tensor.shape) == 4 else layers.GlobalAveragePooling1D())(
            tensor
        )
    return drawn(keras.Model(picture, layers.Dense(units, activation=last)(tensor)))


def sequential() -> Any:
    import keras
    from keras import layers

    return drawn(
        keras.Sequential(
            [
                keras.Input(PICTURE),
                layers.Rescaling(1 / 127.5, offset=-1),
                layers.Conv2D(4, 3, activation="relu"),
                layers.BatchNormalization(),
                layers.MaxPooling2D(),
                layers.Flatten(),
                layers.Dropout(0.5),
                layers.Dense(3, activation="softmax"),
            ]
        )
    )


def residual(tensor: Any) -> Any:
    from keras import layers

    for filters, strides in ((4, 1), (6, 2)):
        short = layers.Conv2D(filters, 1, strides=strides)(tensor)
        long = layers.Conv2D(filters, 3, strides=strides, padding="same", use_bias=False)(tensor)
        long = layers.Activation("relu")(layers.BatchNormalization()(long))
        tensor = layers.ReLU()(layers.Add()([short, layers.Conv2D(filters, 3, padding="same")(long)]))
    return tensor


def branches(tensor: Any) -> Any:
    from keras import layers

    ways = [layers.Conv2D(3, size, padding="same", activation="elu")(tensor) for size in (1, 3, 5)]
    return layers.Concatenate()([*ways, layers.AveragePooling2D(3, strides=1, padding="same")(tensor)])


def inverted_residual(tensor: Any) -> Any:
    """MobileNet's block."""
    from keras import layers

    tensor = layers.Conv2D(4, 3, strides=2, padding="same")(tensor)
    wide = layers.ReLU(max_value=6)(layers.BatchNormalization()(layers.Conv2D(12, 1, use_bias=False)(tensor)))
    wide = layers.DepthwiseConv2D(3, padding="same", use_bias=False)(layers.ZeroPadding2D(((0, 1), (0, 1)))(wide))
    wide = layers.Cropping2D(((0, 1), (0, 1)))(layers.ReLU(max_value=6)(layers.BatchNormalization()(wide)))
    return layers.Add()([tensor, layers.Conv2D(4, 1)(wide)])


def squeezed(tensor: Any) -> Any:
    """A squeeze-and-excitation block."""
    from keras import layers

    tensor = layers.SeparableConv2D(8, 3, padding="same", activation="swish")(tensor)
    gate = layers.Reshape((1, 1, 8))(layers.GlobalAveragePooling2D()(tensor))
    gate = layers.Conv2D(8, 1, activation="hard_sigmoid")(layers.Dense(2, activation="relu")(gate))
    return layers.Multiply()([tensor, gate])


def patches(tensor: Any, size: int = 4, width: int = 8) -> Any:
    from keras import layers

    tensor = layers.Conv2D(width, size, strides=size)(tensor)
    return layers.Reshape((-1, width))(tensor)


def vision_transformer(tensor: Any) -> Any:
    from keras import layers

    tensor = patches(tensor)
    normal = layers.LayerNormalization(epsilon=1e-6)(tensor)
    tensor = layers.Add()([tensor, layers.MultiHeadAttention(2, 4, dropout=0.1)(normal, normal)])
    inner = layers.Dense(16, activation="gelu")(layers.LayerNormalization(epsilon=1e-6)(tensor))
    return layers.Add()([tensor, layers.Dense(8)(layers.Dropout(0.1)(inner))])


def attending(tensor: Any) -> Any:
    """Each kind of attention that Keras has, over patches."""
    from keras import layers

    tensor = patches(tensor)
    seen = [layers.Attention(use_scale=True)([tensor, tensor]), layers.AdditiveAttention()([tensor, tensor])]
    return layers.Add()([*seen, layers.GroupQueryAttention(4, 2, 1)(tensor, tensor)])


def recurrent(tensor: Any) -> Any:
    from keras import layers

    return layers.GRU(5)(layers.LSTM(4, return_sequences=True, go_backwards=True)(patches(tensor)))


def nested() -> Any:
    import keras
    from keras import layers

    backbone = keras.Sequential([keras.Input(PICTURE), layers.Conv2D(4, 3, activation="relu"), layers.MaxPooling2D()])
    inner = keras.Input((7, 7, 4))
    head = keras.Model(inner, layers.GlobalMaxPooling2D()(shared(inner)), name="head")
    return classifier(lambda tensor: head(backbone(tensor)))


def shared(tensor: Any) -> Any:
    """One layer in three places."""
    from keras import layers

    twice = layers.Conv2D(4, 3, padding="same", activation="tanh")
    return layers.Maximum()([twice(tensor), twice(twice(tensor))])


def normalizing() -> Any:
    """A Normalization that was adapted, and the other normalizations after it."""
    import keras
    from keras import layers

    adapted = layers.Normalization()
    adapted.adapt(np.random.default_rng(3).uniform(0, 255, (20, *PICTURE)).astype(np.float32))
    dense = layers.Dense(3, activation="softmax")
    row = [layers.Conv2D(6, 3), layers.SpatialDropout2D(0.5), layers.GroupNormalization(3), layers.LayerNormalization()]
    row += [layers.UnitNormalization(), layers.RMSNormalization(), layers.GaussianNoise(1), layers.Flatten(), dense]
    model = keras.Sequential([keras.Input(PICTURE), adapted, *row])
    dense.set_weights([np.random.default_rng(5).uniform(-0.5, 0.5, one.shape) for one in dense.get_weights()])
    return model


def adapted_by_low_rank() -> Any:
    """Fine-tuned by LoRA: Keras merges both matrices into the kernel when it saves."""
    import keras

    model = classifier(lambda tensor: tensor)
    for layer in model.layers:
        if isinstance(layer, keras.layers.Dense):
            layer.enable_lora(2)
    return drawn(model)


def all_sorts(tensor: Any) -> Any:
    from keras import layers

    tensor = layers.Conv2DTranspose(6, 3, strides=2, padding="same", activation="mish")(tensor)
    tensor = layers.UpSampling2D(interpolation="bilinear")(layers.UpSampling2D()(tensor))
    tensor = layers.PReLU(shared_axes=[1, 2])(layers.Conv2D(6, 3, dilation_rate=2)(tensor))
    tensor = layers.LeakyReLU()(layers.Conv2D(6, 5, strides=5, groups=3, activation="selu")(tensor))
    tensor = layers.Reshape((6, -1))(layers.Permute((3, 1, 2))(tensor))
    return layers.Flatten()(
        layers.MaxPooling1D()(layers.Conv1D(5, 2, activation="gelu")(layers.ZeroPadding1D()(tensor)))
    )


def operators(tensor: Any) -> Any:
    """Arithmetic on tensors, which Keras 3 writes as operations and not as layers; positions are a constant."""
    from keras import layers, ops

    cut = ops.reshape(ops.image.extract_patches(tensor * 2.0 - 0.5, 4), (-1, 16, 48))
    placed = layers.Dense(6)(cut) + layers.Embedding(16, 6)(ops.expand_dims(ops.arange(16), 0))
    seen = ops.einsum("bqk,bkc->bqc", ops.softmax(ops.einsum("bqc,bkc->bqk", placed, placed)), placed)
    return ops.concatenate([seen / (ops.norm(seen, axis=-1, keepdims=True) + 1), ops.relu(placed)[..., :2]], axis=-1)


def beyond(tensor: Any) -> Any:
    """What TensorFlow has and LiteRT has not."""
    from keras import layers

    tensor = layers.UpSampling2D(interpolation="bicubic")(tensor)
    return layers.Flatten()(layers.MaxPooling3D((8, 8, 1))(layers.Reshape((2 * SIZE, 2 * SIZE, 3, 1))(tensor)))


def in_layout(data_format: str) -> Any:
    """The same convolutions with channels first or last: their weights have one shape in both."""
    import keras
    from keras import layers

    layout = {"data_format": data_format}
    first = data_format == "channels_first"
    picture = keras.Input((3, SIZE, SIZE) if first else PICTURE)
    tensor = layers.Conv2D(4, 3, activation="relu", **layout)(layers.Rescaling(1 / 255)(picture))
    tensor = layers.MaxPooling2D(**layout)(layers.BatchNormalization(axis=1 if first else -1)(tensor))
    tensor = layers.GlobalAveragePooling2D(**layout)(layers.DepthwiseConv2D(3, **layout)(tensor))
    return drawn(keras.Model(picture, layers.Dense(3, activation="softmax")(tensor)))


def two_inputs() -> Any:
    import keras
    from keras import layers

    pair = [keras.Input(PICTURE), keras.Input(PICTURE)]
    return keras.Model(pair, layers.Dense(3, activation="softmax")(layers.Flatten()(layers.Add()(pair))))


def two_outputs() -> Any:
    import keras
    from keras import layers

    picture = keras.Input(PICTURE)
    flat = layers.Flatten()(picture)
    return keras.Model(picture, [layers.Dense(3)(flat), layers.Dense(2)(flat)])


def with_a_layer_of_ones_own() -> Any:
    from keras import layers

    class Doubled(layers.Layer):  # type: ignore[misc]  # keras has no types
        def call(self, tensor: Any) -> Any:
            return tensor * 2

    return classifier(lambda tensor: Doubled()(tensor))


def with_a_registered_layer() -> Any:
    import keras

    @keras.saving.register_keras_serializable("Ours")
    class Doubled(keras.layers.Layer):  # type: ignore[misc]  # keras has no types
        def call(self, tensor: Any) -> Any:
            return tensor * 2

    return classifier(lambda tensor: Doubled()(tensor))


def with_lambda(tensor: Any) -> Any:
    from keras import layers

    return layers.Lambda(lambda value: value * 2)(tensor)


def mixed_precision(tensor: Any) -> Any:
    from keras import layers

    return layers.Conv2D(4, 3, dtype="mixed_float16")(tensor)


BEYOND = "LiteRT's built-in operators can't express it: there is none for "
KINDS: dict[str, Kind] = {
    "sequential": Kind(sequential),
    "residual": Kind(lambda: classifier(lambda tensor: residual(branches(tensor)))),
    "depthwise, with squeeze and excitation": Kind(
        lambda: classifier(lambda tensor: squeezed(inverted_residual(tensor)))
    ),
    "attention": Kind(lambda: classifier(attending)),
    "vision transformer": Kind(lambda: classifier(vision_transformer)),
    "recurrent": Kind(lambda: classifier(recurrent)),
    "nested and shared": Kind(nested),
    "normalizing": Kind(normalizing),
    "adapted by low rank": Kind(adapted_by_low_rank),
    "all sorts of layers": Kind(lambda: classifier(all_sorts)),
    "operators": Kind(lambda: classifier(operators, last=None), serving={"output": "logits"}),
    # TensorFlow computes channels first on a CPU by oneDNN only, which it leaves off where there is no AVX-512.
    "channels first": Kind(lambda: in_layout("channels_first"), twin=lambda: in_layout("channels_last")),
    "open input size, grayscale, one sigmoid": Kind(
        lambda: classifier(branches, shape=(None, None, 1), units=1, last="sigmoid"),
        serving={"preprocessing": {"size": [SIZE, SIZE]}},
    ),
    "operators that LiteRT has not": Kind(
        lambda: classifier(beyond), "tensorflow", BEYOND + "MaxPool3D, ResizeBicubic"
    ),
    "mixed precision": Kind(lambda: classifier(mixed_precision), "tensorflow", BEYOND + "BiasAdd, Conv2D of float16"),
    "two inputs": Kind(two_inputs, "", "2 inputs"),
    "two outputs": Kind(two_outputs, "", "2 outputs"),
    "a layer of one's own": Kind(with_a_layer_of_ones_own, "", f"module {__name__!r} is not Keras"),
    "a registered layer of one's own": Kind(
        with_a_registered_layer, "", "module 'tests.support.model_kinds' is not Keras"
    ),
    "Lambda": Kind(lambda: classifier(with_lambda), "", "a Lambda layer runs Python code"),
}
