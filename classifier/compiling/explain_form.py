"""What explains a compiled model: a head that turns the same file into the model of its class activation maps.

Where a model ends in global average pooling and layers that are linear (dense, 1 x 1 convolution, a factor or a
constant a channel), these layers commute with the average: applied to each place of the last feature map, they give
what that place alone contributes to each logit (Zhou et al. 2016, "Learning Deep Features for Discriminative
Localization"), and the average over all places is the logit itself.

A FlatBuffer's references point forward only. So a new root, put before the file of the compiled model, may use all of
its weights: head and file, one after the other, are a model of TensorFlow Lite's, and no weight is stored twice.
"""

from __future__ import annotations

import hashlib
import math
from typing import TYPE_CHECKING, Any

from classifier.bundles.compiled import ALIGNMENT, LARGEST_DIFFERENCE
from classifier.compiling.conversion import first_line
from classifier.engines.litert_engine import LiteRtEngine

if TYPE_CHECKING:
    from collections.abc import Sequence
    from mmap import mmap

    import numpy as np
    from numpy.typing import NDArray

MAX_NUMBERS = 1 << 20
"""Places times labels that a form may put out: 4 MB for a request."""
ROOM = 1 << 20
"""For a head. One that is larger has the builder double what it holds."""
PLACES = b"place by place"
"""The name of what is added; outputs are in the order of the signature."""
_IDENTIFIER = b"TFL3"
_BUFFER_DATA = 4
"""The field `data` in the virtual table of `Buffer` (schema.fbs)."""


class NotLinearError(Exception):
    """The model does not end in global average pooling and linear layers; the text says what stands there."""


def explain_head(model: bytes | mmap) -> tuple[bytes, str]:
    """The head that belongs before this very compiled model, and the operator that makes scores of its logits, if any.

    Head and model together take what the model takes, give what it gives, and then float32 of shape (1, rows, columns,
    units): the logits that each place of the last feature map would have alone. So one run answers and explains.
    NotLinearError for a model that has no such form.
    """
    from tensorflow.lite.python import schema_py_generated as schema

    graph = _Graph(schema, schema.Model.GetRootAs(model, 0), model)
    graph.explain()
    return graph.head(), graph.ending


def checked_head(
    model: bytes | mmap, probes: Sequence[NDArray[np.float32]], threads: int
) -> tuple[bytes | None, dict[str, Any]]:
    """The head, if both that it gives are the model's own answer for every probe, and what a report says.

    The output to the bit, the average of all places within what a compiled form may differ by.
    """
    try:
        head, ending = explain_head(model)
        whole = LiteRtEngine(model, threads)
        answers = [whole.predict(probe) for probe in probes]
        del whole  # memory has room for one at a time
        both = LiteRtEngine(head + model, threads)
        again = [both.outputs(probe) for probe in probes]
        differences = [_difference(ending, answer, places) for answer, (_, places) in zip(answers, again, strict=True)]
    except NotLinearError as error:
        return None, {"reason": str(error)}
    except Exception as error:  # noqa: BLE001 - whatever is odd about a model, it serves without being explained so
        return None, {"reason": f"it can't be made: {first_line(error)}"}
    largest = max((one for one in differences if math.isfinite(one)), default=math.inf)
    if largest > LARGEST_DIFFERENCE:
        return None, {"reason": f"the average over all places differs from the model's answer by {largest:.2g}"}
    if [raw.tobytes() for raw, _ in again] != [raw.tobytes() for raw in answers]:
        return None, {"reason": "beside the places it answers otherwise than alone"}
    sums = {name: hashlib.sha256(data).hexdigest() for name, data in (("sha256", head), ("model_sha256", model))}
    shape = list(both.output_shapes[1][1:3])
    return head, {"reason": "", "places": shape, "largest_difference": largest, "bytes": len(head), **sums}


def _difference(ending: str, answer: Sequence[float], places: Sequence[float]) -> float:
    """How far the average place is from the model's answer, after what makes scores of logits; relative if nothing."""
    import numpy as np

    theirs = np.asarray(answer, np.float64)
    logits = np.asarray(places, np.float64).reshape(-1, len(theirs)).mean(0)
    made = {"SOFTMAX": _softmax, "LOGISTIC": _sigmoid}.get(ending, np.asarray)(logits)
    return float((np.abs(made - theirs) / (1.0 if ending else np.maximum(1, np.abs(theirs)))).max())


def _softmax(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    import numpy as np

    exponentials = np.exp(logits - logits.max())
    total: NDArray[np.float64] = exponentials / exponentials.sum()
    return total


def _sigmoid(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    import numpy as np

    return 1 / (1 + np.exp(-logits))


class _Graph:
    """The one subgraph of a compiled model, taken apart."""

    def __init__(self, schema: Any, root: Any, model: bytes | mmap) -> None:  # noqa: ANN401 - generated, without types
        if root.SubgraphsLength() != 1 or root.SignatureDefsLength() > 1:
            raise NotLinearError("it has not one subgraph")
        self._schema, self._root, self._model = schema, root, model
        self._names = {number: name for name, number in vars(schema.BuiltinOperator).items() if name.isupper()}
        self._subgraph = schema.SubGraphT.InitFromObj(root.Subgraphs(0))
        self.ending = ""
        self._producers = {tensor: op for op in self._subgraph.operators for tensor in op.outputs}
        if len(self._subgraph.outputs) != 1 or len(self._subgraph.inputs) != 1:
            raise NotLinearError("it has several inputs or outputs")

    def explain(self) -> None:
        """Add an output: the linear layers after the last feature map, applied to each of its places."""
        tensor, chain = self._linear_end()
        pool = self._producer(tensor)
        features = pool.inputs[0]
        _, height, width, _ = shape = self._shape(features)
        if not self._is_global_average(pool, shape):
            raise NotLinearError(f"before its linear layers comes {self._name(pool)}, no global average pooling")
        added: list[Any] = []
        for op in chain:
            added.append(self._applied(op, features, (height, width)))
            features = added[-1].outputs[0]
        if not chain or height * width == 1:
            raise NotLinearError(f"its last feature map has {height} x {width} places, and {len(chain)} linear layers")
        if math.prod(self._shape(features)) > MAX_NUMBERS:
            raise NotLinearError(f"{height} x {width} places of {self._shape(features)[-1]} labels are too many")
        self._subgraph.operators = [*self._subgraph.operators, *added]
        self._subgraph.outputs = [*self._subgraph.outputs, features]

    def head(self) -> bytes:
        """The new root and all that it refers to, but for the data of the buffers."""
        import flatbuffers

        size = len(self._model) + -len(self._model) % ALIGNMENT
        builder = flatbuffers.Builder(ROOM + size)  # it builds from the end: there lies the file, as if built before
        builder.head = ROOM
        memoryview(builder.Bytes)[ROOM : ROOM + len(self._model)] = self._model
        made = self._schema.ModelT()
        made.version, made.description = self._root.Version(), self._root.Description()
        made.operatorCodes = self._unpacked("OperatorCode", "OperatorCodes")
        made.signatureDefs = self._unpacked("SignatureDef", "SignatureDefs")
        made.metadata = self._unpacked("Metadata", "Metadata")
        made.subgraphs = [self._subgraph]
        made.buffers = [self._kept(index, size) for index in range(self._root.BuffersLength())]
        for signature in made.signatureDefs:
            places = self._schema.TensorMapT()
            places.name, places.tensorIndex = PLACES, self._subgraph.outputs[1]
            signature.outputs = [*signature.outputs, places]
        builder.Prep(ALIGNMENT, 0)
        builder.Finish(made.Pack(builder), file_identifier=_IDENTIFIER)
        return bytes(memoryview(builder.Bytes)[builder.head : len(builder.Bytes) - size])

    def _unpacked(self, kind: str, field: str) -> list[Any]:
        read = getattr(self._schema, f"{kind}T").InitFromObj
        return [read(getattr(self._root, field)(index)) for index in range(getattr(self._root, f"{field}Length")())]

    def _kept(self, index: int, size: int) -> _KeptBuffer:
        """A buffer whose data are where they were; places are counted from the end."""
        buffer = self._root.Buffers(index)
        if buffer.Offset() > 1:
            raise NotLinearError("its weights lie outside the FlatBuffer")
        field = buffer._tab.Offset(_BUFFER_DATA)  # noqa: SLF001 - the generated accessors copy, or import numpy
        start = buffer._tab.Vector(field) - 4 if field else None  # noqa: SLF001 - its length comes first
        return _KeptBuffer(self._schema, None if start is None else size - start)

    def _linear_end(self) -> tuple[int, list[Any]]:
        """The tensor that the linear layers at the end begin with, and these layers in order."""
        tensor = int(self._subgraph.outputs[0])
        chain: list[Any] = []
        while (op := self._producers.get(tensor)) is not None:
            name = self._name(op)
            last = name in ("SOFTMAX", "LOGISTIC") and not chain and not self.ending
            same = name == "RESHAPE" and self._shape(op.inputs[0])[-1] == self._shape(tensor)[-1]
            if self._is_linear(op, name):
                chain.insert(0, op)
            elif last:
                self.ending = name
            elif not same:
                break
            tensor = int(op.inputs[0])
        return tensor, chain

    def _is_linear(self, op: Any, name: str) -> bool:  # noqa: ANN401
        if name not in ("FULLY_CONNECTED", "CONV_2D", "MUL", "ADD", "SUB"):
            return False
        if op.builtinOptions.fusedActivationFunction or any(self._computed(one) for one in op.inputs[1:]):
            return False
        shape = self._shape(op.inputs[1])
        if name == "CONV_2D":
            return shape[1:3] == (1, 1) and op.builtinOptions.strideH == op.builtinOptions.strideW == 1
        return name == "FULLY_CONNECTED" or all(side == 1 for side in shape[:-1])

    def _is_global_average(self, op: Any, shape: tuple[int, ...]) -> bool:  # noqa: ANN401
        options = op.builtinOptions
        match self._name(op):
            case "MEAN":
                return sorted(self._numbers(op.inputs[1])) == [1, 2]
            case "AVERAGE_POOL_2D":
                whole = (options.filterHeight, options.filterWidth) == shape[1:3]
                return whole and not options.fusedActivationFunction and options.padding == self._schema.Padding.VALID
        return False

    def _applied(self, op: Any, features: int, size: tuple[int, int]) -> Any:  # noqa: ANN401
        """The operator of a linear layer once more, for each place."""
        from copy import copy

        made, tensor = copy(op), copy(self._subgraph.tensors[op.outputs[0]])
        units = self._shape(op.outputs[0])[-1]
        tensor.name, tensor.shape, tensor.shapeSignature = PLACES, [1, *size, units], None
        made.inputs, made.outputs = [features, *op.inputs[1:]], [len(self._subgraph.tensors)]
        if self._name(op) == "FULLY_CONNECTED":
            made.builtinOptions = copy(op.builtinOptions)
            made.builtinOptions.keepNumDims = True
        self._subgraph.tensors.append(tensor)
        return made

    def _producer(self, tensor: int) -> Any:  # noqa: ANN401
        op = self._producers.get(tensor)
        if op is None or len(self._shape(op.inputs[0])) != 4:
            raise NotLinearError("it ends in no global average pooling of a feature map")
        return op

    def _name(self, op: Any) -> str:  # noqa: ANN401
        code = self._root.OperatorCodes(op.opcodeIndex)
        return str(self._names.get(max(code.BuiltinCode(), code.DeprecatedBuiltinCode()), "?"))

    def _shape(self, tensor: int) -> tuple[int, ...]:
        shape = self._subgraph.tensors[tensor].shape
        return tuple(map(int, shape)) if shape is not None and len(shape) else (1,)

    def _computed(self, tensor: int) -> bool:
        return tensor >= 0 and (tensor in self._producers or tensor in self._subgraph.inputs)

    def _numbers(self, tensor: int) -> list[int]:
        import numpy as np

        data = self._root.Buffers(self._subgraph.tensors[tensor].buffer).DataAsNumpy()
        return np.frombuffer(data.tobytes(), np.int32).tolist() if hasattr(data, "tobytes") else []


class _KeptBuffer:
    """In place of `BufferT`: refers to data that the builder holds at that distance from its end."""

    def __init__(self, schema: Any, place: int | None) -> None:  # noqa: ANN401
        self._schema, self._place = schema, place

    def Pack(self, builder: Any) -> Any:  # noqa: ANN401, N802 - as FlatBuffers calls it
        """Write the table."""
        self._schema.BufferStart(builder)
        if self._place is not None:
            self._schema.BufferAddData(builder, self._place)
        return self._schema.BufferEnd(builder)
