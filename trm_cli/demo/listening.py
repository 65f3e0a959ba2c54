"""A socket that listens, made before the server starts, so that the port is known and a busy one is told."""

from __future__ import annotations

import socket


def listen(host: str, port: int) -> socket.socket:
    """Listen on a TCP port; 0 takes one that is free. Raises OSError."""
    family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen()
    except OSError:
        listener.close()
        raise
    return listener
