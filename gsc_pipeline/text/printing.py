"""Escapes what would act on a terminal or hide in a log: control characters and directions of writing."""

from __future__ import annotations

import json
import re
import unicodedata

_JOINERS = "\u200c\u200d"
"""Invisible, but part of correctly written words and emoji."""

_ESCAPED = ("Cc", "Cf", "Cs", "Zl", "Zp")


def escaped(text: str, *, keep: str = "") -> str:
    r"""The text with control characters (C0, C1), bidirectional controls and invisible characters as `\x1b`.

    Characters in `keep`, such as a line break, stay as they are.
    """
    if text.isprintable():
        return text
    return "".join(ascii(char)[1:-1] if char not in keep and _acts(char) else char for char in text)


def json_line(value: object) -> str:
    """The value as JSON on one line, in readable Unicode. What JSON does not know is written as text."""
    line = json.dumps(value, default=str, ensure_ascii=False)
    return line if line.isprintable() else _UNPRINTABLE.sub(_json_escaped, line)


def _acts(char: str) -> bool:
    return unicodedata.category(char) in _ESCAPED and char not in _JOINERS


_UNPRINTABLE = re.compile(r"[^\x20-\x7e]")


def _json_escaped(match: re.Match[str]) -> str:
    return json.dumps(match[0])[1:-1] if _acts(match[0]) else match[0]
