"""The converter's last step by itself is asked for what TensorFlow Lite's public class asks for."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from classifier.compiling import conversion
from classifier.compiling.conversion import converted, flags_of
from local.launch import PROJECT

pytestmark = pytest.mark.tensorflow


class SeenError(Exception):
    """Ends a conversion."""


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A model that doubles its input."""
    import tensorflow as tf

    folder, module = str(tmp_path_factory.mktemp("saved")), tf.Module()
    module.serve = tf.function(lambda x: 2 * x, input_signature=[tf.TensorSpec((1, 2), tf.float32)])
    tf.saved_model.save(module, folder, signatures={"serving_default": module.serve.get_concrete_function()})
    return folder


@pytest.mark.parametrize("form", ["float32", "float16", "int8"])
def test_flags_are_those_of_the_public_converter(saved: str, form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import tensorflow as tf

    converter = tf.lite.TFLiteConverter.from_saved_model(saved)
    from tensorflow.compiler.mlir.lite import converter_flags_pb2
    from tensorflow.compiler.mlir.lite.python import wrap_converter

    sent: list[bytes] = []

    def seen(_model: bytes, flags: bytes, *_rest: object) -> None:
        sent.append(flags)
        raise SeenError

    monkeypatch.setattr(wrap_converter, "wrapped_convert", seen)
    if form != "float32":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.target_spec.supported_types = [tf.float16] if form == "float16" else []
    with pytest.raises(Exception, match=r"^$"):
        converter.convert()
    public = converter_flags_pb2.ConverterFlags.FromString(sent[0])
    own = flags_of(form)
    names = [field.name for field in public.DESCRIPTOR.fields]
    assert {name: getattr(own, name) for name in names} == {name: getattr(public, name) for name in names}


def test_what_its_operators_cannot_express_is_named(tmp_path: Path) -> None:
    import tensorflow as tf

    module: Any = tf.Module()
    module.serve = tf.function(tf.linalg.det, input_signature=[tf.TensorSpec((2, 2), tf.float32)])
    tf.saved_model.save(module, str(tmp_path), signatures={"serving_default": module.serve.get_concrete_function()})
    expected = "LiteRT's built-in operators can't express it: there is none for MatrixDeterminant"
    assert converted(str(tmp_path), "float32") == (None, expected)


ALONE = """
import hashlib, sys
from classifier.compiling.conversion import converted, leave_out_tensorflows_python

leave_out_tensorflows_python()
data, trouble = converted(sys.argv[1], "float32")
print(trouble, hashlib.sha256(data).hexdigest(), [one for one in ("keras", "tensorflow.python") if one in sys.modules])
"""


def test_the_library_alone_makes_the_same_of_a_model_to_the_byte(saved: str) -> None:
    data, _ = converted(saved, "float32")
    assert data is not None
    command = [sys.executable, "-c", ALONE, saved]
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=False)
    assert done.stdout.splitlines()[-1:] == [f" {hashlib.sha256(data).hexdigest()} []"], done.stderr


def test_a_function_that_is_left_over_is_copied_for_each_call(saved: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from tensorflow.compiler.mlir.lite import converter_flags_pb2
    from tensorflow.compiler.mlir.lite.metrics.converter_error_data_pb2 import ConverterErrorData

    class Library:
        """Converts only where each call has a function of its own."""

        @staticmethod
        def Convert(_model: bytes, flags: bytes, _data: None) -> bytes:  # noqa: N802
            if not converter_flags_pb2.ConverterFlags.FromString(flags).guarantee_all_funcs_one_use:
                raise RuntimeError("left over")
            return b"model"

        @staticmethod
        def RetrieveCollectedErrors() -> list[bytes]:  # noqa: N802
            code = ConverterErrorData.ERROR_STATEFUL_PARTITIONED_CALL_IN_FINAL_IR
            return [ConverterErrorData(error_code=code).SerializeToString()]

    monkeypatch.setattr(conversion, "_library", Library)
    assert converted(saved, "float32") == (b"model", "")
