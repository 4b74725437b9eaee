"""Reads a model's JSON, of any Keras since 2.0, into a graph in today's terms; refuses what is not on the lists."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, cast

from classifier.errors import ModelError, ModelNotAllowedError, ModelTooLargeError
from classifier.keras_json import backends, calls, eras, foreign, history, operations, values
from classifier.keras_json.foreign import FOREIGN
from classifier.keras_json.graph import Call, Layer, Model, Tensor, tensors_in
from classifier.keras_json.layers import INERT, LAYERS, MODELS, WRAPPERS
from classifier.keras_json.refused import REFUSED, why_not

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from classifier.documents import Json
    from classifier.keras_json.eras import Writer
    from classifier.keras_json.graph import Value
    from classifier.keras_json.limits import Limits

_TRAINING_ENDINGS: Final = ("_initializer", "_regularizer", "_constraint")
# Options of any layer, and what entries hold besides them.
_IGNORED: Final = frozenset({"name", "trainable", "dtype", "activity_regularizer", "noise_shape", "seed"})


class Reader:
    """Reads one document; counts layers as it goes, so that a hostile document is refused early."""

    def __init__(self, limits: Limits, writer: Writer) -> None:
        self._limits = limits
        self._writer = writer
        self._written_by = f"written by Keras {writer.version}"
        self._keras_2 = writer.keras_2
        self._layers = 0

    def model(self, entry: Mapping[str, Json], name: str) -> Model:
        """Read a Functional or Sequential model from its {"class_name", "config"}."""
        kind = history.class_name(_text(entry, "class_name", name))
        place = self._place(name, kind)
        values.check_origin(entry, place)
        if kind not in MODELS:
            raise ModelNotAllowedError(f"{place}: only Functional and Sequential models can be loaded, not {kind}")
        config = entry.get("config")
        if isinstance(config, list):  # Sequential until Keras 2.2
            config = {"layers": config}
        if not isinstance(config, dict) or not isinstance(layers := config.get("layers"), list):
            raise ModelError(f"{place}: no list of layers in its config")
        own_name = config.get("name")
        name = own_name if isinstance(own_name, str) else name
        if kind == "Sequential":
            return self._sequential(name, layers, config)
        return self._functional(name, layers, config)

    def _functional(self, name: str, entries: list[Json], config: Mapping[str, Json]) -> Model:
        layers = tuple(self._layer(entry, index) for index, entry in enumerate(entries))
        inputs = calls.references(config.get("input_layers"), self._place(name, "Functional"))
        outputs = calls.references(config.get("output_layers"), self._place(name, "Functional"))
        return calls.resolve(Model(name, layers, inputs, outputs), keras_2=self._keras_2)

    def _sequential(self, name: str, entries: list[Json], config: Mapping[str, Json]) -> Model:
        layers = [self._layer(entry, index) for index, entry in enumerate(entries)]
        if not layers:
            raise ModelError(f"{self._place(name, 'Sequential')}: it has no layers")
        if layers[0].kind != "InputLayer":
            layers.insert(0, self._missing_input(layers[0], entries[0], config, name))
        chain = [layers[0]]
        for layer in layers[1:]:
            call = Call((Tensor(chain[-1].name, 0, 0),), {})
            chain.append(calls.with_calls(layer, (call,)))
        return calls.resolve(
            Model(name, tuple(chain), Tensor(chain[0].name, 0, 0), Tensor(chain[-1].name, 0, 0)), keras_2=self._keras_2
        )

    def _missing_input(self, first: Layer, entry: Json, config: Mapping[str, Json], name: str) -> Layer:
        """The input that Keras 2's Sequential left out; its shape stands in the first layer or the build's config."""
        own = entry.get("config") if isinstance(entry, dict) else None
        build = entry.get("build_config") if isinstance(entry, dict) else None
        shape = (
            (own.get("batch_input_shape") if isinstance(own, dict) else None)
            or config.get("build_input_shape")
            or (build.get("input_shape") if isinstance(build, dict) else None)
        )
        if shape is None and first.model is not None:
            inner = next(tensors_in(first.model.inputs))
            shape = first.model.layer(inner.layer).options.get("batch_shape")  # type: ignore[assignment]
        place = self._place(name, "Sequential")
        if shape is None:
            raise ModelError(f"{place}: the JSON does not say what its input's shape is")
        return Layer(
            f"{name}_input", "InputLayer", {"batch_shape": self._input_shape(shape, place), "dtype": "float32"}
        )

    def _layer(self, entry: Json, index: int) -> Layer:
        self._layers += 1
        if self._layers > self._limits.max_layers:
            raise ModelTooLargeError(f"the model has more than {self._limits.max_layers:,} layers")
        if not isinstance(entry, dict):
            raise ModelError(f"layer {index} is not an object, {self._written_by}")
        written_kind = _text(entry, "class_name", f"layer {index}")
        kind = history.class_name(written_kind)
        config = entry.get("config")
        if kind in MODELS:
            return self._nested(entry, kind, index)
        if not isinstance(config, dict):
            raise ModelError(f"{self._place(str(index), kind)}: it has no config")
        name = entry.get("name") or config.get("name") or f"{kind.lower()}_{index}"
        place = self._place(str(name), written_kind)
        if not isinstance(name, str):
            raise ModelError(f"{place}: its name is not text")
        if operations.is_operation(entry, kind, keras_2=self._keras_2):
            return operations.read(entry, name, place)
        if kind in REFUSED:  # before its origin, as the reason says more
            raise ModelNotAllowedError(f"{place}: {why_not(kind)}")
        if kind not in FOREIGN:
            values.check_origin(entry, place)
        today, options = self._today(kind, config, place)
        return Layer(
            name,
            today,
            options,
            calls.read(entry.get("inbound_nodes"), kind, place),
            written_kind,
            trainable=config.get("trainable") is not False,
        )

    def _today(self, kind: str, config: Mapping[str, Json], place: str) -> tuple[str, Mapping[str, Value]]:
        if kind in INERT:
            return "Identity", {}
        if kind in FOREIGN:
            today, options = foreign.read(kind, config, place)
            return today, {**options, "dtype": values.dtype(config.get("dtype"), place)}
        options = self._options(kind, config, place)
        backends.check(kind, options, self._writer.backend, place)
        return eras.as_written(kind, options, self._writer, place)

    def _nested(self, entry: Mapping[str, Json], kind: str, index: int) -> Layer:
        config = entry.get("config")
        own = config.get("name") if isinstance(config, dict) else None
        name = entry.get("name") or own or f"{kind.lower()}_{index}"
        place = self._place(str(name), kind)
        if not isinstance(name, str):
            raise ModelError(f"{place}: its name is not text")
        model = self.model(entry, name)
        trainable = not isinstance(config, dict) or config.get("trainable") is not False
        return Layer(
            name, kind, {}, calls.read(entry.get("inbound_nodes"), kind, place), kind, trainable=trainable, model=model
        )

    def _options(self, kind: str, config: Mapping[str, Json], place: str) -> dict[str, Value]:
        if kind not in LAYERS:
            raise ModelNotAllowedError(f"{place}: {why_not(kind)}")
        known = LAYERS[kind]
        config = history.translate(kind, config, known | _IGNORED, place, keras_2=self._keras_2)
        options: dict[str, Value] = {"dtype": values.dtype(config.get("dtype"), place)}
        for option, value in config.items():
            where = f"{place}, option {option!r}"
            if option.endswith(_TRAINING_ENDINGS) or option == "seed":
                values.training_object(value, where)
            elif option in known and option != "noise_shape":
                options[option] = self._value(option, value, where)
        return options

    def _value(self, option: str, value: Json, place: str) -> Value:
        if option in ("activation", "recurrent_activation"):
            if isinstance(value, dict) and history.class_name(str(value.get("class_name"))) in LAYERS:
                return self._layer(value, 0)
            return values.activation(value, keras_2=self._keras_2, place=place)
        if option == "batch_shape":
            return self._input_shape(value, place)
        if option in WRAPPERS:
            return None if value is None else self._layer(value, 0)
        if option in ("cells", "layers"):
            if not isinstance(value, list):
                raise ModelError(f"{place}: expected a list of {option}")
            return [self._layer(cell, index) for index, cell in enumerate(value)]
        values.check_plain(value, place)
        plain: Any = values.unwrap(value, place)  # each Json is a Value, which mypy sees on some days only
        self._check_bounds(plain, place)
        checked: Value = plain
        return checked

    def _check_bounds(self, value: Json, place: str) -> None:
        """Refuse a number that would size something absurd."""
        numbers: Sequence[Json] = value if isinstance(value, list) else [value]
        for number in numbers:
            if isinstance(number, list):
                self._check_bounds(number, place)
            elif isinstance(number, int) and abs(number) > self._limits.max_dimension:
                raise ModelTooLargeError(f"{place}: {number:,} is more than {self._limits.max_dimension:,}")

    def _input_shape(self, value: Json, place: str) -> list[Value]:
        """A batch shape; the batch's own size is dropped, since it is whatever the writer happened to build with."""
        if isinstance(value, list) and value and all(isinstance(size, list) for size in value):
            raise ModelError(f"{place}: several input shapes where one was expected")
        sizes = value[1:] if isinstance(value, list) else None
        if not sizes or not all(size is None or (type(size) is int and size > 0) for size in sizes):
            raise ModelError(f"{place}: {value!r} is not a batch shape")
        self._check_bounds(sizes, place)
        return [None, *cast("list[Value]", sizes)]

    def _place(self, name: str, kind: str) -> str:
        shown = name if len(name) <= 80 else f"{name[:77]}..."
        return f"layer {shown!r} ({kind[:80]}), {self._written_by}"


def _text(entry: Mapping[str, Json], key: str, place: str) -> str:
    value = entry.get(key)
    if not isinstance(value, str):
        raise ModelError(f"{place}: it has no {key}")
    return value
