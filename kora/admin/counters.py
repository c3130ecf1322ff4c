"""What the API counts of itself; the counts outlive a restart of the actor that serves it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Counters:
    """Written by the server's thread alone; `stats` shows them under `admin`."""

    connections: int = 0
    connections_open: int = 0
    connections_refused: int = 0
    """for want of room"""
    peers_refused: int = 0
    """of another user"""
    requests: int = 0
    requests_late: int = 0
    """that had not arrived within `request_seconds`"""
    streams_open: int = 0
    clients_dropped: int = 0
    """that read nothing for `stall_seconds`"""
    items_left_out: int = 0
    """of streams, because they came faster than they are sent"""
    servers: int = 0
    """how often the actor has begun to serve"""
