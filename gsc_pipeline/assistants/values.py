"""Values of results as JSON: numbers stay numbers, times are ISO texts, long values are cut."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any

from gsc_pipeline.assistants.messages import Limits

_EXACT = 2**53
"""Larger whole numbers are texts: many clients read JSON's numbers as floats."""

_DEEPEST = 6
"""Deeper lists and structures are cut."""

CUT = "…"
"""Ends a text that was cut."""


class Values:
    """Turns the rows of one result into JSON values. Counts the values it cut, and the characters left."""

    def __init__(self, limits: Limits) -> None:
        self.cut = 0
        self.characters_left = limits.characters
        self._limits = limits

    def rows(self, rows: Iterable[Sequence[Any]], most: int) -> tuple[list[list[Any]], bool]:
        """At most `most` rows, fewer if the characters run out, and whether there are more.

        Values of a single row are cut where the characters run out.
        """
        kept: list[list[Any]] = []
        for row in rows:
            if len(kept) == most or (kept and self.characters_left <= 0):
                return kept, True
            kept.append([self.plain(value) for value in row])
        return kept, False

    def plain(self, value: Any, depth: int = 0) -> Any:
        """The value as JSON types."""
        if value is None or isinstance(value, bool):
            self.characters_left -= 4
            return value
        if isinstance(value, int):
            self.characters_left -= 8
            return value if abs(value) <= _EXACT else str(value)
        if isinstance(value, float | Decimal):
            self.characters_left -= 16
            number = float(value)
            return number if math.isfinite(number) else None
        if isinstance(value, datetime | date | time):
            return self._text(value.isoformat())
        if isinstance(value, bytes | bytearray):
            return self._text(bytes(value[: self._limits.cell_characters]).hex())
        if isinstance(value, Mapping):
            return {self._text(str(k)): self.plain(v, depth + 1) for k, v in self._some(value.items(), depth)}
        if isinstance(value, list | tuple):
            return [self.plain(one, depth + 1) for one in self._some(value, depth)]
        return self._text(str(value))

    def _some(self, items: Iterable[Any], depth: int) -> list[Any]:
        listed = list(items)
        self.characters_left -= 2
        most = 0 if depth >= _DEEPEST or self.characters_left <= 0 else self._limits.cell_items
        self.cut += len(listed) > most
        return listed[:most]

    def _text(self, text: str) -> str:
        longest = min(self._limits.cell_characters, max(self.characters_left, 0))
        if len(text) > longest:
            self.cut += 1
            text = text[:longest] + CUT
        self.characters_left -= len(text)
        return text
