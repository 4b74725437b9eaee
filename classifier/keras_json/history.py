"""What Keras changed between 2.0 and today, as one table.

Each row: in which layers, which option, what is done, and where the change can be read. An option that today's layer
does not have and no row names is an error: it might change the answer.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from classifier.errors import ModelError
from classifier.keras_json.foreign import FOREIGN

if TYPE_CHECKING:
    from collections.abc import Mapping

    from classifier.documents import Json


@dataclass(frozen=True, slots=True)
class Dropped:
    """Today's layer lacks the option: only a value that never changed the answer is accepted (None: any value)."""

    inert: tuple[Json, ...] | None = None


@dataclass(frozen=True, slots=True)
class Renamed:
    """The option has another name today."""

    to: str


@dataclass(frozen=True, slots=True)
class Was:
    """What Keras 2 did where its JSON does not name the option."""

    default: Json


@dataclass(frozen=True, slots=True)
class Flattened:
    """A list of one number is that number today."""


type Change = Dropped | Renamed | Was | Flattened

ANY = ("*",)
_RNN = ("SimpleRNN", "LSTM", "GRU", "RNN", "ConvLSTM1D", "ConvLSTM2D", "ConvLSTM3D")
_CELLS = ("SimpleRNNCell", "LSTMCell", "GRUCell")
_NO_GROUPS = tuple(f"{kind}{n}D" for n in (1, 2) for kind in ("DepthwiseConv", "SeparableConv")) + tuple(
    f"Conv{n}DTranspose" for n in (1, 2, 3)
)

DIFFERENCES: tuple[tuple[tuple[str, ...], str, Change, str], ...] = (
    # layers, option, what is done, source
    (ANY, "batch_input_shape", Dropped(), "2.x Layer.get_config: the input's shape, read from the first layer"),
    (ANY, "batch_shape", Dropped(), "3.x InputLayer only"),
    (ANY, "input_dtype", Dropped(), "2.0 layers with batch_input_shape"),
    (ANY, "build_config", Dropped(), "2.12-3.x: shapes that the call itself gives"),
    (ANY, "autocast", Dropped((True, False, None)), "3.x Layer: casts of inputs under mixed policies"),
    (ANY, "dynamic", Dropped((False, None)), "tf.keras 2.x Layer.get_config: eager-only layers"),
    (ANY, "implementation", Dropped(), "2.x recurrent and LocallyConnected: which kernel, same numbers"),
    (ANY, "quantization_config", Dropped((None,)), "3.x: quantized layers have other weights"),
    (ANY, "lora_rank", Dropped(), "3.x save_own_variables merges both; a legacy .h5 has arrays too many"),
    (ANY, "lora_alpha", Dropped(), "3.x, as lora_rank"),
    (ANY, "gptq_unpacked_column_size", Dropped((None,)), "3.x EinsumDense"),
    (("InputLayer",), "batch_input_shape", Renamed("batch_shape"), "3.0 InputLayer"),
    (("InputLayer",), "input_tensor", Dropped((None,)), "2.x InputLayer"),
    (("InputLayer",), "type_spec", Dropped((None,)), "2.5 InputLayer"),
    (
        _NO_GROUPS,
        "groups",
        Dropped((1, None)),
        "2.3 Conv.get_config, inherited by layers that have no groups; gone in 3.0",
    ),
    (_NO_GROUPS, "kernel_initializer", Dropped(), "2.x: inherited, the layer has its own names"),
    (_NO_GROUPS, "kernel_regularizer", Dropped(), "2.x: inherited"),
    (_NO_GROUPS, "kernel_constraint", Dropped(), "2.x: inherited"),
    (("BatchNormalization",), "axis", Flattened(), "tf.keras 1.13-2.15 write [3]; 3.0 wants 3"),
    (("BatchNormalization",), "fused", Dropped(), "tf.keras: which kernel, same numbers"),
    (("BatchNormalization",), "virtual_batch_size", Dropped((None,)), "tf.keras: groups of the batch"),
    (("BatchNormalization",), "adjustment", Dropped((None,)), "tf.keras: a function of the batch"),
    (("BatchNormalization",), "mode", Dropped((0,)), "1.x"),
    (("BatchNormalization",), "renorm_clipping", Dropped(), "of no use outside of training"),
    (("BatchNormalization",), "renorm_momentum", Dropped(), "of no use outside of training"),
    (("LayerNormalization",), "rms_scaling", Dropped((False,)), "3.1-3.9 LayerNormalization; its own layer since"),
    (("LeakyReLU",), "alpha", Renamed("negative_slope"), "3.0 LeakyReLU"),
    (("LeakyReLU",), "negative_slope", Was(0.3), "2.x LeakyReLU"),
    (("Embedding",), "input_length", Dropped(), "2.x: a static shape only"),
    (("Embedding",), "sparse", Dropped((False,)), "2.12-2.15"),
    (("Embedding",), "weights", Dropped((None,)), "2.x"),
    (("Bidirectional",), "weights", Dropped((None,)), "2.x"),
    (("GRU", "GRUCell"), "reset_after", Was(False), "2.0.6-2.1 had no such option; keras 2.x's default was False too"),
    (("LSTM", "GRU", "LSTMCell", "GRUCell", "ConvLSTM2D"), "recurrent_activation", Was("hard_sigmoid"), "2.x defaults"),
    (_RNN, "time_major", Dropped((False,)), "tf.keras 1.13-2.15"),
    (_RNN, "stateful", Dropped((False,)), "any: each answer would depend on the requests before it"),
    (("ConvLSTM1D", "ConvLSTM2D", "ConvLSTM3D"), "unroll", Dropped((False,)), "2.x and 3.x: written, but not taken"),
    (("ConvLSTM1D", "ConvLSTM2D", "ConvLSTM3D"), "zero_output_for_mask", Dropped((False,)), "3.x: as unroll"),
    (_RNN, "input_dim", Dropped(), "2.0 Recurrent: a static shape only"),
    (_RNN, "input_length", Dropped(), "2.0 Recurrent"),
    (_RNN, "input_spec", Dropped(), "1.x"),
    (_RNN, "num_constants", Dropped((None, 0)), "2.1 RNN"),
    (_RNN + _CELLS, "constants_size", Dropped((None, 0)), "2.x"),
    (
        ("Attention", "AdditiveAttention"),
        "causal",
        Dropped((False,)),
        "tf.keras 1.15-2.9: an argument of the call since 2.10",
    ),
    (("MultiHeadAttention",), "query_shape", Dropped(), "tf.keras 2.4-2.15: what it was built on"),
    (("MultiHeadAttention",), "key_shape", Dropped(), "tf.keras 2.4-2.15"),
    (("MultiHeadAttention",), "value_shape", Dropped(), "tf.keras 2.4-2.15"),
    (
        ("SpatialDropout1D", "SpatialDropout2D", "SpatialDropout3D"),
        "noise_shape",
        Dropped(),
        "2.x: inherited from Dropout",
    ),
    (("MultiHeadAttention",), "softmax_robust_masking", Dropped((False,)), "2.16-2.21 of tf_keras"),
    (
        ("ReLU",),
        "theta",
        Renamed("threshold"),
        "ThresholdedReLU of 2.x: gone in 3.0, ReLU with a threshold is the same",
    ),
    (("UpSampling1D",), "length", Renamed("size"), "1.x"),
    (("Normalization",), "axis", Was(-1), "2.3"),
)

# Classes that were renamed, or that are another name for one in the list of layers.
CLASS_NAMES: dict[str, str] = {
    "Model": "Functional",  # Keras 2.0-2.3, tf.keras 1.x-2.2
    "Network": "Functional",
    "Container": "Functional",
    **{f"Convolution{n}D": f"Conv{n}D" for n in (1, 2, 3)},
    **{f"Convolution{n}DTranspose": f"Conv{n}DTranspose" for n in (1, 2, 3)},
    **{f"SeparableConvolution{n}D": f"SeparableConv{n}D" for n in (1, 2)},
    "Deconvolution2D": "Conv2DTranspose",
    "Deconvolution3D": "Conv3DTranspose",
    **{f"MaxPool{n}D": f"MaxPooling{n}D" for n in (1, 2, 3)},
    **{f"AvgPool{n}D": f"AveragePooling{n}D" for n in (1, 2, 3)},
    **{f"GlobalMaxPool{n}D": f"GlobalMaxPooling{n}D" for n in (1, 2, 3)},
    **{f"GlobalAvgPool{n}D": f"GlobalAveragePooling{n}D" for n in (1, 2, 3)},
    "ThresholdedReLU": "ReLU",
    "BatchNormalizationV1": "BatchNormalization",  # tf.keras 1.14-1.15, when made from tf.layers
    "BatchNormalizationV2": "BatchNormalization",
    "SyncBatchNormalization": "BatchNormalization",  # 2.2-2.15: differs in training only
}


def class_name(written: str) -> str:
    """Today's name of a class."""
    if written in ("Custom>LayerScale", "Custom>CustomScaleLayer"):  # of keras.applications, 2.9-2.15
        written = written.removeprefix("Custom>")
    if (bare := written.rpartition(">")[2]) in FOREIGN:  # registered under whatever package
        return bare
    written = written.removeprefix("Keras>").removeprefix("keras>")
    return CLASS_NAMES.get(written, written)


def translate(
    kind: str, config: Mapping[str, Json], known: frozenset[str], place: str, *, keras_2: bool
) -> dict[str, Json]:
    """The config in today's terms: known options only; raises ModelError for one that could change the answer."""
    own = [(option, change) for kinds, option, change, _ in DIFFERENCES if kind in kinds]
    rules = own + [(option, change) for kinds, option, change, _ in DIFFERENCES if kinds is ANY]
    translated = dict(config)
    for option, change in rules:
        if isinstance(change, Was):
            if keras_2:
                translated.setdefault(option, change.default)
        elif option in translated:
            _apply(change, option, translated, known, place)
    unknown = [option for option in translated if option not in known]
    if unknown:
        value = str(translated[unknown[0]])[:80]
        raise ModelError(f"{place}: option {unknown[0]!r} = {value} is not known, so the answer might differ")
    return translated


def _apply(change: Change, option: str, config: dict[str, Json], known: frozenset[str], place: str) -> None:
    value = config[option]
    match change:
        case Renamed(to):
            config[to] = config.pop(option)
        case Flattened():
            config[option] = value[0] if isinstance(value, list) and len(value) == 1 else value
        case Dropped(inert) if option not in known:
            if inert is not None and not any(value is allowed or value == allowed for allowed in inert):
                raise ModelError(f"{place}: option {option!r} = {str(value)[:80]} has no equal here")
            del config[option]
