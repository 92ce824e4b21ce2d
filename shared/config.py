"""Settings of a service: read once from the environment, all faults reported together.

A service's settings are one frozen msgspec Struct; the field `ack_timeout_s` of service "gateway" is read from
`NIGHTDESK_GATEWAY_ACK_TIMEOUT_S`, a field of `Shared` from `NIGHTDESK_…`. A name ending in `_FILE` gives the value
in a file (secrets). Descriptions for the docs come from `Annotated[..., msgspec.Meta(description=…)]`.
"""

from __future__ import annotations

import difflib
import typing
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import msgspec

from shared.errors import Refused

S = TypeVar("S", bound=msgspec.Struct)
_REQUIRED = "(required)"
_NEAR = 0.85
_SERVICES = ("gateway", "presence", "store", "dispatcher", "notifier", "retention")
_OF_TOOLS = frozenset(
    {
        "NIGHTDESK_ADMIN_EMAIL",
        "NIGHTDESK_BENCH_DIR",
        "NIGHTDESK_CLOCK_OFFSET_FILE",
        "NIGHTDESK_CRASH_POINT",
        "NIGHTDESK_GATEWAY_URL",
        "NIGHTDESK_NATS_BIN",
        "NIGHTDESK_PG_BIN",
        "NIGHTDESK_PLANTED_BUG",
        "NIGHTDESK_PROVE_KEEP",
        "NIGHTDESK_RUN_DIR",
        "NIGHTDESK_TEST_WORKERS",
        "NIGHTDESK_WS_URL",
    }
)
"""What is read elsewhere, and may stand in the same environment."""


def _d(text: str) -> msgspec.Meta:
    return msgspec.Meta(description=text)


class Shared(msgspec.Struct, frozen=True, kw_only=True):
    """Settings that every service reads."""

    nats_url: Annotated[
        str,
        msgspec.Meta(
            pattern="^(nats|tls)://[^/]", description="nats:// or tls:// address of the log"
        ),
    ]
    database_url: Annotated[
        str,
        msgspec.Meta(
            pattern="^postgres(ql)?://", description="postgresql:// address, with its password"
        ),
    ]
    master_key_file: Annotated[str, _d("file with the 64 hex digits of the master key")]
    nats_monitor_url: Annotated[
        str,
        msgspec.Meta(
            pattern="^(https?://[^/].*)?$",
            description="http:// monitoring addresses of all nats-servers, separated by commas:"
            " how sync_interval is checked",
        ),
    ] = ""
    mode: Annotated[
        Literal["development", "production"],
        _d("development warns where production refuses"),
    ] = "production"
    shard: Annotated[
        str, msgspec.Meta(pattern="^[0-9a-z]{1,16}$", description="the shard served")
    ] = "0"
    replicas: Annotated[int, msgspec.Meta(ge=1, le=5, description="replicas of the log stream")] = 1
    stream_max_bytes: Annotated[
        int, msgspec.Meta(ge=16_777_216, description="size limit of the log stream")
    ] = 8_589_934_592
    alert_wait_s: Annotated[
        float,
        msgspec.Meta(
            gt=0,
            le=3600,
            description="a device that was told to alert and acknowledges nothing this long loses the lock",
        ),
    ] = 5.0
    log_format: Annotated[Literal["json", "pretty"], _d("how logs are written to stdout")] = "json"
    log_level: Annotated[Literal["debug", "info", "warning", "error"], _d("least level")] = "info"


def variable_of(service: str, field: str) -> str:
    """The environment variable of a setting; service "" is `Shared`."""
    return "_".join(x for x in ("NIGHTDESK", service.upper(), field.upper()) if x)


def load(environ: Mapping[str, str], kind: type[S], *, service: str = "") -> S:
    """Read settings. Raises `Refused` that names every faulty variable, one a line."""
    values, faults = _read(environ, kind, service)
    faults += _faulty(values, kind, service)
    if faults:
        raise Refused("\n".join(faults), code="bad_config")
    return msgspec.convert(values, kind, strict=False)


def check_all(
    environ: Mapping[str, str], kinds: Sequence[type[msgspec.Struct]], *, service: str
) -> None:
    """Raises `Refused` with the faults of the shared settings and of all the service's in one report."""
    faults: list[str] = []
    everything: list[tuple[type[msgspec.Struct], str]] = [(Shared, "")]
    for kind, of in [*everything, *((kind, service) for kind in kinds)]:
        try:
            load(environ, kind, service=of)
        except Refused as err:
            faults.append(err.message)
    if faults:
        raise Refused("\n".join(faults), code="bad_config")


def unknown(
    environ: Mapping[str, str], kinds: Sequence[type[msgspec.Struct]], *, service: str
) -> list[tuple[str, str]]:
    """Variables that look as if they were meant for this service and are read by nobody, each with the nearest name
    that is ("" if none is near). `kinds`: the service's own settings, beside `Shared`."""
    fields = [(service, f.name) for kind in kinds for f in msgspec.structs.fields(kind)]
    fields += [("", f.name) for f in msgspec.structs.fields(Shared)]
    known = {variable_of(of, name) for of, name in fields}
    known |= {f"{name}_FILE" for name in known}
    others = tuple(f"{variable_of(name, '')}_" for name in _SERVICES if name != service)
    found = []
    for name in sorted(environ):
        is_read = name in known or name in _OF_TOOLS or name.endswith("_PASSWORD")
        if not name.startswith("NIGHTDESK_") or is_read or name.startswith(others):
            continue
        near = difflib.get_close_matches(name, known, n=1, cutoff=_NEAR)
        if near or name.startswith(f"{variable_of(service, '')}_"):
            found.append((name, near[0] if near else ""))
    return found


def _read(
    environ: Mapping[str, str], kind: type[msgspec.Struct], service: str
) -> tuple[dict[str, str], list[str]]:
    values: dict[str, str] = {}
    faults: list[str] = []
    for field in msgspec.structs.fields(kind):
        name = variable_of(service, field.name)
        if name in environ:
            values[field.name] = environ[name]
        elif f"{name}_FILE" in environ:
            try:
                text = Path(environ[f"{name}_FILE"]).read_text(encoding="utf-8")
                values[field.name] = text.strip()
            except OSError as err:
                faults.append(f"{name}_FILE: cannot be read ({err.strerror})")
        elif field.required:
            faults.append(f"{name}: not set")
    return values, faults


def _faulty(values: dict[str, str], kind: type[msgspec.Struct], service: str) -> list[str]:
    faults = []
    hints = typing.get_type_hints(kind, include_extras=True)
    for name, text in values.items():
        try:
            msgspec.convert(text, hints[name], strict=False)
        except msgspec.ValidationError as err:
            faults.append(f"{variable_of(service, name)}: {err}")
    return faults


def table(kind: type[msgspec.Struct], *, service: str = "") -> list[tuple[str, str, str, str]]:
    """Rows (variable, type, default, description) for the docs; `--print-config` and the generator use it."""
    rows = []
    hints = typing.get_type_hints(kind, include_extras=True)
    for field in msgspec.structs.fields(kind):
        hint = hints[field.name]
        texts = [m.description for m in getattr(hint, "__metadata__", ()) if m.description]
        default = _REQUIRED if field.required else str(_default(field))
        rows.append((variable_of(service, field.name), _type_name(hint), default, " ".join(texts)))
    return rows


def _default(field: msgspec.structs.FieldInfo) -> Any:
    if field.default is not msgspec.NODEFAULT:
        return field.default
    factory: Any = field.default_factory
    return factory()


def _type_name(hint: Any) -> str:
    inner = typing.get_args(hint)[0] if hasattr(hint, "__metadata__") else hint
    if typing.get_origin(inner) is Literal:
        return " or ".join(str(x) for x in typing.get_args(inner))
    return getattr(inner, "__name__", str(inner))
