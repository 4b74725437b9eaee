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
RELU = schema.ActivationFunctionType.RELU


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

    def samples(self, *shape: int, scale: float = 1.0) -> int:
        """An input of bytes, as floats times `scale`."""
        tensor = self._tensor(shape, Type.UINT8)
        self._graph.tensors[tensor].quantization = schema.QuantizationParametersT()
        self._graph.tensors[tensor].quantization.scale = [scale]
        self._graph.tensors[tensor].quantization.zeroPoint = [0]
        self._graph.inputs.append(tensor)
        return self._operator(Operator.DEQUANTIZE, [tensor], [shape], "Dequantize")[0]

    def constant(self, numbers: Any, shape: Sequence[int] = ()) -> int:  # noqa: ANN401 - what numpy takes
        """Numbers of float32."""
        return self._constant(np.asarray(numbers, np.float32).reshape(shape), Type.FLOAT32)

    def add(self, one: int, other: int, activation: int = 0) -> int:
        return self._both(Operator.ADD, "Add", one, other, activation)

    def subtract(self, one: int, other: int) -> int:
        return self._both(Operator.SUB, "Sub", one, other, 0)

    def multiply(self, one: int, other: int) -> int:
        return self._both(Operator.MUL, "Mul", one, other, 0)

    def least(self, one: int, other: int) -> int:
        return self._operator(Operator.MINIMUM, [one, other], [self._broadcast(one, other)], "MaximumMinimum")[0]

    def floor(self, one: int) -> int:
        return self._operator(Operator.FLOOR, [one], [self._shape(one)])[0]

    def round(self, one: int) -> int:
        """To the nearest, a half to the even one."""
        return self._operator(Operator.ROUND, [one], [self._shape(one)])[0]

    def lerp(self, low: int, high: int, share: int) -> int:
        """low + (high - low) * share, each operation rounded by itself."""
        return self.add(low, self.multiply(self.subtract(high, low), share))

    def split(self, one: int, count: int, axis: int) -> list[int]:
        """`count` (at most 4, as XNNPACK can) equal parts."""
        shape = [*self._shape(one)]
        shape[axis] //= count
        where = self._constant(np.asarray(axis, np.int32), Type.INT32)
        options = schema.SplitOptionsT()
        options.numSplits = count
        return self._operator(Operator.SPLIT, [where, one], [tuple(shape)] * count, "Split", options)

    def total(self, one: int, axis: int) -> int:
        """The sum along an axis, which stays."""
        options = schema.ReducerOptionsT()
        options.keepDims = True
        where = self._constant(np.asarray([axis], np.int32), Type.INT32)
        shape = tuple(1 if at == axis else size for at, size in enumerate(self._shape(one)))
        return self._operator(Operator.SUM, [one, where], [shape], "Reducer", options)[0]

    def joined(self, parts: Sequence[int], axis: int) -> int:
        shape = [*self._shape(parts[0])]
        shape[axis] = sum(self._shape(part)[axis] for part in parts)
        options = schema.ConcatenationOptionsT()
        options.axis = axis
        return self._operator(Operator.CONCATENATION, parts, [tuple(shape)], "Concatenation", options)[0]

    def transposed(self, one: int, order: Sequence[int]) -> int:
        axes = self._constant(np.asarray(order, np.int32), Type.INT32)
        shape = tuple(self._shape(one)[axis] for axis in order)
        return self._operator(Operator.TRANSPOSE, [one, axes], [shape], "Transpose")[0]

    def written(self, *outputs: int) -> bytes:
        """The file."""
        self._graph.outputs = list(outputs)
        builder = flatbuffers.Builder(1 << 14)
        builder.Finish(self._model.Pack(builder), b"TFL3")
        return bytes(builder.Output())

    def _both(self, code: int, name: str, one: int, other: int, activation: int) -> int:
        options = getattr(schema, f"{name}OptionsT")()
        options.fusedActivationFunction = activation
        return self._operator(code, [one, other], [self._broadcast(one, other)], name, options)[0]

    def _operator(
        self,
        code: int,
        inputs: Sequence[int],
        shapes: Sequence[tuple[int, ...]],
        name: str = "",
        options: Any = None,  # noqa: ANN401 - one of the schema's
    ) -> list[int]:
        if code not in self._codes:
            self._codes[code] = len(self._model.operatorCodes)
            known = schema.OperatorCodeT()
            known.builtinCode, known.deprecatedBuiltinCode, known.version = code, code, 1
            self._model.operatorCodes.append(known)
        operator = schema.OperatorT()
        operator.opcodeIndex, operator.inputs = self._codes[code], list(inputs)
        operator.outputs = [self._tensor(shape) for shape in shapes]
        if name:
            operator.builtinOptionsType = getattr(Options, f"{name}Options")
            operator.builtinOptions = options or getattr(schema, f"{name}OptionsT")()
        self._graph.operators.append(operator)
        return list(operator.outputs)

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

    def _broadcast(self, one: int, other: int) -> tuple[int, ...]:
        return tuple(np.broadcast_shapes(self._shape(one), self._shape(other)))
