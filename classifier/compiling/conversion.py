"""TensorFlow Lite's converter, fed from files: what it makes of a model, or why it can't.

`tf.lite.TFLiteConverter` loads a SavedModel twice beside the one that it is given, and copies the result in Python:
8.7 times the weights at its peak. Its last step alone, which reads the files by itself, takes about three.
"""

from __future__ import annotations

import re
import shutil
import sys
import tempfile
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

    from classifier.engines.keras_engine import TracedModel

QUANTIZATIONS = ("float16", "int8")
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
    import tensorflow as tf

    try:
        return bytes(_convert(folder, **_FLAGS[form])), ""
    except (MemoryError, OSError, tf.errors.ResourceExhaustedError):
        raise  # memory or /tmp ran short: nothing is known of the model
    except Exception as error:  # noqa: BLE001 - the converter raises whatever its passes do; each means the same here
        return (
            None,
            f"LiteRT's built-in operators can't express it: {missing_operators(str(error)) or first_line(error)}",
        )


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


def _convert(folder: str, **flags: bool) -> Any:  # noqa: ANN401 - TensorFlow has no types
    import tensorflow as tf

    # The module has no public name, and the public class no public way to this step alone.
    module = sys.modules[tf.lite.TFLiteConverter.__module__.rpartition(".")[0] + ".convert"]
    return module.convert_saved_model(
        saved_model_dir=folder,
        saved_model_version=1,
        saved_model_tags=["serve"],
        saved_model_exported_names=[_SIGNATURE],
        enable_composite_direct_lowering=True,
        enable_mlir_dynamic_range_quantizer=bool(flags),
        **flags,
    )
