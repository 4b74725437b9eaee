"""How large a model may be, in numbers: each is far above the largest of keras.applications."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds on a bundle; what the largest genuine model needs stands in brackets."""

    max_json_bytes: int = 16 * 2**20  # [NASNetLarge 1.6 MB]
    max_json_depth: int = 128  # [a model nested 4 deep: 40]
    max_layers: int = 5_000  # [NASNetLarge 1,040]; Keras needs minutes for 20,000
    max_calls: int = 10_000  # after expanding nested models; a nested model called twice, 30 deep, would be 2^30
    max_dimension: int = 2**24  # of any option that sizes something [VGG16 flattens to 25,088]
    max_activation_elements: int = 2**27  # of one picture at one layer, 512 MB in float32 [VGG16 3.2 million]
    max_parameters: int = (
        2**28
    )  # 1 GB in float32 [VGG19 143 million, ConvNeXtXLarge 350 million does not fit Lambda's /tmp]
