"""Pictures that a model is asked about before anybody else asks: noise, ramps, flat ones, and its owner's own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from classifier import logs
from classifier.errors import ImageError
from classifier.pictures.decode import decode
from classifier.pictures.headers.inspection import inspect
from classifier.pictures.headers.picture import ImageLimits
from classifier.pictures.render import standardized_pixels

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from classifier.pictures.preprocessing import Preprocessing

GENERATED = ("black", "white", "ramp", "ramp upside down", "noise 1", "noise 2", "noise 3", "noise 4")
"""The generated probes' names, in their order."""


def probe_arrays(preprocessing: Preprocessing, pictures: Sequence[bytes]) -> list[NDArray[np.float32]]:
    """Preprocessed probes, float32 of shape (1, height, width, channels): the generated ones and then `pictures`."""
    return [
        *generated(preprocessing),
        *(array for data in pictures if (array := _decoded(data, preprocessing)) is not None),
    ]


def generated(preprocessing: Preprocessing) -> Iterator[NDArray[np.float32]]:
    """The generated probes, one after the other; seeded, so that a bundle is always asked the same questions."""
    import numpy as np

    for pixels in _drawn(*preprocessing.shape[1:]):
        data = standardized_pixels(pixels.clip(0, 255).astype(np.uint8).tobytes(), preprocessing)
        yield np.asarray(preprocessing.to_array(data))


def _drawn(height: int, width: int, channels: int) -> Iterator[NDArray[np.float64]]:
    import numpy as np

    random = np.random.default_rng(20170925)
    ramp = np.linspace(0, 255, height * width * channels).reshape(height, width, channels)
    yield from (np.zeros_like(ramp), np.full_like(ramp, 255), ramp, ramp[::-1])
    for _ in GENERATED[4:]:
        coarse = random.integers(0, 256, (-(-height // 8), -(-width // 8), channels))
        smooth = coarse.repeat(8, axis=0).repeat(8, axis=1)[:height, :width]
        yield smooth + random.integers(-20, 21, smooth.shape).astype(np.float64)


def names(count: int) -> list[str]:
    """What the first `count` probes are called: pictures by their number from 1."""
    return [*GENERATED, *(f"picture {number}" for number in range(1, count + 1))][:count]


def answers(predict: Callable[..., Any], probes: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
    """What a model gives for each probe, float32 of shape (probes, units)."""
    import numpy as np

    return np.array([predict(probe) for probe in probes], np.float32)


def _decoded(data: bytes, preprocessing: Preprocessing) -> NDArray[np.float32] | None:
    """A picture as the model takes it; None, and a line in the log, for what no request could send either."""
    import numpy as np

    limits = ImageLimits()
    try:
        return np.asarray(preprocessing.to_array(decode(inspect(data, limits), preprocessing, limits).pixels))
    except ImageError as error:
        logs.emit("warning", "a probe picture can't be decoded, it is left out", error=error)
        return None
