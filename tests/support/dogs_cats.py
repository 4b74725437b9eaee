"""The convolutional network of a well-known tutorial about dogs and cats, in its two forms, and pictures for it.

F. Chollet, "Deep Learning with Python", section 5.2, and "Building powerful image classification models using very
little data" (The Keras Blog, 2016): pictures of 150 x 150, divided by 255, one sigmoid unit, saved as one HDF5 file.
"""

from __future__ import annotations

import io
import random
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path


def book(size: int = 150, width: int = 32, dense: int = 512) -> Any:
    """The book's: activations as arguments, dropout after flattening."""
    import keras

    layers = keras.layers
    stack = [keras.Input((size, size, 3))]
    for filters in (width, 2 * width, 4 * width, 4 * width):
        stack += [layers.Conv2D(filters, (3, 3), activation="relu"), layers.MaxPooling2D((2, 2))]
    end = [layers.Dropout(0.5), layers.Dense(dense, activation="relu"), layers.Dense(1, activation="sigmoid")]
    return keras.Sequential([*stack, layers.Flatten(), *end])


def blog(size: int = 150, width: int = 32, dense: int = 64) -> Any:
    """The blog's: activations as layers, dropout before the last unit."""
    import keras

    layers = keras.layers
    stack = [keras.Input((size, size, 3))]
    for filters in (width, width, 2 * width):
        stack += [layers.Conv2D(filters, (3, 3)), layers.Activation("relu"), layers.MaxPooling2D(pool_size=(2, 2))]
    end = [layers.Dense(dense), layers.Activation("relu"), layers.Dropout(0.5), layers.Dense(1)]
    return keras.Sequential([*stack, layers.Flatten(), *end, layers.Activation("sigmoid")])


def trained(model: Any, seed: int, steps: int = 2) -> Any:
    """The model after a few steps on noise with a hint of its class, compiled as the tutorial does."""
    import keras
    import numpy as np

    keras.utils.set_random_seed(seed)
    numbers = np.random.default_rng(seed)
    model.compile("rmsprop", "binary_crossentropy", metrics=["accuracy"])
    classes = numbers.integers(0, 2, 8 * steps)
    pictures = numbers.random((8 * steps, *model.input_shape[1:])).astype("float32")
    pictures[..., 0] *= 0.5 + 0.5 * classes[:, None, None]
    model.fit(pictures, classes, batch_size=8, epochs=1, verbose=0)
    return model


def write_pictures(folder: Path, count: int, seed: int = 0) -> list[Path]:
    """JPEG files of many sizes and colors, smooth and noisy, in folders `cats` and `dogs` by turns."""
    import numpy as np
    from PIL import Image

    chance, numbers = random.Random(seed), np.random.default_rng(seed)
    paths = []
    for index in range(count):
        path = folder / ("cats", "dogs")[index % 2] / f"{index:03}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        small = numbers.integers(0, 256, (chance.randint(2, 12), chance.randint(2, 12), 3), dtype=np.uint8)
        picture = Image.fromarray(small).resize((chance.randint(60, 500), chance.randint(60, 500)))
        buffer = io.BytesIO()
        picture.save(buffer, "JPEG", quality=chance.randint(60, 95))
        path.write_bytes(buffer.getvalue())
        paths.append(path)
    return paths


def scores(model: Any, paths: list[Path]) -> list[float]:
    """What Keras alone says: load_img, divided by 255, predict."""
    import keras
    import numpy as np

    size = model.input_shape[1:3]
    arrays = [keras.utils.img_to_array(keras.utils.load_img(path, target_size=size)) / 255 for path in paths]
    found: list[float] = model.predict(np.stack(arrays), verbose=0)[:, 0].tolist()
    return found
