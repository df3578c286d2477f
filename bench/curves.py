"""Precision-recall curves as an SVG: one panel a level, one line a way to search."""

from collections.abc import Mapping
from html import escape
from pathlib import Path

import numpy as np

from bench.average_precision import LEVELS, Curve

SIDE, GAP, TOP = 320, 56, 40
COLOURS = ("#c1272d", "#e8833a", "#1f6fb2", "#5aa9e6", "#2e8b57", "#7a5195", "#444444")


def write_curves(file: Path, drawn: Mapping[str, Mapping[str, Curve]]) -> None:
    """Write the curves, by title and level."""
    width = GAP + len(LEVELS) * (SIDE + GAP)
    height = TOP + SIDE + 56 + 18 * len(drawn)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" '
        f'height="{height}" font-family="sans-serif" font-size="12">',
        '<rect width="100%" height="100%" fill="white"/>',
    ]
    for number, level in enumerate(LEVELS):
        parts += _panel(GAP + number * (SIDE + GAP), level)
        for colour, curves in zip(_colours(len(drawn)), drawn.values(), strict=True):
            parts.append(_line(GAP + number * (SIDE + GAP), curves[level], colour))
    for number, (colour, (title, curves)) in enumerate(
        zip(_colours(len(drawn)), drawn.items(), strict=True)
    ):
        told = " / ".join(f"{curves[level].average_precision:.3f}" for level in LEVELS)
        y = TOP + SIDE + 56 + 18 * number
        parts.append(
            f'<rect x="{GAP}" y="{y - 8}" width="24" height="4" fill="{colour}"/>'
            f'<text x="{GAP + 32}" y="{y}">{escape(title)}: AP {told}</text>'
        )
    file.write_text("\n".join([*parts, "</svg>\n"]))


def _colours(count: int) -> list[str]:
    return [COLOURS[number % len(COLOURS)] for number in range(count)]


def _panel(x: int, level: str) -> list[str]:
    """Frame, grid and labels of one level."""
    parts = [
        f'<text x="{x + SIDE / 2}" y="{TOP - 14}" text-anchor="middle" font-size="15">'
        f"{level}</text>",
        f'<text x="{x + SIDE / 2}" y="{TOP + SIDE + 34}" text-anchor="middle">recall</text>',
        f'<text x="{x - 34}" y="{TOP + SIDE / 2}" text-anchor="middle" '
        f'transform="rotate(-90 {x - 34} {TOP + SIDE / 2})">precision</text>',
    ]
    for tenth in range(0, 11, 2):
        part = tenth / 10
        at_x, at_y = x + part * SIDE, TOP + SIDE - part * SIDE
        parts.append(
            f'<path d="M{at_x} {TOP}v{SIDE}M{x} {at_y}h{SIDE}" stroke="#ddd" fill="none"/>'
            f'<text x="{at_x}" y="{TOP + SIDE + 16}" text-anchor="middle">{part:.1f}</text>'
            f'<text x="{x - 6}" y="{at_y + 4}" text-anchor="end">{part:.1f}</text>'
        )
    return parts


def _line(x: int, curve: Curve, colour: str) -> str:
    """The curve at no more than 200 points, which is finer than what can be seen."""
    if not len(curve.recall):
        return ""
    chosen = np.unique(np.linspace(0, len(curve.recall) - 1, 200).astype(int))
    points = " ".join(
        f"{x + curve.recall[n] * SIDE:.1f},{TOP + SIDE - curve.precision[n] * SIDE:.1f}"
        for n in chosen
    )
    return f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="1.8"/>'
