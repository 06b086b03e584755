"""The rules of canonical queries in Python, word by word, to compare DuckDB's answers with."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

from gsc_pipeline.lake.canonical import COMPOUNDS, NO_PLURALS, ORDERED

_SIGNS = "=<>*^~&|+"
_CURRENCIES = "$£¥₩€₹₺₽"
_PLAIN = {
    "ä": "ae", "ö": "oe", "ü": "ue", "ß": "ss", "æ": "ae", "œ": "oe", "ø": "o", "ł": "l", "đ": "d", "ı": "i",
    "ς": "σ", "ё": "е", "ǽ": "ae", "ǣ": "ae", "ǿ": "o",
}  # fmt: skip
_SEPARATING = (
    (0xA0, 0xA9), (0xAB, 0xAC), (0xAE, 0xB1), (0xB4, 0xB4), (0xB6, 0xB8), (0xBB, 0xBB), (0xBF, 0xBF),
    (0xD7, 0xD7), (0xF7, 0xF7), (0x55A, 0x55F), (0x589, 0x58A), (0x5BE, 0x5BE), (0x60C, 0x60C),
    (0x61B, 0x61B), (0x61F, 0x61F), (0x66A, 0x66D), (0x6D4, 0x6D4), (0x964, 0x965), (0x1680, 0x1680),
    (0x2000, 0x206F), (0x20A0, 0x20CF), (0x2122, 0x2122), (0x2190, 0x22FF), (0x2E00, 0x2E7F),
    (0x3000, 0x3003), (0x3008, 0x3011), (0x3014, 0x301F), (0x3030, 0x3030), (0x30FB, 0x30FB),
    (0xFE10, 0xFE19), (0xFE30, 0xFE52), (0xFE54, 0xFE6B), (0xFF5F, 0xFF65),
)  # fmt: skip
_BARE = ((0, 0x19F), (0x1A2, 0x1AE), (0x1B1, 0x3FF), (0x1E00, 0x1E9F), (0x1F00, 0x1FFF), *_SEPARATING)


_LETTER = "A-Za-z" + "".join(
    f"{chr(last + 1)}-{chr(first - 1)}"
    for (_, last), (first, _) in zip(_SEPARATING, [*_SEPARATING[1:], (0x110000, 0)], strict=True)
    if last + 1 < first
)


def canonical(query: str) -> str:
    """The canonical form of the query."""
    words = [_singular(word) for word in _joined(_words(_spaced(_letters(query))))]
    has_order = any(word in ORDERED for word in _words(_spaced(_letters(query))))
    numbers = sum(any(one in "0123456789" for one in word) for word in words)
    if not has_order and numbers < 2:
        words = _joined(sorted(words, key=lambda word: word.encode()))
    return " ".join(words) or query


def _within(letter: str, ranges: tuple[tuple[int, int], ...]) -> bool:
    return any(first <= ord(letter) <= last for first, last in ranges)


def _is_digit(letter: str) -> bool:
    return "0" <= letter <= "9"


def _is_letter(letter: str) -> bool:
    if letter < "\xa0":
        return "a" <= letter <= "z" or "A" <= letter <= "Z"
    return not _within(letter, _SEPARATING)


def _lower(letter: str) -> str:
    small = letter.lower()
    # The one letter that Python lowers to two.
    return small if len(small) == 1 else small[0]


def _letters(query: str) -> str:
    if query.isascii():
        return query.lower()
    seen = "".join(
        chr(ord(one) - 0xFEE0) if 0xFF01 <= ord(one) <= 0xFF5E else one
        for one in query.replace("\0", " ")
        if not _within(
            one, ((0xAD, 0xAD), (0x200B, 0x200F), (0x202A, 0x202E), (0x2060, 0x2064), (0xFE00, 0xFE0F),
                  (0xFEFF, 0xFEFF))
        )
    )  # fmt: skip
    seen = "".join(map(_lower, unicodedata.normalize("NFC", seen)))
    seen = "".join("-" if _within(one, ((0x2010, 0x2015),)) or one in "−﹘﹣" else one for one in seen)
    seen = "".join("'" if one in "`´ʼ‘’‛′" else "x" if one == "×" else one for one in seen)
    seen = "".join(_plain(seen))
    if not all(_within(one, _BARE) for one in seen):
        return unicodedata.normalize("NFC", seen)
    apart = unicodedata.normalize("NFD", seen)
    return unicodedata.normalize("NFC", "".join(one for one in apart if unicodedata.category(one)[0] != "M"))


def _plain(text: str) -> Iterator[str]:
    """The text with the letters of _PLAIN replaced, and without the accents that follow these."""
    is_replaced = False
    for one in text:
        is_replaced = one in _PLAIN or (is_replaced and unicodedata.category(one)[0] == "M")
        if one in _PLAIN or not is_replaced:
            yield _PLAIN.get(one, one)


def _spaced(text: str) -> str:
    """Spaces around the signs that are no part of a word where they are."""
    text = re.sub(r"https?://|\bwww\.", " ", text, flags=re.ASCII)
    text = re.sub(r"([a-z])'([st])\b", r"\1\2", text, flags=re.ASCII)
    text = re.sub(r",(?=[0-9])", ".", text)
    text = _without("([{letter}])[.]+", text)
    text = _without("([0-9])[.]+(?=[{letter}])", text)
    text = re.sub(r"[.][.]+", " ", text)
    text = re.sub(r"(?<=[^ \t\n\r])-+", " ", text)
    text = _without("()[+#]+(?=[{letter}])", text)
    return re.sub(r"(?<=[0-9])[ \t\n\r]+(?=%)", "", text)


def _without(pattern: str, text: str) -> str:
    """A space for each match, after its first group."""
    return re.sub(pattern.replace("{letter}", _LETTER), r"\1 ", text)


_MIXED = re.compile(
    r"(?:[a-z][0-9]+(?:[a-z][0-9]+)*[a-z]?\b\+*|[0-9]+[a-z](?:[0-9]+[a-z])*[0-9]*\b)", re.ASCII
)
_NUMBER = re.compile(r"-?\.?[0-9]+(?:[./:*+=^<>][0-9]+)*(?:%|\++)?")
_SIGN = re.compile(r"[!-]?[=<>*^~&|+]{2,}|[!-][=>]|[=<>*^~]")


def _words(text: str) -> list[str]:
    found, place = [], 0
    while place < len(text):
        word = _word_at(text, place)
        if word:
            found.append(word)
        place += len(word) or 1
    return found


def _word_at(text: str, place: int) -> str:
    for pattern in (_MIXED, _NUMBER):
        if match := pattern.match(text, place):
            return match[0]
    end = place + (text[place] in "-.")
    letters = end
    while end < len(text) and _is_letter(text[end]):
        end += 1
    if end > letters:
        while end < len(text) and text[end] in "+#":
            end += 1
        return text[place:end]
    if text[place] in _CURRENCIES:
        return text[place]
    match = _SIGN.match(text, place)
    return match[0] if match else ""


def _joined(words: list[str]) -> list[str]:
    made: list[str] = []
    for word in words:
        rest = [one[1:] for one in COMPOUNDS if made and made[-1] == one[0]]
        if rest and word.startswith(rest[0]):
            made[-1] += word
        else:
            made.append(word)
    return made


def _singular(word: str) -> str:
    if not re.fullmatch("[a-z]+", word) or word in NO_PLURALS:
        return word
    for ending in ("s", "es", "e", ""):
        stem = word.removesuffix("x" + ending)
        if stem != word and (stem.endswith("eau") or (stem.endswith("eu") and len(stem) > 2)):
            return stem
    for ending in ("es", "e"):
        stem = word.removesuffix(ending)
        if stem != word and any(
            stem.endswith(last) and len(stem) > len(last)
            for last in ("ss", "x", "ch", "sh", "us", "ion", "idad", "dor")
        ):
            return stem
    stem = word.removesuffix("en")
    for last in ("ung", "heit", "keit", "schaft", "tion", "itat"):
        if stem != word and stem.endswith(last) and len(stem) >= len(last) + 3:
            return stem
    if word.endswith("s") and len(word) >= 4 and word[-2] not in "suic":
        word = word[:-1]
    stem = word.removesuffix("ie")
    least = 4 if stem.endswith(("l", "r")) else 3
    return stem + "y" if stem != word and len(stem) >= least else word
