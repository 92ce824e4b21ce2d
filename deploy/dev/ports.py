"""Free loopback ports, chosen below the range from which the kernel serves outgoing connections.

A port of that range could be taken between our look and the server's bind by any client.
"""

from __future__ import annotations

import random
import socket

LOOPBACK = "127.0.0.1"
_LOWEST = 18_000
_HIGHEST = 32_000
_TRIES = 200


def is_free(port: int) -> bool:
    """Whether a server could listen on this loopback port now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
        return True


def free_port(preferred: int | None = None) -> int:
    """The preferred port if it is free (so addresses stay the same over restarts), else another."""
    if preferred and is_free(preferred):
        return preferred
    chance = random.SystemRandom()
    for _ in range(_TRIES):
        port = chance.randrange(_LOWEST, _HIGHEST)
        if is_free(port):
            return port
    raise OSError(f"no free loopback port between {_LOWEST} and {_HIGHEST}")
