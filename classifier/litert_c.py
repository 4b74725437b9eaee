"""LiteRT's C API by ctypes: one compiled model, its inputs and its outputs. The only module that calls `libLiteRt.so`.

No numpy, no Python wrapper of LiteRT's: that is a third of a cold start. Types are those of the headers under
`litert/c/` (https://github.com/google-ai-edge/LiteRT), which do not promise to stay: `KNOWN_VERSIONS` are those that
this module was held against; a test compares them with the pinned one, and the packer runs a model.
"""

from __future__ import annotations

import ctypes
import math
import mmap
import sys
import threading
from contextlib import ExitStack, contextmanager, suppress
from ctypes import POINTER, byref, c_char_p, c_int, c_int32, c_int64, c_size_t, c_uint, c_uint32, c_void_p
from functools import cache
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from classifier.arrays import FLOAT_BYTES

if TYPE_CHECKING:
    from collections.abc import Buffer, Iterator, Sequence

KNOWN_VERSIONS = ("2.3.0",)
PACKAGE, LIBRARY = "ai_edge_litert", f"libLiteRt.{'dylib' if sys.platform == 'darwin' else 'so'}"

_MAX_RANK = 8
FLOAT32, _UINT8 = 1, 3
_ELEMENT_BYTES = {FLOAT32: FLOAT_BYTES, _UINT8: 1}
_CPU = 1
_READ = 0
_INT = 2
_AUTO_REGISTER, _MIN_SEVERITY = 24, 25
_ERRORS_ONLY = 3
_GIVE_BACK_S = 0.002


class LiteRtError(RuntimeError):
    """A call of LiteRT's failed, or its library is not one that this module knows; names the call and the status."""


class _Any(ctypes.Structure):
    _fields_ = (("type", c_int), ("value", c_int64))


class _EnvironmentOption(ctypes.Structure):
    _fields_ = (("tag", c_int), ("value", _Any))


class _Layout(ctypes.Structure):
    _fields_ = (
        ("rank", c_uint, 7),
        ("has_strides", c_uint, 1),
        ("dimensions", c_int32 * _MAX_RANK),
        ("strides", c_uint32 * _MAX_RANK),
    )

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.dimensions[: self.rank])


class _TensorType(ctypes.Structure):
    _fields_ = (("element", c_int), ("layout", _Layout))

    @property
    def nbytes(self) -> int:
        count: int = math.prod(self.layout.shape)
        return count * _ELEMENT_BYTES[self.element]


_Destructor = ctypes.CFUNCTYPE(None, c_void_p)
_Handle = POINTER(c_void_p)

_SIGNATURES: dict[str, tuple[Any, ...]] = {
    "CreateEnvironment": (c_int, POINTER(_EnvironmentOption), _Handle),
    "CreateModelFromBuffer": (c_void_p, c_void_p, c_size_t, _Handle),
    "GetModelSignature": (c_void_p, c_size_t, _Handle),
    "GetNumSignatureInputs": (c_void_p, POINTER(c_size_t)),
    "GetNumSignatureOutputs": (c_void_p, POINTER(c_size_t)),
    "GetSignatureInputTensorByIndex": (c_void_p, c_size_t, _Handle),
    "GetSignatureOutputTensorByIndex": (c_void_p, c_size_t, _Handle),
    "GetRankedTensorType": (c_void_p, POINTER(_TensorType)),
    "CreateOptions": (_Handle,),
    "SetOptionsHardwareAccelerators": (c_void_p, c_int),
    "CreateOpaqueOptions": (c_char_p, c_void_p, _Destructor, _Handle),
    "AddOpaqueOptions": (c_void_p, c_void_p),
    "CreateCompiledModel": (c_void_p, c_void_p, c_void_p, _Handle),
    "GetCompiledModelInputBufferRequirements": (c_void_p, c_size_t, c_size_t, _Handle),
    "GetCompiledModelOutputBufferRequirements": (c_void_p, c_size_t, c_size_t, _Handle),
    "CompiledModelResizeInputTensorNonStrict": (c_void_p, c_size_t, c_size_t, POINTER(c_int), c_size_t),
    "GetCompiledModelOutputTensorLayouts": (c_void_p, c_size_t, c_size_t, POINTER(_Layout), ctypes.c_bool),
    "CreateManagedTensorBufferFromRequirements": (c_void_p, POINTER(_TensorType), c_void_p, _Handle),
    "LockTensorBuffer": (c_void_p, _Handle, c_int),
    "UnlockTensorBuffer": (c_void_p,),
    "RunCompiledModel": (c_void_p, c_size_t, c_size_t, _Handle, c_size_t, _Handle),
}
_DESTRUCTORS = ("Model", "Options", "CompiledModel", "TensorBuffer")


class Program:
    """Arithmetic ready to run on the CPU: inputs and outputs of float32 or bytes, one call at a time.

    `data` is the flatbuffer, as bytes or as a private writable mapping of a file (`mmap.ACCESS_COPY`): of the latter,
    pages whose weights XNNPACK has packed are given back while it goes on. It is kept as long as the program.
    """

    elements: tuple[int, ...] = (FLOAT32, _UINT8)

    def __init__(self, data: bytes | mmap.mmap, threads: int, shapes: Sequence[tuple[int, ...]] = ()) -> None:
        """`shapes` are the inputs' own where they are not the file's. LiteRtError if LiteRT can't run it so."""
        self._owned = ExitStack()
        self._data = data
        self._library = _library()
        try:
            self._open(data, threads, shapes)
        except BaseException:
            self.close()
            raise

    def _open(self, data: bytes | mmap.mmap, threads: int, shapes: Sequence[tuple[int, ...]]) -> None:
        self._environment = environment = _environment()  # two threads that come first may each make one
        address, self._pinned = _address(data)
        model = self._made("Model", "CreateModelFromBuffer", environment, address, len(data))
        options = self._options(threads)
        with _given_back(data):
            self._compiled = self._made("CompiledModel", "CreateCompiledModel", environment, model, options)
        inputs, outputs = _tensors(model, "Input"), _tensors(model, "Output")
        for index, shape in enumerate(shapes):
            _resize(self._compiled, index, shape, inputs[index].layout)
        layouts = (_Layout * len(outputs))()
        _call("GetCompiledModelOutputTensorLayouts", self._compiled, 0, len(outputs), layouts, True)
        for tensor, layout in zip(outputs, layouts, strict=True):
            tensor.layout = layout
        self._inputs, self.inputs = self._buffers("Input", inputs), inputs
        self._outputs, self.outputs = self._buffers("Output", outputs), outputs
        self.given, self._found = _memory(self._inputs, inputs), _memory(self._outputs, outputs)

    @property
    def output_shapes(self) -> tuple[tuple[int, ...], ...]:
        return tuple(tensor.layout.shape for tensor in self.outputs)

    def put(self, index: int, numbers: Buffer) -> None:
        """Fill an input, which keeps them. ValueError if they are of another size."""
        memory = self.given[index]
        whole = memoryview(numbers).cast("B")
        if len(whole) != len(memory):
            shape = self.inputs[index].layout.shape
            raise ValueError(f"{len(whole)} bytes were given, an input of {shape} takes {len(memory)}")
        memory[:] = whole

    def compute(self) -> None:
        """Make the outputs of what was put last; LiteRtError if that fails."""
        counts = len(self._inputs), len(self._outputs)
        _call("RunCompiledModel", self._compiled, 0, counts[0], self._inputs, counts[1], self._outputs)

    def output(self, index: int) -> memoryview[int]:
        """The bytes of an output, C-contiguous, until the next `compute`."""
        return self._found[index]

    def close(self) -> None:
        """Free everything that LiteRT holds; the model can't be run afterwards."""
        self._owned.close()

    def __del__(self) -> None:
        self.close()

    def _made(self, kind: str, function: str, *given: Any) -> c_void_p:  # noqa: ANN401 - what C takes
        """The handle that a function makes, freed with the model."""
        handle = c_void_p()
        _call(function, *given, byref(handle))
        self._owned.callback(getattr(self._library, f"LiteRtDestroy{kind}"), handle)
        return handle

    def _options(self, threads: int) -> c_void_p:
        """Options for the CPU; XNNPACK reads its own as TOML (litert/c/options/litert_cpu_options.cc)."""
        options = self._made("Options", "CreateOptions")
        _call("SetOptionsHardwareAccelerators", options, _CPU)
        self._threads = ctypes.create_string_buffer(b"num_threads = %d\n" % threads)
        own = c_void_p()
        _call("CreateOpaqueOptions", b"xnnpack", ctypes.addressof(self._threads), _KEPT, byref(own))
        _call("AddOpaqueOptions", options, own)
        return options

    def _buffers(self, kind: str, tensors: list[_TensorType]) -> ctypes.Array[c_void_p]:
        made = (c_void_p * len(tensors))()
        for index, tensor in enumerate(tensors):
            if tensor.element not in self.elements or min(tensor.layout.shape, default=1) < 1:
                raise LiteRtError(f"{kind.lower()} {index}: element type {tensor.element}, shape {tensor.layout.shape}")
            requirements = c_void_p()
            _call(f"GetCompiledModel{kind}BufferRequirements", self._compiled, 0, index, byref(requirements))
            function = "CreateManagedTensorBufferFromRequirements"
            made[index] = self._made("TensorBuffer", function, self._environment, byref(tensor), requirements).value
        return made


def preload() -> None:
    """Open the library, for a model that is still on its way; whoever opens that meets what is wrong."""
    with suppress(LiteRtError):
        _library()


_KEPT = _Destructor(lambda _: None)
"""For memory that is ours, and lives as long as what it was given to."""


def _tensors(model: c_void_p, kind: str) -> list[_TensorType]:
    """The types of the model's inputs or outputs; every model has a signature, a given one or LiteRT's own."""
    signature, count = c_void_p(), c_size_t()
    _call("GetModelSignature", model, 0, byref(signature))
    _call(f"GetNumSignature{kind}s", signature, byref(count))
    found = []
    for index in range(count.value):
        tensor, type_ = c_void_p(), _TensorType()
        _call(f"GetSignature{kind}TensorByIndex", signature, index, byref(tensor))
        _call("GetRankedTensorType", tensor, byref(type_))
        found.append(type_)
    return found


def _memory(buffers: ctypes.Array[c_void_p], tensors: Sequence[_TensorType]) -> list[memoryview[int]]:
    """Where the numbers of tensors are: a lock tells it, and on the CPU it stays so. Asked each time, it would cost."""
    found = []
    for buffer, tensor in zip(buffers, tensors, strict=True):
        address = c_void_p()
        _call("LockTensorBuffer", buffer, byref(address), _READ)
        _call("UnlockTensorBuffer", buffer)
        found.append(memoryview((ctypes.c_ubyte * tensor.nbytes).from_address(address.value or 0)).cast("B"))
    return found


def _resize(compiled: c_void_p, index: int, shape: tuple[int, ...], layout: _Layout) -> None:
    dimensions = (c_int * len(shape))(*shape)
    _call("CompiledModelResizeInputTensorNonStrict", compiled, 0, index, dimensions, len(shape))
    layout.rank, layout.dimensions[: len(shape)] = len(shape), shape


def _address(data: bytes | mmap.mmap) -> tuple[c_void_p, Any]:
    """Where the model's bytes are, and what keeps them there."""
    if isinstance(data, bytes):
        pointer = c_char_p(data)
        return ctypes.cast(pointer, c_void_p), pointer
    pinned = (ctypes.c_char * len(data)).from_buffer(data)
    return c_void_p(ctypes.addressof(pinned)), pinned


@contextmanager
def _given_back(data: bytes | mmap.mmap) -> Iterator[None]:
    """While XNNPACK packs the weights, let go of the file's pages: half the peak. One that is read comes back."""
    if not isinstance(data, mmap.mmap):
        yield
        return
    done = threading.Event()

    def give_back() -> None:
        while not done.wait(_GIVE_BACK_S):
            data.madvise(mmap.MADV_DONTNEED)

    thread = threading.Thread(target=give_back, name="give-back", daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
        data.madvise(mmap.MADV_DONTNEED)


@cache
def _environment() -> c_void_p:
    """LiteRT's environment, one a process: the CPU only, and no lines about what else there might be."""
    given = ((_AUTO_REGISTER, _CPU), (_MIN_SEVERITY, _ERRORS_ONLY))
    options = (_EnvironmentOption * 2)(*(_EnvironmentOption(tag, _Any(_INT, value)) for tag, value in given))
    environment = c_void_p()
    _call("CreateEnvironment", len(options), options, byref(environment))
    return environment


@cache
def _library() -> ctypes.CDLL:
    """`libLiteRt.so` of the package, with every function's types declared; LiteRtError if it is not as we know it."""
    spec = find_spec(PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise LiteRtError(f"{PACKAGE} is not installed")
    path = f"{spec.submodule_search_locations[0]}/{LIBRARY}"
    try:
        library = ctypes.CDLL(path)
        for name, types in _SIGNATURES.items():
            function = getattr(library, f"LiteRt{name}")
            function.argtypes, function.restype = types, c_int
        for kind in _DESTRUCTORS:
            function = getattr(library, f"LiteRtDestroy{kind}")
            function.argtypes, function.restype = (c_void_p,), None
    except (OSError, AttributeError) as error:
        known = ", ".join(KNOWN_VERSIONS)
        raise LiteRtError(f"{path} is not LiteRT as this code knows it ({known}): {error}") from error
    return library


def _call(name: str, *given: Any) -> None:  # noqa: ANN401 - what C takes
    status = getattr(_library(), f"LiteRt{name}")(*given)
    if status:
        from classifier.litert_statuses import STATUSES

        raise LiteRtError(f"LiteRt{name}: {STATUSES.get(status, 'unknown status')} ({status})")
