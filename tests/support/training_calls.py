"""The calls that people train with, run for one picture as they are written in the documentation."""

from __future__ import annotations

import io
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image, ImageOps

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

type Array = np.ndarray[Any, Any]


def pixels(call: str, data: bytes, size: tuple[int, int], folder: Path) -> Array:
    """The array that a call gives for one picture, with what is said to follow it. The text is our own page's."""
    import cv2
    from keras.applications import mobilenet_v2, resnet50

    calls = _Calls(data, size, folder)
    names = {
        "image_dataset_from_directory": calls.dataset,
        "load_img": calls.load_img,
        "ImageDataGenerator": calls.generator,
        "opencv": calls.opencv,
        "Resizing": calls.resizing,
        "teachable_machine": calls.teachable_machine,
        "tf": calls,
        "cv2": cv2,
        "mobilenet_v2": mobilenet_v2,
        "resnet50": resnet50,
    }
    text = call.replace("-", "_")
    array = eval(text if "(" in text else f"{text}()", names)  # noqa: S307
    for function in calls.after:
        array = function(array)
    return np.asarray(array, np.float32)


@dataclass
class _Calls:
    data: bytes
    size: tuple[int, int]
    folder: Path
    after: list[Callable[[Array], Array]] = field(default_factory=list)

    @property
    def image(self) -> _Calls:
        """So that `tf.image.resize` is ours."""
        return self

    def dataset(self, color_mode: str = "rgb", **given: Any) -> Any:
        import keras

        (self.folder / "only").mkdir(exist_ok=True)
        (self.folder / "only" / "1.jpg").write_bytes(self.data)
        options = {"image_size": self.size, "batch_size": None, "verbose": False, "color_mode": color_mode}
        found = keras.utils.image_dataset_from_directory(self.folder, labels=None, **options, **self._rest(given))
        return next(iter(found)).numpy()

    def load_img(self, **given: Any) -> Any:
        import keras

        image = keras.utils.load_img(io.BytesIO(self.data), target_size=self.size, **self._rest(given))
        return keras.utils.img_to_array(image)

    def generator(self, **given: Any) -> Any:
        from keras.src.legacy.preprocessing.image import ImageDataGenerator

        return ImageDataGenerator(**given).standardize(self.load_img())

    def resize(self, *, per_image_standardization: bool = False, **given: Any) -> Any:
        import tensorflow as tf

        array = tf.image.resize(self._decoded(), self.size, **given)
        return (tf.image.per_image_standardization(array) if per_image_standardization else array).numpy()

    def resize_with_pad(self) -> Any:
        import tensorflow as tf

        return tf.image.resize_with_pad(self._decoded(), *self.size).numpy()

    def resizing(self, **given: Any) -> Any:
        import keras
        import tensorflow as tf

        return keras.layers.Resizing(*self.size, **given)(tf.cast(self._decoded(), tf.float32)[None])[0].numpy()

    def opencv(self, interpolation: int = 1, color_mode: str = "bgr", **given: Any) -> Any:
        import cv2

        self._rest(given)
        whole: Any = cv2.imdecode(np.frombuffer(self.data, np.uint8), cv2.IMREAD_COLOR)
        array = cv2.resize(whole, self.size[::-1], interpolation=interpolation).astype(np.float32)
        return array[..., ::-1] if color_mode == "rgb" else array

    def teachable_machine(self) -> Any:
        """The code that Teachable Machine's export shows."""
        image = Image.open(io.BytesIO(self.data)).convert("RGB")
        fitted = ImageOps.fit(image, self.size[::-1], Image.Resampling.LANCZOS)
        return np.asarray(fitted, np.float32) / 127.5 - 1

    def _decoded(self) -> Any:
        import tensorflow as tf

        return tf.io.decode_image(self.data, channels=3)

    def _rest(self, given: dict[str, Any]) -> dict[str, Any]:
        """Arguments without those that say what follows the call, which is kept for later."""
        if (factor := given.pop("rescale", None)) is not None:
            self.after.append(lambda array: array * np.float32(factor))
        if (function := given.pop("preprocess_input", None)) is not None:
            self.after.append(function)
        return given
