"""The sections of INSIGHTS.md, each between the markers of its benchmark."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

RESULTS = Path(__file__).parents[1] / "INSIGHTS.md"


def with_section(text: str, name: str, section: str) -> str:
    """The text with the section of this name replaced, or added at the end."""
    marked = f"<!-- {name} -->\n{section.strip()}\n<!-- end -->"
    pattern = re.compile(rf"<!-- {re.escape(name)} -->\n.*?<!-- end -->", re.DOTALL)
    if pattern.search(text):
        return pattern.sub(lambda _: marked, text)
    return f"{text.rstrip()}\n\n{marked}\n"


def section_of(text: str, name: str) -> str:
    """The section of this name. Raises ValueError without one."""
    found = re.search(rf"<!-- {re.escape(name)} -->\n(.*?)\n<!-- end -->", text, re.DOTALL)
    if found is None:
        raise ValueError(f"no section is called {name}")
    return found[1]


def table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A table in Markdown."""
    lines = [columns, ["---"] * len(columns), *rows]
    return "".join(f"| {' | '.join(map(str, line))} |\n" for line in lines)


def percent(share: float) -> str:
    """0.953 as 95 %."""
    return f"{100 * share:.0f} %"
