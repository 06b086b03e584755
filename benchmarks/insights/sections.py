"""The sections of INSIGHTS.md, each between markers with the name of its benchmark."""

from __future__ import annotations

from pathlib import Path

RESULTS = Path(__file__).parent.parent / "INSIGHTS.md"

END = "<!-- end -->"


def with_section(text: str, name: str, section: str) -> str:
    """The text with this section in place of the earlier one, or at the end."""
    begin = f"<!-- {name} -->"
    before, found, rest = text.partition(begin)
    after = rest.partition(END)[2] if found else "\n"
    return f"{before if found else before.rstrip() + chr(10) * 2}{begin}\n{section.strip()}\n{END}{after}"
