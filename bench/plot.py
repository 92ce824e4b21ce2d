"""Latency against load as an SVG, drawn by hand: two lines (p50, p99) for every kind of work. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import groupby

from bench.figures import Point

_WIDE, _HIGH, _LEFT, _TOP, _RIGHT, _BOTTOM = 860, 420, 70, 30, 250, 60
_HEAD = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {wide} {high}" '
    'font-family="sans-serif" font-size="12">'
)
_COLOURS = ("#1f6feb", "#d1242f", "#1a7f37", "#8250df", "#bf8700", "#57606a")


class _Frame:
    """Load to the right, milliseconds upwards by powers of ten."""

    def __init__(self, points: Sequence[Point]) -> None:
        self.most_load = max(point.load for point in points) * 1.05
        lowest = min(max(point.p50, 0.05) for point in points)
        highest = max(point.p99 for point in points)
        self.low = math.floor(math.log10(lowest))
        self.high = max(self.low + 1, math.ceil(math.log10(max(highest, 0.1))))

    def x(self, load: float) -> float:
        return _LEFT + load / self.most_load * (_WIDE - _LEFT - _RIGHT)

    def y(self, value_ms: float) -> float:
        part = (math.log10(max(value_ms, 10**self.low)) - self.low) / (self.high - self.low)
        return _HIGH - _BOTTOM - part * (_HIGH - _TOP - _BOTTOM)


def plot(points: Sequence[Point]) -> str:
    """The whole picture."""
    frame = _Frame(points)
    parts = [
        _HEAD.format(wide=_WIDE, high=_HIGH),
        f'<rect width="{_WIDE}" height="{_HIGH}" fill="#ffffff"/>',
        *_axes(frame),
    ]
    ordered = sorted(points, key=lambda point: (point.line, point.load))
    for number, (line, group) in enumerate(groupby(ordered, key=lambda point: point.line)):
        parts += _lines(frame, line, list(group), number)
    return "\n".join([*parts, "</svg>", ""])


def _axes(frame: _Frame) -> list[str]:
    right, bottom = _WIDE - _RIGHT, _HIGH - _BOTTOM
    parts = []
    for power in range(frame.low, frame.high + 1):
        y = frame.y(10.0**power)
        parts.append(f'<path d="M{_LEFT} {y:.1f}H{right}" stroke="#d0d7de"/>')
        label = f"{10.0**power:g} ms"
        parts.append(f'<text x="{_LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{label}</text>')
    for step in range(6):
        load = frame.most_load * step / 5
        x = frame.x(load)
        parts.append(f'<path d="M{x:.1f} {_TOP}V{bottom}" stroke="#eaeef2"/>')
        parts.append(f'<text x="{x:.1f}" y="{bottom + 18}" text-anchor="middle">{load:,.0f}</text>')
    middle = (_LEFT + right) / 2
    parts.append(
        f'<text x="{middle}" y="{_HIGH - 12}" text-anchor="middle">messages a second</text>'
    )
    return parts


def _lines(frame: _Frame, line: str, points: list[Point], number: int) -> list[str]:
    colour = _COLOURS[number % len(_COLOURS)]
    parts = []
    for which, dash in (("p50", ""), ("p99", ' stroke-dasharray="6 4"')):
        path = " ".join(
            f"{frame.x(point.load):.1f},{frame.y(getattr(point, which)):.1f}" for point in points
        )
        parts.append(
            f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"{dash}/>'
        )
        y = _TOP + 12 + 34 * number + (17 if which == "p99" else 0)
        x = _WIDE - _RIGHT + 14
        parts.append(f'<path d="M{x} {y - 4}h24" stroke="{colour}" stroke-width="2"{dash}/>')
        parts.append(f'<text x="{x + 30}" y="{y}">{line}, {which}</text>')
    return parts
