"""Settings of the memory of Arrow and Delta, which they read when they are imported."""

from __future__ import annotations

import os

VARIABLES = {
    # `prepare_arrow` says why.
    "ARROW_DEFAULT_MEMORY_POOL": "system",
    # Delta's allocator otherwise keeps what it freed: after a day of a million rows, a hundred megabytes.
    "_RJEM_MALLOC_CONF": "dirty_decay_ms:100,muzzy_decay_ms:0",
}


def limit_memory() -> None:
    """Set VARIABLES in the environment, unless they are set. Call it before Arrow and Delta are imported."""
    for name, value in VARIABLES.items():
        os.environ.setdefault(name, value)
