"""`metrics.md`: every metric, read from the modules that declare them.

The modules are found by name, not imported by hand: a service without metrics is no error, and a new one is
found by itself.
"""

from __future__ import annotations

import importlib
from pathlib import Path
from types import ModuleType

from prometheus_client.metrics import MetricWrapperBase

from cli.reference.markdown import code, document, table

_ROOT = Path(__file__).resolve().parents[2]

_INTRO = """Each service answers `/metrics` on its health port in the Prometheus text format.
Labels come from closed sets; there is never an id in one.
The bus is part of every service, so its metrics appear in all of them."""


def page() -> str:
    """The whole page."""
    sections = []
    for module in _modules():
        rows = [_row(metric) for metric in _declared(module)]
        owner = module.__name__.removesuffix(".metrics").split(".")[-1]
        body = table(("metric", "type", "labels", "meaning"), sorted(rows))
        sections.append(f"## {owner}\n\n{body}")
    return document("Metrics", _INTRO, sections)


def _modules() -> list[ModuleType]:
    files = sorted([*_ROOT.glob("services/*/metrics.py"), *_ROOT.glob("shared/**/metrics.py")])
    names = [".".join(path.relative_to(_ROOT).with_suffix("").parts) for path in files]
    return [importlib.import_module(name) for name in names]


def _declared(module: ModuleType) -> list[MetricWrapperBase]:
    return [each for each in vars(module).values() if isinstance(each, MetricWrapperBase)]


def _row(metric: MetricWrapperBase) -> tuple[str, ...]:
    described = next(iter(metric.describe()))
    suffix = "_total" if described.type == "counter" else ""
    # prometheus_client has no public way to a metric's label names.
    labels = ", ".join(code(label) for label in metric._labelnames)  # noqa: SLF001
    return (code(described.name + suffix), described.type, labels, described.documentation)
