"""What moved, as an SVG picture: shares of labels as pairs of bars, and each number's two distributions."""

from __future__ import annotations

from typing import TYPE_CHECKING
from xml.sax.saxutils import escape

from lifecycle.traffic.comparison import FEATURES
from lifecycle.traffic.measures import NUMBERS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from lifecycle.traffic.comparison import Comparison
    from lifecycle.traffic.measures import Measured

GRAY, BLUE, RED, BLACK = "#9ca3af", "#2563eb", "#dc2626", "black"
MOST_LABELS = 20
LEGEND, BARS, ROW, TOP, PLOT, GAP = 150, 300, 26, 60, 190, 70


def draw(title: str, before: Measured, now: Measured, found: Comparison) -> str:
    """The picture, as text of an SVG file; gray is what was recorded, blue what was kept, red names what moved."""
    labels = found.labels[:MOST_LABELS]
    left = LEGEND + BARS + GAP
    width = left + 2 * (PLOT + GAP)
    height = max(TOP + ROW * len(labels), TOP + 2 * (PLOT + GAP)) + 20
    size = f'width="{width}" height="{height}" viewBox="0 0 {width} {height}"'
    lines = [f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="sans-serif" font-size="12">']
    lines += ['<rect width="100%" height="100%" fill="white"/>', _text(20, 24, title, size=15)]
    lines.append(_text(20, 44, "gray: recorded; blue: kept since; red: moved by more than chance"))
    moved = {each.name for each in found.moved}
    for features in (each for each in found.found if each.name == FEATURES):
        text = f"{FEATURES}: {features.told}"
        lines.append(_text(20, height - 8, text, color=RED if FEATURES in moved else BLACK))
    named = {share.label for share in found.moved_labels}
    most = max((max(share.before, share.now) for share in labels), default=1) or 1
    for row, share in enumerate(labels):
        y = TOP + row * ROW
        color = RED if share.label in named else BLACK
        lines.append(_text(LEGEND - 6, y + 15, share.label[:22], anchor="end", color=color))
        for offset, value, fill in ((0, share.before, GRAY), (10, share.now, BLUE)):
            lines.append(
                f'<rect x="{LEGEND}" y="{y + offset}" width="{BARS * value / most:.1f}" height="9" fill="{fill}"/>'
            )
            lines.append(_text(LEGEND + BARS * value / most + 3, y + offset + 8, f"{value:.1%}", size=9))
    for index, name in enumerate(NUMBERS):
        x, y = left + index % 2 * (PLOT + GAP), TOP + index // 2 * (PLOT + GAP)
        color = RED if name in moved else BLACK
        lines += _plot(x, y, name, color, (before.numbers[name], now.numbers[name]))
    return "\n".join([*lines, "</svg>"]) + "\n"


def _plot(x: int, y: int, name: str, color: str, samples: tuple[Sequence[float], Sequence[float]]) -> Iterator[str]:
    """Distribution functions: how large a share of pictures is below each value."""
    low, high = min(map(min, samples)), max(map(max, samples))
    wide = (high - low) or 1
    yield f'<rect x="{x}" y="{y}" width="{PLOT}" height="{PLOT}" fill="none" stroke="{GRAY}"/>'
    for values, stroke in zip(samples, (GRAY, BLUE), strict=True):
        points = [f"{x},{y + PLOT}"]
        for rank, value in enumerate(sorted(values)):
            across = x + (value - low) / wide * PLOT
            points += [f"{across:.1f},{y + PLOT - count / len(values) * PLOT:.1f}" for count in (rank, rank + 1)]
        points.append(f"{x + PLOT},{y}")
        yield f'<polyline points="{" ".join(points)}" fill="none" stroke="{stroke}" stroke-width="2"/>'
    yield _text(x, y - 6, NUMBERS[name], color=color)
    yield _text(x, y + PLOT + 16, f"{low:.3g}")
    yield _text(x + PLOT, y + PLOT + 16, f"{high:.3g}", anchor="end")


def _text(x: float, y: float, text: str, *, anchor: str = "start", color: str = BLACK, size: int = 12) -> str:
    place = f'x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{color}" font-size="{size}"'
    return f"<text {place}>{escape(text)}</text>"
