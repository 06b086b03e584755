"""What `make test` leaves to `make soak`."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis.strategies import SearchStrategy


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


def in_night(value: Any) -> Any:
    """The same, that only the whole of `make soak` tries, in the night. `.ci/run` leaves it out."""
    values = value if isinstance(value, tuple) else (value,)
    return pytest.param(*values, marks=[pytest.mark.soak, pytest.mark.slow])


def any_of(
    *, few: int, many: int, **arguments: SearchStrategy[Any]
) -> Callable[[Callable[..., None]], Callable[[int], None]]:
    """As hypothesis.given, with `few` examples in `make test` and `many` in `make soak`."""

    def decorate(test: Callable[..., None]) -> Callable[[int], None]:
        @pytest.mark.parametrize("examples", rest_in_soak([few, many]))
        def of_any(examples: int) -> None:
            settings(max_examples=examples)(given(**arguments)(test))()

        of_any.__name__, of_any.__doc__ = test.__name__, test.__doc__
        return of_any

    return decorate
