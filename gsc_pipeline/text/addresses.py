"""Reads the host of an HTTP address, strictly: what libraries could read differently has no host."""

from __future__ import annotations

import re
from ipaddress import ip_address

_ADDRESS = re.compile(
    r"https?://([^/?#\s@\\]*@)?([\w.-]+|\[[\da-fA-F:.]+\])(:\d+)?([/?#][^\s\\]*)?", re.ASCII
)


def host_of(address: str) -> str:
    """The host of an http:// or https:// address, without brackets; empty if it is not such an address."""
    match = _ADDRESS.fullmatch(address)
    return match[2].strip("[]").lower() if match else ""


def is_loopback(address: str) -> bool:
    """Whether an HTTP address is one of this machine: 127.0.0.0/8, ::1 or localhost."""
    host = host_of(address)
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def is_private(address: str) -> bool:
    """Whether nobody else can read what is sent there: over https://, or on this machine."""
    return bool(host_of(address)) and (address.startswith("https://") or is_loopback(address))
