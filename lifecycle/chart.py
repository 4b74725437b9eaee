"""A picture of a model's quality, as SVG: confusion by class, and how often a score of x is right (calibration)."""

from __future__ import annotations

from typing import TYPE_CHECKING
from xml.sax.saxutils import escape

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from lifecycle.calibration import Calibration
    from lifecycle.scoring import Quality

CELL = 34
MOST_CELLS = 40
"""More classes than this make a table that nobody can read; then calibration alone is drawn."""
PLOT, MARGIN, LEGEND = 300, 50, 150
BLUE, RED, GRAY = "#2563eb", "#dc2626", "#9ca3af"


def draw(title: str, labels: Sequence[str], quality: Quality, after: Calibration | None = None) -> str:
    """The picture, as text of an SVG file; `after`: calibration beside what serves, with the threshold as a line."""
    cells = CELL * len(labels) if len(labels) <= MOST_CELLS else 0
    left = LEGEND + cells + MARGIN if cells else 0
    plots = 2 if after else 1
    width, height = left + plots * (PLOT + 2 * MARGIN), max(cells, PLOT) + 2 * MARGIN + 30
    size = f'width="{width}" height="{height}" viewBox="0 0 {width} {height}"'
    lines = [f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="sans-serif" font-size="12">']
    lines += ['<rect width="100%" height="100%" fill="white"/>', _text(MARGIN, 24, title, size=15)]
    lines += [*_confusion(labels, quality)] if cells else []
    lines += _calibration(left + MARGIN, quality)
    lines += _after(left + PLOT + 3 * MARGIN, after) if after else []
    return "\n".join([*lines, "</svg>"]) + "\n"


def _after(left: float, calibration: Calibration) -> Iterator[str]:
    yield from _calibration(left, calibration.after)
    top, threshold = MARGIN + 10, calibration.head.threshold or 0.0
    yield _text(left - PLOT - 2 * MARGIN, top + PLOT + 36, "before")
    x, text = left + threshold * PLOT, f"temperature {calibration.head.temperature or 'none'}; sure from {threshold}"
    yield f'<line x1="{x:.1f}" y1="{top}" x2="{x:.1f}" y2="{top + PLOT}" stroke="{RED}" stroke-width="2"/>'
    yield _text(left, top + PLOT + 36, f"after: {text}")


def _confusion(labels: Sequence[str], quality: Quality) -> Iterator[str]:
    top = MARGIN + 10
    for row, counts in enumerate(quality.confusion):
        yield _text(LEGEND - 6, top + row * CELL + 21, labels[row][:20], anchor="end")
        for column, count in enumerate(counts):
            share = count / max(1, sum(counts))
            x, y = LEGEND + column * CELL, top + row * CELL
            color = BLUE if row == column else RED
            fill = f'fill="{color}" fill-opacity="{share:.3f}" stroke="{GRAY}"'
            yield f'<rect x="{x}" y="{y}" width="{CELL}" height="{CELL}" {fill}/>'
            if count:
                yield _text(
                    x + CELL / 2, y + 21, str(count), anchor="middle", color="white" if share > 0.5 else "black"
                )
    yield _text(LEGEND, top + CELL * len(labels) + 18, "columns: best label, in the order of the rows")


def _calibration(left: float, quality: Quality) -> Iterator[str]:
    top = MARGIN + 10
    yield f'<rect x="{left}" y="{top}" width="{PLOT}" height="{PLOT}" fill="none" stroke="{GRAY}"/>'
    diagonal = f'x1="{left}" y1="{top + PLOT}" x2="{left + PLOT}" y2="{top}"'
    yield f'<line {diagonal} stroke="{GRAY}" stroke-dasharray="4"/>'
    for each in quality.bins:
        x, high = left + each.low * PLOT, each.accuracy * PLOT
        wide = (each.high - each.low) * PLOT - 2
        area = f'x="{x + 1:.1f}" y="{top + PLOT - high:.1f}" width="{wide:.1f}" height="{high:.1f}"'
        yield f'<rect {area} fill="{BLUE}" fill-opacity="0.6"><title>{each.pictures} pictures</title></rect>'
        yield f'<circle cx="{left + each.confidence * PLOT:.1f}" cy="{top + PLOT - high:.1f}" r="3" fill="{RED}"/>'
    yield _text(left, top + PLOT + 18, f"best score; calibration error {quality.calibration_error:.3f}")
    yield _text(left, top - 6, f"share that is right; accuracy {quality.accuracy:.1%} of {quality.pictures}")


def _text(x: float, y: float, text: str, *, anchor: str = "start", color: str = "black", size: int = 12) -> str:
    place = f'x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{color}" font-size="{size}"'
    return f"<text {place}>{escape(text)}</text>"
