"""A graph of TensorFlow Lite's operators, written as the flatbuffer that LiteRT reads: no TensorFlow, no converter.

Each method adds one operator and returns its result. Shapes are broadcast as numpy's; LiteRT is asked to resize them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

Operator, Options, Type = schema.BuiltinOperator, schema.BuiltinOptions, schema.TensorType


class Graph:
    """One subgraph without a name; tensors are known by their number."""

    def __init__(self) -> None:
        self._model, self._graph = schema.ModelT(), schema.SubGraphT()
        self._model.version = 3
        self._model.buffers, self._model.operatorCodes = [schema.BufferT()], []
        self._model.subgraphs = [self._graph]
        self._graph.tensors, self._graph.operators, self._graph.inputs = [], [], []
        self._codes: dict[int, int] = {}

    def numbers(self, *shape: int) -> int:
        """An input of float32."""
        self._graph.inputs.append(self._tensor(shape))
        return int(self._graph.inputs[-1])

    def samples(self, *shape: int, scale: float = 1.0, zero: int = 0) -> int:
        """An input of bytes, as floats: less `zero`, times `scale`."""
        tensor = self._bytes(self._tensor(shape), scale, zero)
        self._graph.inputs.append(tensor)
        return self._operator(Operator.DEQUANTIZE, [tensor], shape, "Dequantize")

    def eight_bits(self, one: int) -> int:
        """As bytes: rounded to the nearest, below 0 and above 255 cut off."""
        return self._bytes(self._operator(Operator.QUANTIZE, [one], self._shape(one), "Quantize"))

    def constant(self, numbers: Any, shape: Sequence[int] = ()) -> int:  # noqa: ANN401 - what numpy takes
        """Numbers of float32."""
        return self._constant(np.asarray(numbers, np.float32).reshape(shape), Type.FLOAT32)

    def add(self, one: int, other: int) -> int:
        return self._both(Operator.ADD, "Add", one, other)

    def subtract(self, one: int, other: int) -> int:
        return self._both(Operator.SUB, "Sub", one, other)

    def multiply(self, one: int, other: int) -> int:
        return self._both(Operator.MUL, "Mul", one, other)

    def floor(self, one: int) -> int:
        return self._operator(Operator.FLOOR, [one], self._shape(one))

    def lerp(self, low: int, high: int, share: int) -> int:
        """low + (high - low) * share, each operation rounded by itself."""
        return self.add(low, self.multiply(self.subtract(high, low), share))

    def part(self, one: int, first: int, count: int) -> int:
        """`count` of the last axis, from `first` on."""
        *outer, _ = self._shape(one)
        begin, size = [*[0] * len(outer), first], (*outer, count)
        where = [self._constant(np.asarray(numbers, np.int32), Type.INT32) for numbers in (begin, size)]
        return self._operator(Operator.SLICE, [one, *where], size, "Slice")

    def interleaved(self, planes: Sequence[int]) -> int:
        """Bytes of several planes, each of shape (1, n), next to each other: (n, planes)."""
        count, length = len(planes), self._shape(planes[0])[1]
        joined = self._bytes(self._operator(Operator.CONCATENATION, planes, (count, length), "Concatenation"))
        order = self._constant(np.asarray((1, 0), np.int32), Type.INT32)
        return self._bytes(self._operator(Operator.TRANSPOSE, [joined, order], (length, count), "Transpose"))

    def written(self, *outputs: int) -> bytes:
        """The file."""
        self._graph.outputs = list(outputs)
        builder = flatbuffers.Builder(1 << 14)
        builder.Finish(self._model.Pack(builder), b"TFL3")
        return bytes(builder.Output())

    def _both(self, code: int, name: str, one: int, other: int) -> int:
        shape = tuple(np.broadcast_shapes(self._shape(one), self._shape(other)))
        return self._operator(code, [one, other], shape, name)

    def _operator(
        self,
        code: int,
        inputs: Sequence[int],
        shape: tuple[int, ...],
        name: str = "",
    ) -> int:
        if code not in self._codes:
            self._codes[code] = len(self._model.operatorCodes)
            known = schema.OperatorCodeT()
            known.builtinCode, known.deprecatedBuiltinCode, known.version = code, code, 1
            self._model.operatorCodes.append(known)
        operator = schema.OperatorT()
        operator.opcodeIndex, operator.inputs = self._codes[code], list(inputs)
        operator.outputs = [self._tensor(shape)]
        if name:
            operator.builtinOptionsType = getattr(Options, f"{name}Options")
            operator.builtinOptions = getattr(schema, f"{name}OptionsT")()
        self._graph.operators.append(operator)
        return int(operator.outputs[0])

    def _bytes(self, tensor: int, scale: float = 1.0, zero: int = 0) -> int:
        """The tensor, of bytes that stand for floats."""
        quantization = schema.QuantizationParametersT()
        quantization.scale, quantization.zeroPoint = [scale], [zero]
        self._graph.tensors[tensor].type, self._graph.tensors[tensor].quantization = Type.UINT8, quantization
        return tensor

    def _tensor(self, shape: Sequence[int], kind: int = Type.FLOAT32, buffer: int = 0) -> int:
        tensor = schema.TensorT()
        tensor.shape, tensor.type, tensor.buffer = list(shape), kind, buffer
        self._graph.tensors.append(tensor)
        return len(self._graph.tensors) - 1

    def _constant(self, numbers: NDArray[Any], kind: int) -> int:
        buffer = schema.BufferT()
        buffer.data = np.frombuffer(numbers.tobytes(), np.uint8)
        self._model.buffers.append(buffer)
        return self._tensor(numbers.shape, kind, len(self._model.buffers) - 1)

    def _shape(self, one: int) -> tuple[int, ...]:
        return tuple(self._graph.tensors[one].shape)
