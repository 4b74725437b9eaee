"""How large a model may be, in numbers: each is far above the largest of keras.applications."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds on a bundle; what the largest genuine model needs stands in brackets."""

    max_json_bytes: int = 16 * 2**20  # [NASNetLarge 1.6 MB]
    max_json_depth: int = 128  # [a model nested 4 deep: 40]
    max_layers: int = 2_500  # [ResNetRS420 1,900]; Keras needs minutes for 20,000
    max_calls: int = 10_000  # after expanding nested models; one called twice, nested 30 deep, would be 2^30
    max_dimension: int = 2**24  # of any option that sizes something [VGG16 flattens to 25,088]
    max_activation_elements: int = 2**26  # of one picture at one layer, 256 MB [EfficientNetB7 17 million]
    max_parameters: int = 2**29  # 2 GB in float32 [ConvNeXtXLarge 350 million]
    max_inflation: int = 20  # bytes of weights a byte of the file [1.1; pruned weights under zlib 10]
