"""The cache: bounded by weight, least recently used values removed first."""

from __future__ import annotations

from functools import partial

from gsc_pipeline.simulator.recent import Recent


def test_the_values_used_last_are_kept_up_to_the_limit() -> None:
    made: list[str] = []

    def make(text: str) -> str:
        made.append(text)
        return text

    recent: Recent[str] = Recent(6, len)
    for text in ("aaa", "bb", "aaa", "cc", "aaa", "bb"):
        assert recent.get(text, partial(make, text)) == text
    assert made == ["aaa", "bb", "cc", "bb"]


def test_a_value_heavier_than_the_limit_is_kept_until_the_next_one() -> None:
    recent: Recent[str] = Recent(2, len)
    assert recent.get(1, lambda: "heavy") == "heavy"
    assert recent.get(1, lambda: "new") == "heavy"
    recent.get(2, lambda: "x")
    assert recent.get(1, lambda: "new") == "new"


def test_after_clear_every_value_is_made_again() -> None:
    recent: Recent[int] = Recent(10, lambda value: 1)
    recent.get("key", lambda: 1)
    recent.clear()
    assert recent.get("key", lambda: 2) == 2
