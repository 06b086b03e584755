"""Calls that are given up, and circuits that they open."""

from __future__ import annotations

from datetime import date

import pytest

from gsc_pipeline.search_console.breakers import SharedBreaker
from gsc_pipeline.search_console.errors import ServiceUnavailableError
from gsc_pipeline.search_console.unanswered import CallId


def give_up(breaker: SharedBreaker, owner: str, request: str = "probe", day: date | None = None) -> None:
    """One call that fails and is not retried."""
    with pytest.raises(ServiceUnavailableError) as caught, breaker.guard(CallId(owner, request, day)):
        raise ServiceUnavailableError("Search Console answered 503")
    if caught.value.on_give_up:
        caught.value.on_give_up()


def open_circuit(breaker: SharedBreaker) -> None:
    """Give up one call for each of five properties."""
    for n in range(5):
        give_up(breaker, f"property {n}")
