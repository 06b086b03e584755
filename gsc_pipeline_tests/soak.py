"""What `make test` leaves to `make soak`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest


def rest_in_soak(values: Iterable[Any], *, first: int = 1) -> list[Any]:
    """The values of a parameter, of which `make test` tries the `first` ones and `make soak` the others.

    With several such parameters, `make test` tries the combinations of first ones only.
    """
    every = list(values)
    return [*every[:first], *map(in_soak, every[first:])]


def in_soak(value: Any) -> Any:
    """A value of a parameter, or a tuple of values of several, that only `make soak` tries."""
    values = value if isinstance(value, tuple) else (value,)
    return pytest.param(*values, marks=pytest.mark.soak)
