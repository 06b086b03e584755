"""Which workspaces a partial roll-out takes in.

Belongs here: the choice. Does not: what is rolled out (the schedules).
"""

from __future__ import annotations

import hashlib


def is_rolled_out(workspace_id: str, percent: float) -> bool:
    """Whether the workspace is among the first `percent` (0 to 100): none at 0, all at 100.

    It goes by the id alone, so the answer is the same on every machine and after every change of the list,
    and a higher percentage only adds workspaces.
    """
    digest = hashlib.sha256(f"auto_sync {workspace_id}".encode()).digest()
    return int.from_bytes(digest[:6], "big") / 2**48 * 100 < percent
