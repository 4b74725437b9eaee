"""SavedModels and GraphDefs of many makes: loaded and equal to what wrote them, or refused with the reason."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lifecycle import tensorflow_graph
from lifecycle.console import Console
from lifecycle.errors import ModelsError, UsageError
from lifecycle.source import GraphSource

pytestmark = pytest.mark.tensorflow
PICTURES = np.random.default_rng(4).random((3, 6, 5, 3)).astype(np.float32)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Keras model inside a module with a signature of each kind, the model alone, and graphs of TensorFlow 1."""
    import keras
    import tensorflow as tf

    keras.utils.set_random_seed(2)
    layers = keras.layers
    stack = [keras.Input((6, 5, 3)), layers.Conv2D(4, 3), layers.BatchNormalization(), layers.GlobalAveragePooling2D()]
    model = keras.Sequential([*stack, layers.Dense(4, activation="softmax")])
    module = tf.Module()
    module.model = model
    module.table = tf.lookup.StaticHashTable(
        tf.lookup.KeyValueTensorInitializer(tf.range(4, dtype=tf.int64), tf.constant(["a", "b", "c", "d"])), "?"
    )

    def signature(answer: Any, **inputs: Any) -> Any:
        specs = [tf.TensorSpec(shape, kind, name=name) for name, (shape, kind) in inputs.items()]
        return tf.function(answer, input_signature=specs)

    picture = ((None, 6, 5, 3), tf.float32)

    def decoded(files: Any) -> Any:
        return tf.map_fn(lambda x: tf.cast(tf.io.decode_png(x, 3), tf.float32), files, fn_output_signature=tf.float32)

    signatures = {
        "serving_default": signature(lambda image: {"scores": model(image)}, image=picture),
        "pair": signature(lambda x: {"first": model(x), "second": model(x)[:, ::-1]}, x=picture),
        "both": signature(lambda x: {"scores": model(x), "classes": tf.argmax(model(x), -1)}, x=picture),
        "free": signature(lambda x: {"scores": model(x[:, :6, :5])}, x=((None, None, None, 3), tf.float32)),
        "one": signature(lambda x: {"scores": model(x)}, x=((1, 6, 5, 3), tf.float32)),
        "first": signature(lambda x: {"s": model(tf.transpose(x, (0, 2, 3, 1)))}, x=((None, 3, 6, 5), tf.float32)),
        "eight": signature(lambda x: {"scores": model(x)}, x=((8, 6, 5, 3), tf.float32)),
        "plain": signature(lambda x: {"s": model(tf.stack([x, x, x], -1))}, x=((None, 6, 5), tf.float32)),
        "film": signature(lambda x: {"s": model(x[:, 0])}, x=((None, 2, 6, 5, 3), tf.float32)),
        "double": signature(lambda x: {"scores": tf.cast(model(x), tf.float64)}, x=picture),
        "whole": signature(lambda x: {"s": model(tf.cast(x, tf.float32))}, x=((None, 6, 5, 3), tf.uint8)),
        "files": signature(lambda image_bytes: {"s": model(decoded(image_bytes))}, image_bytes=((None,), tf.string)),
        "two": signature(lambda a, b: {"scores": model(a + b)}, a=picture, b=picture),
        "names": signature(lambda x: {"names": module.table.lookup(tf.argmax(model(x), -1))}, x=picture),
        "map": signature(lambda x: {"map": x * 2}, x=picture),
        "flat": signature(lambda x: {"s": model(tf.reshape(x, (-1, 6, 5, 3)))}, x=((None, 90), tf.float32)),
    }
    base: Path = tmp_path_factory.mktemp("graphs")
    tf.saved_model.save(module, str(base / "module"), signatures=signatures)
    tf.saved_model.save(model, str(base / "model"))
    model.export(base / "exported", verbose=False)
    (base / "cut").mkdir()
    (base / "cut" / "saved_model.pb").write_bytes((base / "model" / "saved_model.pb").read_bytes())
    np.save(base / "expected.npy", np.asarray(model(PICTURES)))
    _write_tensorflow_1(base)
    return base


def _write_tensorflow_1(base: Path) -> None:
    """A SavedModel with a variable, and its graph without it."""
    import tensorflow as tf

    with tf.Graph().as_default() as graph, tf.compat.v1.Session() as session:
        x = tf.compat.v1.placeholder(tf.float32, (None, 6, 5, 3), name="x")
        kernel = tf.compat.v1.get_variable("kernel", (3, 4))
        y = tf.nn.softmax(tf.matmul(tf.reduce_mean(x, (1, 2)), kernel), name="y")
        session.run(tf.compat.v1.global_variables_initializer())
        tf.compat.v1.saved_model.simple_save(session, str(base / "simple"), {"x": x}, {"y": y})
        np.save(base / "simple.npy", session.run(y, {x: PICTURES}))
        (base / "unfrozen.pb").write_bytes(graph.as_graph_def().SerializeToString())
    foreign = graph.as_graph_def()
    next(node for node in foreign.node if node.op == "Softmax").op = "MyOwnSoftmax"
    (base / "foreign.pb").write_bytes(foreign.SerializeToString())
    (base / "broken.pb").write_bytes(foreign.SerializeToString()[:100])


def saved(path: Path, output: str | None = None) -> GraphSource:
    return GraphSource(kind="SavedModel", path=path, writer="TensorFlow", output=output)


def answers(source: GraphSource) -> np.ndarray:
    """The loaded graph's scores, picture by picture."""
    import tensorflow as tf

    call, shape = tensorflow_graph.load(source)
    rows = [np.asarray(call(tf.constant(picture[np.newaxis]))).reshape(-1) for picture in PICTURES]
    assert (shape.channels, shape.units, len(rows[0])) == (3, 4, 4)
    assert (shape.height, shape.width) in ((6, 5), (None, None))
    return np.stack(rows)


@pytest.mark.parametrize(
    ("name", "output"),
    [
        ("model", None),
        ("exported", None),
        ("exported", "serve"),
        ("module", None),
        ("module", "serving_default"),
        ("module", "both:scores"),
        ("module", "free"),
        ("module", "one"),
        ("module", "first"),
        ("module", "double"),
        ("module", "eight"),
        ("module", "scores"),
    ],
)
def test_whatever_wrote_a_saved_model_its_own_scores_come_out(folder: Path, name: str, output: str | None) -> None:
    assert answers(saved(folder / name, output)) == pytest.approx(np.load(folder / "expected.npy"), abs=1e-6)


def test_whole_numbers_flat_rows_and_pictures_without_channels_are_given_as_the_graph_wants_them(folder: Path) -> None:
    import tensorflow as tf

    picture = np.random.default_rng(5).integers(0, 256, (1, 6, 5, 3)).astype(np.float32)
    gray = picture[..., :1]
    wanted = tensorflow_graph.load(saved(folder / "module"))[0]
    for output, given, same, row in (
        ("whole", picture, picture, None),
        ("flat", picture, picture, (90,)),
        ("plain", gray, gray.repeat(3, -1), (6, 5)),
    ):
        call, shape = tensorflow_graph.load(saved(folder / "module", output))
        assert shape.row == row
        np.testing.assert_allclose(call(tf.constant(given)), wanted(tf.constant(same)), atol=1e-6)


def test_a_saved_model_of_tensorflow_1_gives_its_own_scores(folder: Path) -> None:
    assert answers(saved(folder / "simple")) == pytest.approx(np.load(folder / "simple.npy"), abs=1e-6)


@pytest.mark.parametrize(
    ("output", "reason"),
    [
        ("both", r"has 2 tensors \(classes, scores\).*--output signature:result"),
        ("both:classes", "int64, a classifier gives scores"),
        ("both:nope", "has 2 tensors"),
        ("files", "string .*decodes pictures itself"),
        ("two", r"has 2 tensors \(a, b\)"),
        ("names", "string, a classifier gives scores"),
        ("map", r"gives \[6, 5, 3\] numbers"),
        ("film", "expected pictures: rank 4, 3 or 2"),
    ],
)
def test_a_signature_that_is_no_classifiers_is_refused_with_the_reason(folder: Path, output: str, reason: str) -> None:
    with pytest.raises(ModelsError, match=reason):
        tensorflow_graph.load(saved(folder / "module", output))


def test_an_unknown_signature_is_wrong_usage_and_names_those_there_are(folder: Path) -> None:
    with pytest.raises(UsageError, match="no signature 'nope', but both, double"):
        tensorflow_graph.load(saved(folder / "module", "nope"))


def test_a_saved_model_without_its_variables_is_refused(folder: Path) -> None:
    with pytest.raises(ModelsError, match="can't load"):
        tensorflow_graph.load(saved(folder / "cut"))


@pytest.mark.parametrize(
    ("name", "reason"), [("foreign.pb", "can't be cut out.*MyOwnSoftmax"), ("broken.pb", "is no GraphDef")]
)
def test_a_graph_of_unknown_operations_or_a_broken_one_is_refused(folder: Path, name: str, reason: str) -> None:
    source = GraphSource(kind="GraphDef", path=folder / name, writer="TensorFlow", input="x", output="y")
    with pytest.raises(ModelsError, match=reason):
        tensorflow_graph.load(source)


def test_a_graph_that_was_not_frozen_is_refused_when_it_is_run(folder: Path) -> None:
    from lifecycle.graph_source import _traced

    source = GraphSource(kind="GraphDef", path=folder / "unfrozen.pb", writer="TensorFlow", input="x", output="y")
    with pytest.raises(ModelsError, match=r"can't be run: .*variable"):
        _traced(*tensorflow_graph.load(source), b'{"labels": ["a", "b", "c", "d"]}', [], Console())


def test_several_results_are_served_in_one_row(folder: Path) -> None:
    import tensorflow as tf

    from lifecycle.graph_source import _loaded

    call, shape = _loaded(saved(folder / "module", "pair"), b'{"outputs": {"second": {}, "first": {}}}')
    assert [(head.name, head.units) for head in shape.heads] == [("second", 4), ("first", 4)]
    row = np.asarray(call(tf.constant(PICTURES[:1])))
    expected = np.load(folder / "expected.npy")[:1]
    np.testing.assert_allclose(row, np.concatenate([expected[:, ::-1], expected], 1), atol=1e-6)
