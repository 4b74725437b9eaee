"""LiteRT's C API by ctypes: one compiled model, its input and its outputs. The only module that calls `libLiteRt.so`.

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

from classifier.arrays import FLOAT_BYTES, floats

if TYPE_CHECKING:
    from array import array
    from collections.abc import Buffer, Iterator

KNOWN_VERSIONS = ("2.3.0",)
PACKAGE, LIBRARY = "ai_edge_litert", f"libLiteRt.{'dylib' if sys.platform == 'darwin' else 'so'}"

_MAX_RANK = 8
_FLOAT32 = 1
_CPU = 1
_READ, _WRITE = 0, 1
_INT = 2
_AUTO_REGISTER, _MIN_SEVERITY = 24, 25
_ERRORS_ONLY = 3
_GIVE_BACK_S = 0.002

STATUSES = {
    1: "invalid argument",
    2: "memory allocation failure",
    3: "runtime failure",
    4: "missing input tensor",
    5: "unsupported",
    6: "not found",
    7: "timeout expired",
    8: "wrong version",
    9: "unknown error",
    10: "already exists",
    100: "cancelled",
    500: "file I/O error",
    501: "invalid flatbuffer",
    502: "dynamic loading error",
    503: "serialization error",
    504: "compilation error",
    1000: "index out of bounds",
    1001: "invalid type",
    1002: "invalid graph",
    1003: "graph modification error",
    4000: "unsupported runtime version",
    4001: "unsupported compiler version",
    4002: "incompatible byte code version",
    5000: "shape inference not supported",
    5001: "shape inference failed",
}
"""`LiteRtStatus` of litert_common.h, as far as running a model can meet it."""


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
    "GetCompiledModelOutputTensorLayouts": (c_void_p, c_size_t, c_size_t, POINTER(_Layout), ctypes.c_bool),
    "CreateManagedTensorBufferFromRequirements": (c_void_p, POINTER(_TensorType), c_void_p, _Handle),
    "LockTensorBuffer": (c_void_p, _Handle, c_int),
    "UnlockTensorBuffer": (c_void_p,),
    "RunCompiledModel": (c_void_p, c_size_t, c_size_t, _Handle, c_size_t, _Handle),
}
_DESTRUCTORS = ("Model", "Options", "CompiledModel", "TensorBuffer")


class CompiledModel:
    """A model ready to run on the CPU: float32 in and out, one input, one call at a time.

    `data` is the flatbuffer, as bytes or as a private writable mapping of a file (`mmap.ACCESS_COPY`): of the latter,
    pages whose weights XNNPACK has packed are given back while it goes on. It is kept as long as the model.
    """

    def __init__(self, data: bytes | mmap.mmap, threads: int) -> None:
        """LiteRtError if LiteRT can't run it, or if it has not one float32 input and only float32 outputs."""
        self._owned = ExitStack()
        self._data = data
        self._library = _library()
        try:
            self._open(data, threads)
        except BaseException:
            self.close()
            raise

    def _open(self, data: bytes | mmap.mmap, threads: int) -> None:
        self._environment = environment = _environment()  # two threads that come first may each make one
        address, self._pinned = _address(data)
        model = self._made("Model", "CreateModelFromBuffer", environment, address, len(data))
        options = self._options(threads)
        with _given_back(data):
            self._compiled = self._made("CompiledModel", "CreateCompiledModel", environment, model, options)
        inputs, outputs = _tensors(model, "Input"), _tensors(model, "Output")
        if len(inputs) != 1:
            raise LiteRtError(f"the model has {len(inputs)} inputs, expected one")
        layouts = (_Layout * len(outputs))()
        _call("GetCompiledModelOutputTensorLayouts", self._compiled, 0, len(outputs), layouts, True)
        for tensor, layout in zip(outputs, layouts, strict=True):
            tensor.layout = layout
        self._inputs = self._buffers("Input", inputs)
        self._outputs = self._buffers("Output", outputs)
        self.input_shape = inputs[0].layout.shape
        self.output_shapes = tuple(tensor.layout.shape for tensor in outputs)

    def run(self, picture: Buffer) -> tuple[array[float], ...]:
        """The outputs, each flat float32, for an input of `input_shape`: C-contiguous float32, of as many numbers.

        ValueError if it has another size, LiteRtError if running fails.
        """
        given = memoryview(picture).cast("B")
        with self._locked(self._inputs[0], self.input_shape, _WRITE) as memory:
            if given.nbytes != memory.nbytes:
                shape = self.input_shape
                raise ValueError(f"{given.nbytes} bytes were given, an input of {shape} takes {memory.nbytes}")
            memory[:] = given
        _call("RunCompiledModel", self._compiled, 0, 1, self._inputs, len(self._outputs), self._outputs)
        return tuple(map(self._read, self._outputs, self.output_shapes))

    def close(self) -> None:
        """Free everything that LiteRT holds; the model can't be run afterwards."""
        self._owned.close()

    def __del__(self) -> None:
        self.close()

    def _read(self, buffer: int | None, shape: tuple[int, ...]) -> array[float]:
        with self._locked(buffer, shape, _READ) as memory:
            return floats(memory)

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
            if tensor.element != _FLOAT32 or min(tensor.layout.shape, default=1) < 1:
                raise LiteRtError(f"{kind.lower()} {index}: element type {tensor.element}, shape {tensor.layout.shape}")
            requirements = c_void_p()
            _call(f"GetCompiledModel{kind}BufferRequirements", self._compiled, 0, index, byref(requirements))
            function = "CreateManagedTensorBufferFromRequirements"
            made[index] = self._made("TensorBuffer", function, self._environment, byref(tensor), requirements).value
        return made

    @contextmanager
    def _locked(self, buffer: int | None, shape: tuple[int, ...], mode: int) -> Iterator[memoryview[int]]:
        address = c_void_p()
        _call("LockTensorBuffer", buffer, byref(address), mode)
        try:
            bytes_ = ctypes.c_ubyte * (math.prod(shape) * FLOAT_BYTES)
            yield memoryview(bytes_.from_address(address.value or 0)).cast("B")
        finally:
            _call("UnlockTensorBuffer", buffer)


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
        raise LiteRtError(f"LiteRt{name}: {STATUSES.get(status, 'unknown status')} ({status})")
