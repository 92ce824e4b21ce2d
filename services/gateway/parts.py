"""What the handlers of REST and WebSocket share; `app` makes it once and gives it to
`rest.routes.install(app, parts)` and to the sessions."""

from __future__ import annotations

import dataclasses

from services.gateway.access import Access
from services.gateway.admission import Admission
from services.gateway.asking import Asking
from services.gateway.conditions import Conditions
from services.gateway.config import GatewayConfig
from services.gateway.directory import LiveDirectory
from services.gateway.keyring import Keys
from services.gateway.limits import Limiter
from services.gateway.notes import Notes
from services.gateway.presence import Presence
from services.gateway.proxies import Proxies
from services.gateway.tokens import Tokens
from services.gateway.views import Views
from shared.bus import Bus
from shared.config import Shared
from shared.crypto import MasterKey
from shared.database import Pool


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Parts:
    """The gateway's insides. `name` is unique to this process for ever."""

    name: str
    shared: Shared
    config: GatewayConfig
    bus: Bus
    pool: Pool
    master: MasterKey
    keys: Keys
    directory: LiveDirectory
    asking: Asking
    access: Access
    admission: Admission
    tokens: Tokens
    views: Views
    conditions: Conditions
    presence: Presence
    limits: Limiter
    notes: Notes
    proxies: Proxies
