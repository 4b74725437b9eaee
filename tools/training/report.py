"""Owns the figures of a trained model: what was right, what was taken for what, and the page that says so."""

import os
import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tools.training.pictures import Pixels

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


INTRODUCTION = """It tells {count} classes apart: {labels}.

The bundle is `architecture.json`, `model.weights.h5` and `serving.json`; `report.json` holds the figures below.
`scripts/train_demo` wrote all of them, and this page.
"""
CHOICE = "The validation split chose the configuration; the test split was looked at once, at the end.\n"
SAMPLES = "## Sample pictures\n\nFull-size pictures that the training never saw, in `samples/`.\n"


@dataclass(frozen=True, slots=True)
class SplitFigures:
    """Accuracy on one split; `mean_class_recall` counts classes alike; `confusion[truth][answer]` counts."""

    pictures: int
    accuracy: float
    mean_class_recall: float
    confusion: list[list[int]]


@dataclass(frozen=True, slots=True)
class SampleAnswer:
    """What the model says of one sample picture; its folder's name is the truth."""

    file: str
    truth: str
    answer: str
    score: float


@dataclass(frozen=True, slots=True)
class Report:
    """Everything report.json holds, in its order; `test` is None where the test split was left alone."""

    date: str
    command: str
    seed: int
    hardware: str
    versions: dict[str, str]
    epochs: int
    training_minutes: float
    cpu_minutes: float
    input_size: int
    parameters: int
    weights_bytes: int
    train_pictures: int
    skipped_pictures: list[str]
    labels: list[str]
    test: SplitFigures | None
    validation: SplitFigures | None
    samples: list[SampleAnswer]

    def as_dict(self) -> dict[str, object]:
        return asdict(self)


def measure(probabilities: "NDArray[np.float32]", pixels: Pixels) -> SplitFigures | None:
    """Figures for probabilities float32 [n, classes]; None for a split without pictures."""
    import numpy as np

    if not len(pixels.targets):
        return None
    classes = probabilities.shape[1]
    confusion = np.zeros((classes, classes), np.int64)
    np.add.at(confusion, (pixels.targets, probabilities.argmax(1)), 1)
    seen = confusion.sum(1) > 0
    recalls = confusion.diagonal()[seen] / confusion.sum(1)[seen]
    accuracy = float(confusion.trace() / confusion.sum())
    return SplitFigures(len(pixels.targets), round(accuracy, 4), round(float(recalls.mean()), 4), confusion.tolist())


def answers(
    probabilities: "NDArray[np.float32]", pixels: Pixels, labels: Sequence[str], root: Path
) -> list[SampleAnswer]:
    """The best label of each sample picture, named relative to `root`."""
    rows = zip(pixels.paths, pixels.targets, probabilities.argmax(1), probabilities.max(1), strict=True)
    return [
        SampleAnswer(path.relative_to(root).as_posix(), labels[truth], labels[answer], round(float(score), 4))
        for path, truth, answer, score in rows
    ]


def hardware() -> str:
    """Processor and number of cores, as far as the system tells."""
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{names[0] if names else platform.processor() or platform.machine()}, {os.process_cpu_count()} cores"


def as_markdown(report: Report) -> str:
    """The page README.md of a trained bundle."""
    parts = [
        "# A trained image classifier\n",
        INTRODUCTION.format(count=len(report.labels), labels=", ".join(report.labels)),
        _figures(report),
    ]
    for name, figures in (("test", report.test), ("validation", report.validation)):
        if figures:
            parts.append(f"## What was taken for what: {name} split\n\nRows are the truth, columns the answer.\n")
            parts.append(_confusion(figures, report.labels))
    if report.samples:
        parts.append(SAMPLES)
        rows = [[f"[{s.file}]({s.file})", s.truth, s.answer, f"{s.score:.4f}"] for s in report.samples]
        parts.append(_table(["picture", "truth", "answer", "score"], rows))
    return "\n".join(parts)


def _figures(report: Report) -> str:
    rows = []
    for name, figures in (("test", report.test), ("validation", report.validation)):
        if figures:
            recall = f"mean class recall {figures.mean_class_recall:.1%}"
            rows.append([f"accuracy, {name} split", f"{figures.accuracy:.1%} of {figures.pictures} pictures, {recall}"])
    rows += [
        ["parameters", f"{report.parameters:,}"],
        ["weights", f"{report.weights_bytes:,} bytes"],
        ["input", f"{report.input_size} x {report.input_size} RGB"],
        ["training", f"{report.train_pictures} pictures, {report.epochs} epochs"],
        ["time", f"{report.training_minutes:.1f} minutes ({report.cpu_minutes:.1f} of processor time)"],
        ["hardware", report.hardware],
        ["software", ", ".join(f"{name} {version}" for name, version in report.versions.items())],
        ["date, seed", f"{report.date}, {report.seed}"],
        ["command", f"`{report.command}`"],
    ]
    return _table(["", ""], rows) + (f"\n{CHOICE}" if report.test else "")


def _confusion(figures: SplitFigures, labels: Sequence[str]) -> str:
    rows: list[list[str]] = []
    for label, counts in zip(labels, figures.confusion, strict=True):
        recall = f"{counts[len(rows)] / sum(counts):.0%}" if sum(counts) else "-"
        rows.append([f"**{label}**", *(str(count) if count else "" for count in counts), recall])
    return _table(["", *labels, "recall"], rows)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join("| " + " | ".join(line) + " |\n" for line in lines)
