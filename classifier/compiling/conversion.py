"""TensorFlow Lite's converter, fed from files: what it makes of a model, or why it can't.

`tf.lite.TFLiteConverter` loads a SavedModel twice beside the one that it is given, and copies the result in Python:
8.7 times the weights at its peak. Its last step alone, in C++, reads the files by itself and takes less than half.
"""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import sys
import tempfile
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from classifier.bootstrap import pages
from classifier.engines.keras_engine import TENSORFLOW_ENVIRONMENT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from classifier.engines.keras_engine import TracedModel

_NARROW_OR_WIDE = {"f16": "float16", "bf16": "bfloat16", "f64": "float64"}
_SIGNATURE = "serving_default"
_FLAGS: Final[dict[str, dict[str, bool]]] = {
    "float32": {},
    "float16": {"post_training_quantize": True, "quantize_to_float16": True},
    "int8": {"post_training_quantize": True},
}
"""As the public converter sets them for no optimization, for float16, and for Optimize.DEFAULT."""
_RETURN_AT_BYTES = 1 << 17


@contextmanager
def conversion_folder() -> Iterator[str]:
    """A folder in /tmp, for as long as a conversion lasts."""
    folder = tempfile.mkdtemp(prefix="convert-")
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def save(model: TracedModel, folder: str) -> None:
    """Write the model as the converter reads it; OSError if there is no room."""
    import tensorflow as tf

    bare = tf.Module()  # of the variables alone: TensorFlow would trace every layer of a Keras model once more
    bare.kept = getattr(model.module, "variables_kept", model.module)
    tf.saved_model.save(bare, folder, signatures={_SIGNATURE: model.module.serve.get_concrete_function()})


def converted(folder: str, form: str) -> tuple[bytes | None, str]:
    """What `save` left in a folder, in TensorFlow Lite's form of built-in operators, or None and why there is none."""
    try:
        return _converted(folder, flags_of(form)), ""
    except (MemoryError, OSError):
        raise  # memory or /tmp ran short: nothing is known of the model
    except Exception as error:  # noqa: BLE001 - the converter raises whatever its passes do; each means the same here
        return (
            None,
            f"LiteRT's built-in operators can't express it: {missing_operators(str(error)) or first_line(error)}",
        )


def leave_out_tensorflows_python() -> None:
    """Have a process that only converts import single modules of TensorFlow, without all that the package imports.

    The converter is a C++ library. TensorFlow's Python beside it, with `tf.lite` and Keras, would hold 260 MB, and what
    loading the library has read another 250. Nothing else can be asked of TensorFlow in this process any more.
    """
    for name, value in TENSORFLOW_ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    spec = importlib.util.find_spec("tensorflow")
    if spec is None:
        raise ModuleNotFoundError("TensorFlow is not installed")
    sys.modules["tensorflow"] = importlib.util.module_from_spec(spec)  # which is not run
    _library()
    pages.give_back()


def return_freed_memory() -> None:
    """Have freed memory go back to the system from now on, where glibc would keep what is under 32 MB for later.

    A conversion makes and drops the weights several times: kept, they add up (mallopt(3), M_MMAP_THRESHOLD).
    """
    import ctypes

    if mallopt := getattr(ctypes.CDLL(None), "mallopt", None):
        mmap_threshold, trim_threshold, arena_max = -3, -1, -8
        mallopt(mmap_threshold, _RETURN_AT_BYTES)
        mallopt(trim_threshold, _RETURN_AT_BYTES)
        mallopt(arena_max, 1)


def missing_operators(text: str) -> str:
    """The operators that the converter names as not built in, and unusual number types; empty where it fails otherwise.

    It lists names, then each use as `tf.Conv2D(tensor<1x16x16x3xf16>, ...)`.
    """
    found = re.findall(r"^(?:TF Select|Custom) ops: (.+)$", text, re.MULTILINE)
    names = sorted({name.strip() for row in found for name in row.split(",")})
    uses = "".join(re.findall(r"^\s*tf\.\w+\(.+$", text, re.MULTILINE))
    types = [_NARROW_OR_WIDE[kind] for kind in sorted(set(re.findall(r"[<x](bf16|f16|f64)>", uses)))]
    return f"there is none for {', '.join(names)}{' of ' if types else ''}{', '.join(types)}" if names else ""


def first_line(error: Exception) -> str:
    """An error in one line."""
    lines = [line for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0][:300] if lines else ''}"


def flags_of(form: str) -> Any:  # noqa: ANN401 - TensorFlow has no types
    """The flags, a `ConverterFlags`, that the public converter sets for a form."""
    from tensorflow.compiler.mlir.lite import converter_flags_pb2, types_pb2

    return converter_flags_pb2.ConverterFlags(
        input_format=converter_flags_pb2.TENSORFLOW_GRAPHDEF,
        output_format=converter_flags_pb2.TFLITE,
        inference_type=types_pb2.FLOAT,
        inference_input_type=types_pb2.FLOAT,
        drop_control_dependency=True,
        enable_composite_direct_lowering=True,
        canonicalizing_inf_as_min_max_float=True,
        enable_mlir_dynamic_range_quantizer=bool(_FLAGS[form]),
        **_FLAGS[form],
    )


def _library() -> Any:  # noqa: ANN401
    """The converter's library, which has no public name."""
    from tensorflow.compiler.mlir.lite.python import _pywrap_converter_api
    from tensorflow.compiler.mlir.quantization.tensorflow.python import (  # a class that it needs to know
        pywrap_function_lib,  # noqa: F401
    )

    return _pywrap_converter_api


def _converted(folder: str, flags: Any) -> bytes:  # noqa: ANN401
    from tensorflow.compiler.mlir.lite import model_flags_pb2
    from tensorflow.compiler.mlir.lite.metrics.converter_error_data_pb2 import ConverterErrorData

    library = _library()
    model = model_flags_pb2.ModelFlags(
        saved_model_dir=folder,
        saved_model_version=1,
        saved_model_tags=["serve"],
        saved_model_exported_names=[_SIGNATURE],
    ).SerializeToString()
    try:
        data: bytes = library.Convert(model, flags.SerializeToString(), None)
    except Exception:
        codes = [ConverterErrorData.FromString(one).error_code for one in library.RetrieveCollectedErrors()]
        if ConverterErrorData.ERROR_STATEFUL_PARTITIONED_CALL_IN_FINAL_IR not in codes:
            raise
        flags.guarantee_all_funcs_one_use = True  # as the public converter does: each call gets a function of its own
        data = library.Convert(model, flags.SerializeToString(), None)
    return data
