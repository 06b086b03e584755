"""A sign of life after each good tick, for a service that raises an alarm when it stays away.

Belongs here: the call. Does not: when a tick was good, alerts about what is known to be wrong (`alerts`).
"""

from __future__ import annotations

import logging

import urllib3

log = logging.getLogger(__name__)

SECONDS = 10.0


def beat(url: str, *, timeout_seconds: float = SECONDS) -> bool:
    """Call `url` (a secret, GSC_HEARTBEAT_URL; empty means none) once; true where that was answered well.

    Never raises: a call that fails is logged, and the next tick calls again.
    """
    if not url:
        return False
    try:
        with urllib3.PoolManager(retries=False) as pool:
            answer = pool.request("GET", url, timeout=timeout_seconds, headers={"User-Agent": "gsc_pipeline"})
        problem = "" if answer.status < 400 else f"HTTP {answer.status}"
    # The error's own text holds the address, which is a secret.
    except (urllib3.exceptions.HTTPError, OSError, ValueError) as error:
        problem = type(error).__name__
    if problem:
        log.warning("the heartbeat to GSC_HEARTBEAT_URL failed (%s)", problem)
    return not problem
