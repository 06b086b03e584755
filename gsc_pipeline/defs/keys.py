"""The keys of the project's assets. In a project with other assets a prefix keeps them apart."""

from __future__ import annotations

from dataclasses import dataclass

import dagster as dg


@dataclass(frozen=True, slots=True)
class AssetKeys:
    """An asset's key is its name after the prefix. Names are unique, so a key's last part is the name."""

    prefix: tuple[str, ...] = ()

    def of(self, name: str) -> dg.AssetKey:
        """The key of an asset."""
        return dg.AssetKey([*self.prefix, name])


AUTO_SYNC, CLIENT_REPORT, PORTAL = "auto_sync", "client_report", "portal"
"""The names of the assets that are not tables. The others have the names of their tables."""

PLAIN = AssetKeys()
"""The keys of the project's own code location: no prefix."""


def name_of(key: dg.AssetKey) -> str:
    """The name of one of the project's assets, without the prefix."""
    return key.path[-1]
