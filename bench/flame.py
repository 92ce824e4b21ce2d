"""Flame graphs of the hot processes while they do a figure's work: `FLAME=1 make bench ONLY=B1`.

py-spy looks at each process a few hundred times a second from outside; what it saw is drawn here, without what took
less than half a percent, so that a picture stays small enough to be read and kept."""

from __future__ import annotations

import html
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from bench.site import Site

_RATE = 250
_LEAST = 0.005
_WIDE, _ROW, _CHAR = 1200, 17, 6.6
_END_S = 30.0
_FRAME = (
    '<g><title>{full} {share:.1%}</title><rect x="{x:.1f}" y="{y}" width="{wide:.1f}" height="{row}"'
    ' fill="hsl({hue},75%,{light}%)" stroke="#fff" stroke-width=".5"/>'
    '<text x="{text:.1f}" y="{base}">{name}</text></g>'
)


class _Node:
    """A function as called from what lies below it."""

    __slots__ = ("calls", "count")

    def __init__(self) -> None:
        self.count = 0
        self.calls: dict[str, _Node] = {}


def is_wanted() -> bool:
    """Whether FLAME is set."""
    return bool(os.environ.get("FLAME"))


@contextmanager
def recording(site: Site, figure: str, services: Sequence[str], into: Path) -> Iterator[None]:
    """While the block runs these services are looked at; afterwards `flame-<figure>-<service>.svg` lie in `into`."""
    with tempfile.TemporaryDirectory() as name:
        started = [(service, _start(site, service, Path(name))) for service in services]
        try:
            yield
        finally:
            for _, process in started:
                process.send_signal(signal.SIGINT)
            for _, process in started:
                process.wait(timeout=_END_S)
        into.mkdir(exist_ok=True)
        for service, _ in started:
            text = (Path(name) / service).read_text(encoding="utf-8")
            path = into / f"flame-{figure}-{service}.svg"
            path.write_text(draw(text, f"{figure}, {service}"), encoding="utf-8")


def _start(site: Site, service: str, directory: Path) -> subprocess.Popen[bytes]:
    spy = Path(sys.executable).parent / "py-spy"
    if not spy.exists():
        raise RuntimeError("py-spy is missing: install requirements-dev.txt")
    pid = site.stack.services[service].pid
    return subprocess.Popen(
        [spy, "record", "-f", "raw", "-r", str(_RATE), "-o", directory / service, "-p", str(pid)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def draw(stacks: str, title: str) -> str:
    """Collapsed stacks (`a;b;c 12`, a line each) as a picture."""
    root = _Node()
    for line in stacks.splitlines():
        path, _, count = line.rpartition(" ")
        _add(root, path.split(";"), int(count))
    parts = list(_boxes(root, "", 0, 0.0, root.count or 1))
    high = (max((depth for depth, _ in parts), default=0) + 3) * _ROW
    boxes = "\n".join(text for _, text in parts)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDE} {high}" '
        'font-family="monospace" font-size="11">\n'
        f'<rect width="{_WIDE}" height="{high}" fill="#fff"/>\n'
        f'<text x="6" y="14">{html.escape(title)}: wide is where the time goes, callers above</text>\n'
        f"{boxes}\n</svg>\n"
    )


def _add(root: _Node, path: Sequence[str], count: int) -> None:
    node = root
    node.count += count
    for name in path:
        node = node.calls.setdefault(_short(name), _Node())
        node.count += count


def _short(frame: str) -> str:
    """`function (path/to/file.py:12)` as `function file`, so that lines of one function are one box."""
    name, _, place = frame.partition(" (")
    file = place.rpartition("/")[2].partition(":")[0].removesuffix(")").removesuffix(".py")
    return f"{name} {file}".strip()


def _boxes(node: _Node, name: str, depth: int, x: float, total: int) -> Iterator[tuple[int, str]]:
    share = node.count / total
    wide = share * _WIDE
    if name:
        y = depth * _ROW
        shown = name[: int(wide / _CHAR)] if wide > 4 * _CHAR else ""
        yield (
            depth,
            _FRAME.format(
                full=html.escape(name),
                share=share,
                x=x,
                y=y + 4,
                wide=wide,
                row=_ROW,
                hue=sum(map(ord, name.partition(" ")[2])) % 60,
                light=55 + sum(map(ord, name)) % 20,
                text=x + 2,
                base=y + 16,
                name=html.escape(shown),
            ),
        )
    for called, inner in sorted(node.calls.items(), key=lambda item: -item[1].count):
        if inner.count / total >= _LEAST:
            yield from _boxes(inner, called, depth + 1, x, total)
        x += inner.count / total * _WIDE
