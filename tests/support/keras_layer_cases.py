"""For each layer that a bundle may hold: an input's shape and the options to try, as current Keras takes them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from classifier.keras_json.words import words

if TYPE_CHECKING:
    from collections.abc import Iterator

PICTURE, ROW, STEPS, SCAN, FILM = (8, 9, 6), (6,), (7, 4), (5, 6, 7, 2), (3, 8, 8, 2)
BY_RANK = {1: (9, 6), 2: PICTURE, 3: SCAN}

ROWS: dict[str, tuple[tuple[int, ...], list[dict[str, Any]]]] = {
    "Dense": (ROW, [{"units": 3, "activation": "gelu"}, {"units": 2, "use_bias": False}]),
    "EinsumDense": (STEPS, [{"equation": "abc,cd->abd", "output_shape": (None, 5), "bias_axes": "d"}]),
    "Activation": (ROW, [{"activation": name} for name in ("swish", "relu6", "hard_sigmoid", "hard_swish", "glu")]),
    "Embedding": ((5,), [{"input_dim": 10, "output_dim": 4}]),
    "Masking": (STEPS, [{"mask_value": 0.0}]),
    "Identity": (ROW, [{}]),
    **{
        f"Conv{n}D": (
            BY_RANK[n],
            [{"filters": 4, "kernel_size": 3, "padding": "same", "groups": 2}, {"filters": 3, "kernel_size": 2}],
        )
        for n in BY_RANK
    },
    **{
        f"Conv{n}DTranspose": (
            BY_RANK[n],
            [{"filters": 3, "kernel_size": 3, "strides": 2, "padding": "same"}, {"filters": 2, "kernel_size": 2}],
        )
        for n in BY_RANK
    },
    **{
        f"DepthwiseConv{n}D": (
            BY_RANK[n],
            [{"kernel_size": 3, "depth_multiplier": 2}, {"kernel_size": 2, "strides": 2}],
        )
        for n in (1, 2)
    },
    **{
        f"SeparableConv{n}D": (BY_RANK[n], [{"filters": 5, "kernel_size": 3, "depth_multiplier": 2, "padding": "same"}])
        for n in (1, 2)
    },
    **{
        f"{kind}Pooling{n}D": (BY_RANK[n], [{"pool_size": 2}, {"pool_size": 3, "strides": 2, "padding": "same"}])
        for kind in ("Max", "Average")
        for n in BY_RANK
    },
    **{
        f"Global{kind}Pooling{n}D": (BY_RANK[n], [{}, {"keepdims": True}])
        for kind in ("Max", "Average")
        for n in BY_RANK
    },
    **{
        f"Adaptive{kind}Pooling{n}D": (BY_RANK[n], [{"output_size": 3}]) for kind in ("Max", "Average") for n in BY_RANK
    },
    "Flatten": (PICTURE, [{}]),
    "Reshape": (PICTURE, [{"target_shape": (6, -1)}]),
    "Permute": (PICTURE, [{"dims": (3, 1, 2)}]),
    "RepeatVector": (ROW, [{"n": 3}]),
    "UpSampling1D": (STEPS, [{"size": 2}]),
    "UpSampling2D": (
        PICTURE,
        [{"size": (2, 3), "interpolation": name} for name in ("nearest", "bilinear", "bicubic", "lanczos3")],
    ),
    "UpSampling3D": (SCAN, [{"size": 2}]),
    "ZeroPadding1D": (STEPS, [{"padding": (1, 2)}]),
    "ZeroPadding2D": (PICTURE, [{"padding": ((0, 1), (2, 3))}]),
    "ZeroPadding3D": (SCAN, [{"padding": 1}]),
    "Cropping1D": (STEPS, [{"cropping": (1, 2)}]),
    "Cropping2D": (PICTURE, [{"cropping": ((0, 1), (2, 3))}]),
    "Cropping3D": (SCAN, [{"cropping": 1}]),
    **{kind: (ROW, [{}]) for kind in ("Add", "Subtract", "Multiply", "Average", "Maximum", "Minimum")},
    "Concatenate": (STEPS, [{"axis": 1}, {"axis": -1}]),
    "Dot": (STEPS, [{"axes": (2, 2)}, {"axes": 1, "normalize": True}]),
    "ReLU": (ROW, [{"max_value": 0.5, "negative_slope": 0.1, "threshold": 0.1}, {}]),
    "LeakyReLU": (ROW, [{}, {"negative_slope": 0.1}]),
    "ELU": (ROW, [{"alpha": 0.5}]),
    "PReLU": (PICTURE, [{"shared_axes": [1, 2]}, {}]),
    "Softmax": (PICTURE, [{}, {"axis": 1}]),
    "BatchNormalization": (PICTURE, [{}, {"axis": 1, "scale": False, "epsilon": 0.01}, {"renorm": True}]),
    "LayerNormalization": (PICTURE, [{}, {"axis": [-2, -1], "center": False}]),
    "GroupNormalization": (PICTURE, [{"groups": 3}, {"groups": -1}]),
    "UnitNormalization": (ROW, [{}]),
    "RMSNormalization": (ROW, [{}]),
    "Dropout": (ROW, [{"rate": 0.4}]),
    "AlphaDropout": (ROW, [{"rate": 0.4}]),
    "GaussianDropout": (ROW, [{"rate": 0.4}]),
    "GaussianNoise": (ROW, [{"stddev": 0.4}]),
    "SpatialDropout1D": (STEPS, [{"rate": 0.4}]),
    "SpatialDropout2D": (PICTURE, [{"rate": 0.4}]),
    "SpatialDropout3D": (SCAN, [{"rate": 0.4}]),
    "ActivityRegularization": (ROW, [{"l1": 0.1}]),
    "Attention": (STEPS, [{"use_scale": True}, {"score_mode": "concat"}]),
    "AdditiveAttention": (STEPS, [{}]),
    "MultiHeadAttention": (STEPS, [{"num_heads": 2, "key_dim": 3}, {"num_heads": 2, "key_dim": 3, "value_dim": 2}]),
    "GroupQueryAttention": (STEPS, [{"head_dim": 3, "num_query_heads": 4, "num_key_value_heads": 2}]),
    "SimpleRNN": (STEPS, [{"units": 3, "return_sequences": True}]),
    "LSTM": (STEPS, [{"units": 3, "go_backwards": True}, {"units": 3, "recurrent_activation": "hard_sigmoid"}]),
    "GRU": (STEPS, [{"units": 3}, {"units": 3, "reset_after": False, "unroll": True}]),
    **{f"ConvLSTM{n}D": ((3, *BY_RANK[n]), [{"filters": 2, "kernel_size": 2}]) for n in BY_RANK},
    "Rescaling": (PICTURE, [{"scale": 1 / 127.5, "offset": -1.0}]),
    "Normalization": ((4, 5, 3), [{}, {"mean": [1.0, 2.0, 3.0], "variance": [1.0, 2.0, 3.0]}]),
    "Resizing": (
        (9, 14, 3),
        [
            {"height": 6, "width": 5},
            {"height": 12, "width": 5, "interpolation": "bicubic"},
            {"height": 6, "width": 5, "crop_to_aspect_ratio": True},
            {"height": 6, "width": 5, "pad_to_aspect_ratio": True, "fill_value": 0.3},
        ],
    ),
    "CenterCrop": ((9, 8, 3), [{"height": 6, "width": 5}, {"height": 12, "width": 5}]),
    "RandomCrop": ((9, 8, 3), [{"height": 6, "width": 5}]),
    "AutoContrast": ((9, 8, 3), [{"value_range": (0, 1)}]),
    "ContrastLimitedAdaptiveHistogramEqualization": ((16, 16, 3), [{"value_range": (0, 1), "tile_grid_size": (2, 2)}]),
}

# Layers that hold others: what they hold is made when Keras is there.
HOLDING: dict[str, tuple[int, ...]] = {
    "RNN": STEPS,
    "StackedRNNCells": STEPS,
    "SimpleRNNCell": STEPS,
    "LSTMCell": STEPS,
    "GRUCell": STEPS,
    "Bidirectional": STEPS,
    "TimeDistributed": FILM,
    "SpectralNormalization": PICTURE,
    "Pipeline": (8, 8, 3),
}
# Layers that are called on several tensors.
OF_LISTS = words("Add Subtract Multiply Average Maximum Minimum Concatenate Dot Attention AdditiveAttention")
OF_PAIRS = frozenset({"MultiHeadAttention", "GroupQueryAttention"})
# What the layers that are left out at inference can't be made without.
AUGMENTING: dict[str, dict[str, Any]] = {
    "RandomBrightness": {"factor": 0.2},
    "RandomColorDegeneration": {"factor": 0.2},
    "RandomContrast": {"factor": 0.2},
    "RandomHue": {"factor": 0.2},
    "RandomPosterization": {"factor": 4},
    "RandomRotation": {"factor": 0.2},
    "RandomSaturation": {"factor": 0.2},
    "RandomSharpness": {"factor": 0.2},
    "RandomTranslation": {"height_factor": 0.2, "width_factor": 0.2},
    "RandomZoom": {"height_factor": 0.2},
}


def held(kind: str) -> Iterator[Any]:
    """Layers of a kind that holds others, or that is held by one."""
    from keras import layers

    match kind:
        case "RNN" | "SimpleRNNCell" | "LSTMCell" | "GRUCell":
            yield layers.RNN(getattr(layers, kind if kind != "RNN" else "GRUCell")(3), return_sequences=kind == "RNN")
        case "StackedRNNCells":
            yield layers.RNN([layers.LSTMCell(3), layers.GRUCell(2)])
        case "Bidirectional":
            yield layers.Bidirectional(layers.LSTM(3, return_sequences=True), merge_mode="sum")
            yield layers.Bidirectional(layers.LSTM(3), backward_layer=layers.GRU(3, go_backwards=True))
        case "TimeDistributed":
            yield layers.TimeDistributed(layers.Conv2D(3, 3))
            yield layers.TimeDistributed(layers.BatchNormalization())
        case "SpectralNormalization":
            yield layers.SpectralNormalization(layers.Conv2D(3, 2))
        case "Pipeline":
            yield layers.Pipeline([layers.RandomFlip(), layers.Rescaling(1 / 255), layers.CenterCrop(5, 4)])
