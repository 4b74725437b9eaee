"""The allow-list: every layer that a bundle may hold, and every option that it may have, in current Keras 3's names.

What is not here is refused. Layers that run given code (Lambda, TFSMLayer, JaxLayer, FlaxLayer, TorchModuleWrapper) and
those that read files or text (StringLookup, TextVectorization, IntegerLookup, ...) are left out on purpose.
`x*` stands for x_initializer, x_regularizer and x_constraint. A test compares each row with Keras's own constructors.
"""

from __future__ import annotations

from classifier.keras_json.words import words

_ACT = "activation use_bias kernel* bias*"
_SPATIAL = "kernel_size strides padding data_format dilation_rate"
_POOL = "pool_size strides padding data_format"
_RNN_CELL = "units activation use_bias kernel* recurrent* bias* dropout recurrent_dropout seed"
_RNN_RUN = "return_sequences return_state go_backwards unroll zero_output_for_mask"
_CONV_RNN = (
    f"filters {_SPATIAL} activation recurrent_activation use_bias kernel* recurrent* bias* unit_forget_bias "
    "dropout recurrent_dropout seed return_sequences return_state go_backwards"
)
_NORM = "center scale beta* gamma*"
_ATTENTION = "dropout use_bias flash_attention kernel* bias* seed"

_ROWS: dict[str, str] = {
    "InputLayer": "batch_shape sparse ragged optional",
    # core
    "Dense": f"units {_ACT}",
    "EinsumDense": "equation output_shape activation bias_axes kernel* bias*",
    "Activation": "activation",
    "Embedding": "input_dim output_dim embeddings* mask_zero",
    "Masking": "mask_value",
    "Identity": "",
    # convolution
    **{f"Conv{n}D": f"filters {_SPATIAL} groups {_ACT}" for n in (1, 2, 3)},
    **{f"Conv{n}DTranspose": f"filters {_SPATIAL} output_padding {_ACT}" for n in (1, 2, 3)},
    **{f"DepthwiseConv{n}D": f"{_SPATIAL} depth_multiplier activation use_bias depthwise* bias*" for n in (1, 2)},
    **{
        f"SeparableConv{n}D": f"filters {_SPATIAL} depth_multiplier activation use_bias depthwise* pointwise* bias*"
        for n in (1, 2)
    },
    # pooling
    **{f"{kind}Pooling{n}D": _POOL for kind in ("Max", "Average") for n in (1, 2, 3)},
    **{f"Global{kind}Pooling{n}D": "data_format keepdims" for kind in ("Max", "Average") for n in (1, 2, 3)},
    **{f"Adaptive{kind}Pooling{n}D": "output_size data_format" for kind in ("Max", "Average") for n in (1, 2, 3)},
    # shape
    "Flatten": "data_format",
    "Reshape": "target_shape",
    "Permute": "dims",
    "RepeatVector": "n",
    "UpSampling1D": "size",
    "UpSampling2D": "size data_format interpolation",
    "UpSampling3D": "size data_format",
    "ZeroPadding1D": "padding data_format",
    "ZeroPadding2D": "padding data_format",
    "ZeroPadding3D": "padding data_format",
    "Cropping1D": "cropping",
    "Cropping2D": "cropping data_format",
    "Cropping3D": "cropping data_format",
    # merging
    **dict.fromkeys(("Add", "Subtract", "Multiply", "Average", "Maximum", "Minimum"), ""),
    "Concatenate": "axis",
    "Dot": "axes normalize",
    # activation
    "ReLU": "max_value negative_slope threshold",
    "LeakyReLU": "negative_slope",
    "ELU": "alpha",
    "PReLU": "alpha* shared_axes",
    "Softmax": "axis",
    # normalization
    "BatchNormalization": f"axis momentum epsilon {_NORM} moving_mean_initializer moving_variance_initializer "
    "synchronized renorm",
    "LayerNormalization": f"axis epsilon {_NORM}",
    "GroupNormalization": f"groups axis epsilon {_NORM}",
    "UnitNormalization": "axis",
    "RMSNormalization": "axis epsilon",
    "SpectralNormalization": "layer power_iterations",
    # regularization: none of them does anything at inference
    "Dropout": "rate noise_shape seed",
    "AlphaDropout": "rate noise_shape seed",
    "GaussianDropout": "rate seed",
    "GaussianNoise": "stddev seed",
    "SpatialDropout1D": "rate seed",
    "SpatialDropout2D": "rate data_format seed",
    "SpatialDropout3D": "rate data_format seed",
    "ActivityRegularization": "l1 l2",
    # attention
    "Attention": "use_scale score_mode dropout seed",
    "AdditiveAttention": "use_scale dropout",
    "MultiHeadAttention": "num_heads key_dim value_dim output_shape attention_axes sliding_window use_gate "
    + _ATTENTION,
    "GroupQueryAttention": "head_dim num_query_heads num_key_value_heads sliding_window use_gate " + _ATTENTION,
    # recurrent
    "SimpleRNN": f"{_RNN_CELL} {_RNN_RUN}",
    "LSTM": f"{_RNN_CELL} {_RNN_RUN} recurrent_activation unit_forget_bias use_cudnn",
    "GRU": f"{_RNN_CELL} {_RNN_RUN} recurrent_activation reset_after use_cudnn",
    "SimpleRNNCell": _RNN_CELL,
    "LSTMCell": f"{_RNN_CELL} recurrent_activation unit_forget_bias",
    "GRUCell": f"{_RNN_CELL} recurrent_activation reset_after",
    "RNN": f"cell {_RNN_RUN}",
    "StackedRNNCells": "cells",
    "ConvLSTM1D": _CONV_RNN,
    "ConvLSTM2D": _CONV_RNN,
    "ConvLSTM3D": _CONV_RNN,
    "Bidirectional": "layer merge_mode backward_layer",
    "TimeDistributed": "layer",
    # preprocessing
    "Rescaling": "scale offset",
    "Normalization": "axis mean variance invert",
    "Resizing": "height width interpolation crop_to_aspect_ratio pad_to_aspect_ratio fill_mode fill_value antialias "
    "data_format",
    "CenterCrop": "height width data_format",
    "RandomCrop": "height width data_format",  # see eras.py
    "AutoContrast": "value_range data_format",
    "ContrastLimitedAdaptiveHistogramEqualization": "value_range clip_limit tile_grid_size data_format",
    "Pipeline": "layers",
}

# keras.applications defines the first two for itself, the others are of former eras (see own_layers.py).
OURS: dict[str, str] = {
    "LayerScale": "init_values projection_dim",
    "CustomScaleLayer": "scale",
    "TensorFlow1UpSampling2D": "size data_format interpolation",
    "ScaledCenterCrop": "height width data_format",
    "OwnStatisticsNormalization": _ROWS["BatchNormalization"],  # see training.py
}

# Layers that change pictures while training only: served as Identity, so their options don't matter.
# RandomHeight and RandomWidth exist in Keras 2 only, StochasticDepth in keras.applications.convnext.
INERT: frozenset[str] = words("""
    RandomFlip RandomRotation RandomZoom RandomTranslation RandomContrast RandomBrightness RandomHeight RandomWidth
    RandomShear RandomHue RandomSaturation RandomSharpness RandomColorJitter RandomColorDegeneration RandomGrayscale
    RandomGaussianBlur RandomErasing RandomInvert RandomPerspective RandomPosterization RandomElasticTransform
    Solarization Equalization AugMix RandAugment CutMix MixUp StochasticDepth
""")


def _expand(row: str) -> frozenset[str]:
    options: set[str] = set()
    for word in row.split():
        stem = word.removesuffix("*")
        endings = ("_initializer", "_regularizer", "_constraint") if word.endswith("*") else ("",)
        options.update(stem + ending for ending in endings)
    return frozenset(options)


LAYERS: dict[str, frozenset[str]] = {kind: _expand(row) for kind, row in {**_ROWS, **OURS}.items()}
MODELS: frozenset[str] = frozenset({"Functional", "Sequential"})
WRAPPERS: frozenset[str] = frozenset({"layer", "backward_layer", "cell"})
