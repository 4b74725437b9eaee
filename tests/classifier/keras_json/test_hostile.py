"""Architecture JSON that asks for code, for too much, or for nonsense: always one of our errors, and never Keras."""

from __future__ import annotations

import copy
import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from classifier.errors import ModelError, ModelNotAllowedError, ModelTooLargeError
from classifier.keras_json.architecture import read_architecture
from classifier.keras_json.limits import Limits
from tests.support.keras_models import FOLDERS, dense, document, keras_2, layer, sequential

if TYPE_CHECKING:
    from collections.abc import Callable

FUNCTION = {"module": "builtins", "class_name": "function", "config": "system", "registered_name": "function"}
LAMBDA = {"class_name": "__lambda__", "config": {"code": "4wEAAAA=", "defaults": None, "closure": None}}

NOT_ALLOWED: dict[str, bytes] = {
    # CVE-2024-3660 and CVE-2025-9905: a Lambda layer with marshalled code, in Keras 2's and 3's form
    "lambda layer": sequential(layer("Lambda", function=LAMBDA)),
    "lambda layer of Keras 2": keras_2(
        {"class_name": "Lambda", "config": {"name": "l", "function": ["4wEAAAA=", None]}}
    ),
    "lambda layer with a name": sequential(layer("Lambda", function="get_file")),
    # CVE-2025-1550: any module and function by name
    "class of another module": sequential(layer("Popen", module="subprocess", args="id")),
    "Keras's name in another module": sequential(layer("Dense", module="os", units=2)),
    "function of another module": sequential(dense("d", activation={**FUNCTION, "module": "os"})),
    "registered as somebody's own": sequential({**dense("d"), "registered_name": "Custom>Dense"}),
    "registered by another name": sequential({**dense("d"), "registered_name": "evil"}),
    # CVE-2025-8747 and CVE-2025-9906: public functions of Keras as arguments (get_file, enable_unsafe_deserialization)
    "public function of Keras": sequential(dense("d", activation="get_file")),
    "function of keras.config": sequential(
        dense("d", activation={**FUNCTION, "module": "keras.config", "config": "enable_unsafe_deserialization"})
    ),
    "function of keras.utils": sequential(
        dense("d", activation={**FUNCTION, "module": "keras.utils", "config": "get_file"})
    ),
    # CVE-2025-12058: vocabularies read from files and addresses
    "StringLookup": sequential(layer("StringLookup", vocabulary="/etc/passwd")),
    "IntegerLookup": sequential(layer("IntegerLookup", vocabulary="https://example.com/v")),
    "TextVectorization": sequential(layer("TextVectorization", vocabulary="/etc/passwd")),
    # CVE-2025-49655 and its kind: pickled modules; SavedModels by path
    "TorchModuleWrapper": sequential(layer("TorchModuleWrapper", torch_module="gASV")),
    "TFSMLayer": sequential(layer("TFSMLayer", filepath="/tmp/model")),
    "JaxLayer": sequential(layer("JaxLayer", call_fn=FUNCTION)),
    "custom class": sequential(layer("MyLayer", module="my_package.layers")),
    "custom class without a module": keras_2({"class_name": "MyLayer", "config": {"name": "x"}}),
    "custom initializer": sequential(dense("d", kernel_initializer={"class_name": "Mine", "config": {}})),
    "initializer of another module": sequential(
        dense("d", kernel_initializer={"module": "os", "class_name": "Zeros", "config": {}})
    ),
    "initializer with code": sequential(
        dense("d", kernel_initializer={"class_name": "Constant", "config": {"value": LAMBDA}})
    ),
    "custom regularizer": sequential(dense("d", kernel_regularizer={"class_name": "Mine", "config": {}})),
    "custom constraint": sequential(dense("d", bias_constraint="my_constraint")),
    "object as a number": sequential(dense("d", units={"class_name": "Popen", "module": "subprocess", "config": {}})),
    "lambda as an activation": sequential(dense("d", activation=LAMBDA)),
    "wrapped lambda": sequential(layer("TimeDistributed", layer=layer("Lambda", function=LAMBDA)), shape=(2, 3)),
    "custom dtype policy": sequential(dense("d", dtype={"module": "x", "class_name": "DTypePolicy", "config": {}})),
    "quantized": sequential(dense("d", dtype={"class_name": "QuantizedDTypePolicy", "config": {"name": "int8"}})),
    "subclassed model": json.dumps({"class_name": "MyModel", "config": {"layers": []}}).encode(),
    "layer as the model": json.dumps({"class_name": "Lambda", "config": {"layers": []}}).encode(),
    "CuDNN layer": keras_2({"class_name": "CuDNNLSTM", "config": {"name": "l", "units": 2}}),
    "TensorFlow function": keras_2(
        {"class_name": "TFOpLambda", "config": {"name": "l", "function": "io.read_file"}, "inbound_nodes": []}
    ),
    "TensorFlow node": keras_2(
        {
            "class_name": "TensorFlowOpLayer",
            "config": {"name": "l", "node_def": {"op": "ReadFile"}, "constants": {"0": "/etc/passwd"}},
            "inbound_nodes": [[["in", 0, 0, {}]]],
        }
    ),
    "operation that takes a function": sequential(layer("Map", module="keras.src.ops.core")),
}
INVALID: dict[str, bytes] = {
    "empty": b"",
    "not JSON": b"{",
    "not UTF-8": b'{"class_name": "\xff"}',
    "a list": b"[]",
    "null": b"null",
    "NaN": b'{"class_name": NaN}',
    "a key twice": b'{"class_name": "Sequential", "class_name": "Lambda", "config": {"layers": []}}',
    "a huge number": b'{"x": ' + b"9" * 5_000 + b"}",
    "no class": b"{}",
    "no config": b'{"class_name": "Sequential"}',
    "no layers": b'{"class_name": "Sequential", "config": {"layers": []}}',
    "layers are text": b'{"class_name": "Sequential", "config": {"layers": "dense"}}',
    "a layer is null": b'{"class_name": "Sequential", "config": {"layers": [null]}}',
    "no input shape": keras_2({"class_name": "Dense", "config": {"name": "d", "units": 2}}),
    "two layers of a name": sequential(dense("d"), dense("d")),
    "negative input": sequential(dense("d"), shape=(-4,)),
    "input of text": sequential(dense("d"), shape=("4",)),  # type: ignore[arg-type]
    "dtype of nonsense": sequential(dense("d", dtype="complex64")),
}
TOO_LARGE: dict[str, bytes] = {
    "units": sequential(dense("d", units=10**12)),
    "input": sequential(dense("d"), shape=(10**9, 10**9, 3)),
    "nested numbers": sequential(layer("ZeroPadding2D", padding=[[10**9, 0], [0, 0]]), shape=(4, 4, 3)),
    "20,000 layers": sequential(*[dense(f"d{number}") for number in range(20_000)]),
    "deep nesting": b'{"class_name": ' + b"[" * 400 + b"]" * 400 + b"}",
    "very deep nesting": b"[" * 200_000,
    "size": b'{"class_name": "' + b"x" * (17 * 2**20) + b'"}',
}


@pytest.mark.parametrize("case", NOT_ALLOWED)
def test_what_brings_or_names_code_is_not_allowed(case: str) -> None:
    with pytest.raises(ModelNotAllowedError):
        read_architecture(NOT_ALLOWED[case])


@pytest.mark.parametrize("case", INVALID)
def test_nonsense_is_invalid(case: str) -> None:
    with pytest.raises(ModelError) as raised:
        read_architecture(INVALID[case])
    assert raised.value.code == "model_invalid"


@pytest.mark.parametrize("case", TOO_LARGE)
def test_what_asks_for_too_much_is_too_large(case: str) -> None:
    with pytest.raises(ModelTooLargeError):
        read_architecture(TOO_LARGE[case])


def test_a_model_nested_in_itself_twice_thirty_deep_is_too_large() -> None:
    inner: dict[str, Any] = {
        "class_name": "Dense",
        "config": {"name": "d", "units": 2},
        "name": "d",
        "inbound_nodes": [[["in", 0, 0, {}]]],
    }
    depth, model = 11, _functional(inner, "d")
    for number in range(depth):
        calls = [[["in", 0, 0, {}]], [["in", 0, 0, {}]], [["in", 0, 0, {}]]]
        model = _functional({**model, "name": f"m{number}", "inbound_nodes": calls}, f"m{number}", call=3)

    with pytest.raises(ModelTooLargeError, match="calls more than"):
        read_architecture(json.dumps({**model, "keras_version": "2.3.1"}).encode())


def _functional(entry: dict[str, Any], output: str, call: int = 0) -> dict[str, Any]:
    config = {"name": "in", "batch_input_shape": [None, 4]}
    first = {"class_name": "InputLayer", "config": config, "name": "in", "inbound_nodes": []}
    return {
        "class_name": "Model",
        "config": {
            "name": f"of_{output}",
            "layers": [first, entry],
            "input_layers": [["in", 0, 0]],
            "output_layers": [[output, call, 0]],
        },
    }


@pytest.mark.parametrize(
    "change",
    [
        lambda config: config.update(input_layers=[["nobody", 0, 0]]),
        lambda config: config.update(output_layers=[["nobody", 0, 0]]),
        lambda config: config.update(output_layers=[["dense_1", 7, 0]]),
        lambda config: config.update(output_layers=[]),
        lambda config: config["layers"][-1].update(inbound_nodes=[[["nobody", 0, 0, {}]]]),
        lambda config: config["layers"][-1].update(inbound_nodes=[[["in", "0", 0, {}]]]),
        lambda config: config["layers"][-1].update(inbound_nodes=[[["in", 0, 0, {"mystery": 1}]]]),
        lambda config: config["layers"][-1].update(inbound_nodes="in"),
        lambda config: config["layers"][-1].pop("class_name"),
        lambda config: config["layers"][-1].update(config=None),
    ],
)
def test_a_graph_that_does_not_hold_together_is_invalid(change: Callable[[dict[str, Any]], object]) -> None:
    model = document("keras-2.0.6_tf-1.4.1/branches")
    change(model["config"])

    with pytest.raises(ModelError):
        read_architecture(json.dumps(model).encode())


def test_of_what_is_compiled_only_the_losss_name_is_looked_at() -> None:
    compile_config = {"loss": {"module": "mine", "class_name": "function", "config": "my_loss"}}

    (output,) = read_architecture(sequential(dense("d"), compile_config=compile_config)).outputs

    assert (output.units, output.loss) == (2, None)


def test_limits_are_an_object() -> None:
    with pytest.raises(ModelTooLargeError, match="more than 1 layers"):
        read_architecture(sequential(dense("d")), Limits(max_layers=1))


_SCALARS = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8)
)
_JSON = st.recursive(
    _SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4)
)


@given(_JSON)
@settings(max_examples=200, deadline=None)
def test_any_json_is_refused_or_read(value: Any) -> None:
    _read(json.dumps(value).encode())


@given(st.binary(max_size=200))
@settings(max_examples=200, deadline=None)
def test_any_bytes_are_refused_or_read(data: bytes) -> None:
    _read(data)


@given(st.data())
@settings(max_examples=120, deadline=None)
def test_a_genuine_architecture_with_one_value_changed_is_refused_or_read(data: st.DataObject) -> None:
    model = copy.deepcopy(_genuine(data.draw(st.sampled_from(FOLDERS))))
    value: Any = model
    while isinstance(value, dict | list) and value:
        key = data.draw(st.sampled_from(sorted(value) if isinstance(value, dict) else range(len(value))))
        if not isinstance(value[key], dict | list) or not value[key] or data.draw(st.integers(0, 5)) == 0:
            value[key] = data.draw(_JSON)
            break
        value = value[key]
    _read(json.dumps(model).encode())


def _genuine(folder: str) -> dict[str, Any]:
    return document(folder)


def _read(data: bytes) -> None:
    try:
        read_architecture(data)
    except ModelError as error:
        assert str(error)  # noqa: PT017 - refusing is as good as reading; anything else would be a fault of ours
