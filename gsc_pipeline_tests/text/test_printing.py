"""What is printed cannot act on a terminal."""

from __future__ import annotations

import json

import pytest

from gsc_pipeline.text.printing import escaped, json_line

ACTING = [
    "\x1b",
    "\x07",
    "\x00",
    "\x7f",
    "\x9b",
    "\r",
    "\u202e",
    "\u2066",
    "\u061c",
    "\u2028",
    "\ufeff",
    "\U000e0041",
]


@pytest.mark.parametrize("char", ACTING)
def test_what_acts_on_a_terminal_or_is_invisible_is_escaped(char: str) -> None:
    assert escaped(f"a{char}b") == "a" + ascii(char)[1:-1] + "b"
    line = json_line({"a": f"b{char}c"})
    assert char not in line
    assert json.loads(line) == {"a": f"b{char}c"}


@pytest.mark.parametrize(
    "text", ["rote schuhe 👟", "靴\u3000赤", "می\u200cخواهم", "👩\u200d💻", "caf\u00e9\u00a0noir"]
)
def test_words_of_all_languages_stay_as_they_are(text: str) -> None:
    assert escaped(text) == text
    assert json_line([text]) == json.dumps([text], ensure_ascii=False)


def test_line_breaks_are_kept_on_request() -> None:
    assert escaped("a\nb\x1b") == r"a\nb\x1b"
    assert escaped("a\nb\x1b", keep="\n") == "a\nb\\x1b"
