"""Train a first image classifier from a folder of pictures and write it as a bundle that the service can serve.

DIR holds one folder of pictures per class (DIR/cat/*.jpg, DIR/dog/*.jpg), or train/, validation/ and test/ folders
that each do. Splits that are missing are drawn from the training pictures: a tenth of each class, the same for the
same seed. Whichever of --epochs and --minutes is used up first ends the training, always with a finished model.
"""

import argparse
import datetime
import json
import os
import shlex
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from tools.training import compiled_form, fitting, pictures, report
from tools.training.pictures import DatasetError, Pixels, Tree

SERVING_FILTER, SERVING_SCALE = "bilinear", "tf"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; 0 when a bundle was written, 2 when the pictures or the options don't allow it."""
    options = _parser().parse_args(argv)
    command = shlex.join(["scripts/train_demo", *(sys.argv[1:] if argv is None else argv)])
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    try:
        tree = pictures.find_tree(options.data, options.seed)
        train_and_write(tree, options, command)
    except (DatasetError, OSError) as error:
        print(f"train_demo: {error}", file=sys.stderr)
        return 2
    return 0


def _parser() -> argparse.ArgumentParser:
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser("train_demo", description=__doc__, formatter_class=raw)
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="folder of folders of pictures")
    parser.add_argument("--out", type=Path, default=Path("trained"), metavar="DIR", help="for the bundle (%(default)s)")
    parser.add_argument("--size", type=_between(32, 512), default=96, help="input side in pixels (%(default)s)")
    parser.add_argument("--epochs", type=_between(1, 10_000), help="passes over the pictures, at most (200)")
    parser.add_argument("--minutes", type=_minutes, help="minutes of training, at most (20)")
    parser.add_argument("--seed", type=int, default=1, help="decides splits and chance (%(default)s)")
    parser.add_argument("--quick", action="store_true", help="a try-out: at most 10 epochs and 2 minutes")
    parser.add_argument("--no-test", action="store_true", help="leave the test split alone for now")
    return parser


def _between(low: int, high: int) -> Callable[[str], int]:
    def number(text: str) -> int:
        if not low <= int(text) <= high:
            raise argparse.ArgumentTypeError(f"{text} is not between {low} and {high}")
        return int(text)

    return number


def _minutes(text: str) -> float:
    if not 0 < float(text) <= 24 * 60:
        raise argparse.ArgumentTypeError(f"{text} is not between 0 and 1440")
    return float(text)


def train_and_write(tree: Tree, options: argparse.Namespace, command: str) -> None:
    """Read the pictures, train, measure, and write the bundle, report.json and README.md to the out folder."""
    options.out.mkdir(parents=True, exist_ok=True)
    size, classes = options.size, len(tree.labels)
    read = {name: _read(tree, name, size * 4 // 3 if name == "train" else size) for name in ("train", "validation")}
    _refuse_unreadable_classes(tree, read["train"])
    plan = fitting.Plan(
        size=size,
        epochs=options.epochs or (10 if options.quick else 200),
        minutes=options.minutes or (2.0 if options.quick else 20.0),
        seed=options.seed,
    )
    print(f"Training for at most {plan.epochs} epochs and {plan.minutes:g} minutes.", flush=True)
    fitted = fitting.fit(read["train"], read["validation"], classes, plan, lambda line: print(line, flush=True))
    _write_bundle(fitted, tree, options.out, size)
    compiled_form.write_compiled(options.out)
    figures = _report(fitted, tree, read, options, command)
    (options.out / "report.json").write_text(json.dumps(figures.as_dict(), indent=2) + "\n", "utf-8")
    (options.out / "README.md").write_text(report.as_markdown(figures), "utf-8")
    for name, split in (("validation", figures.validation), ("test", figures.test)):
        if split:
            print(f"{name}: {split.accuracy:.1%} of {split.pictures} pictures right")
    print(f"Wrote {options.out}. Serve it: npm start -- --model {shlex.quote(str(options.out))}")


def _read(tree: Tree, name: str, size: int) -> Pixels:
    pixels = pictures.read_pixels(tree.splits[name], size)
    print(f"{name}: {len(pixels.images)} pictures of {len(tree.labels)} classes", flush=True)
    for path, reason in pixels.skipped:
        print(f"  skipped {path}: {reason}", file=sys.stderr)
    return pixels


def _refuse_unreadable_classes(tree: Tree, train: Pixels) -> None:
    bad = [label for index, label in enumerate(tree.labels) if index not in train.targets]
    if bad:
        raise DatasetError(f"No readable training picture for: {', '.join(bad)}. The skipped files above say why.")


def _write_bundle(fitted: fitting.Fitted, tree: Tree, out: Path, size: int) -> None:
    serving = {
        "labels": list(tree.labels),
        "output": "softmax",
        "top_k": min(5, len(tree.labels)),
        "preprocessing": {
            "pixels": "keras",
            "size": [size, size],
            "resize": "stretch",
            "filter": SERVING_FILTER,
            "color": "rgb",
            "scale": SERVING_SCALE,
        },
    }
    (out / "architecture.json").write_text(fitted.model.to_json(), "utf-8")
    fitted.model.save_weights(out / "model.weights.h5")
    (out / "serving.json").write_text(json.dumps(serving, indent=2) + "\n", "utf-8")


def _report(
    fitted: fitting.Fitted, tree: Tree, read: dict[str, Pixels], options: argparse.Namespace, command: str
) -> report.Report:
    import keras
    import PIL
    import tensorflow as tf

    size, out, model = options.size, options.out, fitted.model
    test = None if options.no_test else _read(tree, "test", size)
    samples = _samples(tree, out, size)
    skipped = [path for pixels in (*read.values(), *([test] if test else [])) for path, _ in pixels.skipped]
    return report.Report(
        date=datetime.datetime.now(datetime.UTC).date().isoformat(),
        command=command,
        seed=options.seed,
        hardware=report.hardware(),
        versions={"keras": keras.__version__, "tensorflow": tf.__version__, "pillow": PIL.__version__},
        epochs=fitted.epochs,
        training_minutes=round(fitted.minutes, 1),
        cpu_minutes=round(fitted.cpu_minutes, 1),
        input_size=size,
        parameters=model.count_params(),
        weights_bytes=(out / "model.weights.h5").stat().st_size,
        train_pictures=len(read["train"].images),
        skipped_pictures=[path.relative_to(tree.root).as_posix() for path in skipped],
        labels=list(tree.labels),
        test=report.measure(fitting.predict(model, test), test) if test else None,
        validation=report.measure(fitting.predict(model, read["validation"]), read["validation"]),
        samples=report.answers(fitting.predict(model, samples), samples, tree.labels, out),
    )


def _samples(tree: Tree, out: Path, size: int) -> Pixels:
    """Pictures of out/samples/<class>, if there are any: full-size ones to show and to test with."""
    indices = {label: index for index, label in enumerate(tree.labels)}
    found = sorted(path for path in (out / "samples").glob("*/*") if path.parent.name in indices)
    return pictures.read_pixels([(path, indices[path.parent.name]) for path in found], size)
