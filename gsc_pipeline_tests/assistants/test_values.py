"""Values of results as JSON."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from gsc_pipeline.assistants.messages import Limits
from gsc_pipeline.assistants.values import Values


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, None),
        (True, True),
        (5, 5),
        (2**53 + 1, str(2**53 + 1)),
        (-(2**100), str(-(2**100))),
        (0.5, 0.5),
        (float("nan"), None),
        (float("-inf"), None),
        (Decimal("1.50"), 1.5),
        ("wool socks", "wool socks"),
        (b"\xff\x00", "ff00"),
        (date(2026, 11, 20), "2026-11-20"),
        (datetime(2026, 11, 20, tzinfo=UTC), "2026-11-20T00:00:00+00:00"),
        (time(10), "10:00:00"),
        (timedelta(days=1), "1 day, 0:00:00"),
        (UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        ([1, (2, None)], [1, [2, None]]),
        ({"a": date(2026, 1, 1), 5: [b"a"]}, {"a": "2026-01-01", "5": ["61"]}),
    ],
)
def test_a_value_is_json(value: Any, expected: Any) -> None:
    plain = Values(Limits()).plain(value)
    assert plain == expected
    json.dumps(plain)


def test_long_texts_lists_and_deep_values_are_cut_and_counted() -> None:
    values = Values(Limits(cell_characters=5, cell_items=2))
    deep: list[Any] = []
    for _ in range(50):
        deep = [deep]
    assert values.plain("123456789") == "12345…"
    assert values.plain([1, 2, 3]) == [1, 2]
    assert len(json.dumps(values.plain(deep))) < 50
    assert values.cut == 3


def test_rows_end_where_the_characters_end_and_one_row_always_comes() -> None:
    values = Values(Limits(characters=10))
    assert values.rows([("123456",), ("123456",), ("123456",)], 5) == ([["123456"], ["1234…"]], True)
    assert Values(Limits(characters=3)).rows([("123456",)], 5) == ([["123…"]], False)
