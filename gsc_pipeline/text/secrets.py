"""Masks secrets in text: by the values that this process uses, and by the forms that Google issues.

A value is also found when it is cut, broken into lines, percent-encoded, escaped as in JSON or HTML, or in
base64. All functions take linear time.
"""

from __future__ import annotations

import base64
import logging
import re
import threading
import traceback
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any
from urllib.parse import unquote

MASK = "[secret]"

SHORTEST = 12
"""A prefix of a secret is masked from this many characters on."""

SHORTEST_PASSWORD = 6
"""Passwords from this length to SHORTEST are masked as whole words, shorter ones not at all."""

MOST_KEPT = 1_000
"""Secrets that are kept; the oldest are dropped first. A key takes about 50 KB."""

_STEP = 8
"""Each secret is indexed at every so many characters, so a part of SHORTEST + _STEP is always found."""

Span = tuple[int, int]


class Secrets:
    """Secrets by value. Thread-safe."""

    def __init__(self, most: int = MOST_KEPT) -> None:
        self._most = most
        self._lock = threading.Lock()
        self._kept: dict[str, None] = {}
        self._words: dict[str, None] = {}
        self._index: dict[str, tuple[str, int]] = {}

    def keep(self, value: str) -> None:
        """Mask this value from now on, unless it is shorter than SHORTEST."""
        plain = _Plain(value).text
        if len(plain) < SHORTEST or plain in self._kept:
            return
        with self._lock:
            self._kept[plain] = None
            for offset in range(0, len(plain) - SHORTEST + 1, _STEP):
                self._index.setdefault(plain[offset : offset + SHORTEST], (plain, offset))
            if len(self._kept) > self._most:
                self._drop(next(iter(self._kept)))

    def keep_password(self, value: str) -> None:
        """Mask this value from now on, unless it is shorter than SHORTEST_PASSWORD."""
        if len(value) >= SHORTEST_PASSWORD:
            self._words[value] = None
        self.keep(value)

    def masked(self, text: str) -> str:
        """The text with MASK in place of every secret."""
        for word in sorted(self._words, key=len, reverse=True):
            if word in text:
                text = re.sub(rf"(?<!\w){re.escape(word)}(?!\w)", MASK, text)
        if not self._kept:
            return text
        pieces: list[str] = []
        end = 0
        for start, stop in self._spans(text):
            pieces += [text[end:start], "" if pieces and start == end else MASK]
            end = stop
        return "".join([*pieces, text[end:]])

    def _drop(self, plain: str) -> None:
        del self._kept[plain]
        for offset in range(0, len(plain) - SHORTEST + 1, _STEP):
            gram = plain[offset : offset + SHORTEST]
            # Secrets can share a part, which only one of them has in the index.
            if self._index.get(gram, ("", 0))[0] is plain:
                del self._index[gram]

    def _spans(self, text: str) -> list[Span]:
        """Where secrets are, as written or as base64. The spans are in order and do not overlap."""
        plain = _Plain(text)
        found = [*self._found(plain.text), *self._found_encoded(plain.text)]
        merged: list[Span] = []
        for start, stop in sorted(plain.span(one) for one in found):
            if merged and start <= merged[-1][1]:
                merged[-1] = (merged[-1][0], max(stop, merged[-1][1]))
            else:
                merged.append((start, stop))
        return merged

    def _found(self, plain: str) -> Iterator[Span]:
        end = 0
        for start in range(len(plain) - SHORTEST + 1):
            hit = self._index.get(plain[start : start + SHORTEST])
            if hit is None:
                continue
            secret, offset = hit
            first, stop = start, max(end, start + SHORTEST)
            here = offset - start
            while first > max(end, -here) and secret[here + first - 1] == plain[first - 1]:
                first -= 1
            while stop < min(len(plain), len(secret) - here) and secret[here + stop] == plain[stop]:
                stop += 1
            yield first, stop
            end = stop

    def _found_encoded(self, plain: str) -> Iterator[Span]:
        """Secrets in base64. The first character of four is unknown, so all four are tried."""
        for run in _BASE64.finditer(plain):
            for start in range(run.start(), run.start() + 4):
                whole = (run.end() - start) // 4 * 4
                decoded = base64.urlsafe_b64decode(plain[start : start + whole]).decode("latin-1")
                if not _READABLE.search(decoded):
                    continue
                inner = _Plain(decoded)
                for first, stop in (inner.span(one) for one in self._found(inner.text)):
                    yield start + first * 4 // 3, min(start + -(-stop * 4 // 3), run.end())


_BASE64 = re.compile(rf"[A-Za-z0-9_-]{{{SHORTEST * 4 // 3},}}")
_READABLE = re.compile(rf"[\s!-~]{{{SHORTEST}}}")
_ALPHABET = str.maketrans("+/", "-_")
_UNIT = re.compile(
    r"(?P<run>[!-$'-\[\]-~]+)"
    r"|%(?:25)*+(?P<percent>[0-9A-Fa-f]{2})?"
    r"|\\++(?:u(?P<u>[0-9A-Fa-f]{4})|x(?P<x>[0-9A-Fa-f]{2})|(?P<control>[nrtbfv]))?"
    r"|&(?:\#(?:[xX](?P<hex>[0-9A-Fa-f]{1,5})|(?P<decimal>[0-9]{1,6}));)?"
    r"|(?P<other>.)",
    re.DOTALL,
)
"""A part of a text that stands for itself, or for one character, or for nothing."""


class _Plain:
    """A text without white space, with escapes decoded, and where each character of it was.

    Both alphabets of base64 become one.
    """

    def __init__(self, text: str) -> None:
        parts: list[str] = []
        self._starts: list[int] = []
        self._ends: list[int] = []
        for unit in _UNIT.finditer(text):
            start, end = unit.span()
            if unit["run"]:
                parts.append(unit["run"])
                self._starts += range(start, end)
                self._ends += range(start + 1, end + 1)
            elif (char := _decoded(unit)).isprintable() and char.strip():
                parts.append(char)
                self._starts.append(start)
                self._ends.append(end)
        self.text = "".join(parts).translate(_ALPHABET)

    def span(self, plain: Span) -> Span:
        """The span of the original for a span of the plain text."""
        return self._starts[plain[0]], self._ends[plain[1] - 1]


def _decoded(unit: re.Match[str]) -> str:
    if unit["decimal"]:
        return chr(int(unit["decimal"]))
    if digits := unit["percent"] or unit["u"] or unit["x"] or unit["hex"]:
        return chr(int(digits, 16))
    if unit["control"]:
        return ""
    return unit["other"] or unit[0][0].replace("\\", "")


_IN_USE = Secrets()


def keep(*values: str) -> None:
    """Mask these keys and tokens from now on, in `masked` and in the log records of this process."""
    _mask_log_records()
    for value in values:
        _IN_USE.keep(value)


def keep_passwords(address: str) -> None:
    """Mask the passwords in an address from now on: of `user:password@` and of its query."""
    _mask_log_records()
    for value in _PASSWORDS.findall(address):
        _IN_USE.keep_password(value)
        _IN_USE.keep_password(unquote(value))


def keep_address(address: str) -> None:
    """Mask the passwords in an address from now on, and every part of it with digits and letters."""
    keep_passwords(address)
    for part in re.split(r"[/?#&=:@]", address):
        if "." not in part and re.search(r"\d", part) and re.search(r"[A-Za-z]", part):
            _IN_USE.keep_password(part)


def masked(text: str) -> str:
    """The text with all secrets masked, and its addresses without users and passwords."""
    by_value = _LOGIN.sub("", _IN_USE.masked(text))
    signed_masked = _SIGNED.sub(lambda match: MASK if match[1] else match[0], by_value)
    return _FORMS.sub(MASK, signed_masked)


_PASSWORDS = re.compile(r"(?:(?<=//)[^/?#\s:@]*:|[?&]\w*password=)([^/?#&\s@]+)")
# Our own error about GSC_STATE shows the form of such an address.
_LOGIN = re.compile(
    r"(?<=://)(?!user:password@)[^/?#\s:@]*:[^/?#\s]*@|((?<=https://)|(?<=http://))[^/?#\s]*@"
)
_SIGNED = re.compile(r"eyJ[\w-]++(\.[\w.-]+)?")
_FORMS = re.compile(
    r"(?i:bearer)\s++\S+|ya29\.[\w.-]+|1//[\w-]+|GOCSPX-[\w-]+|(?s:-----BEGIN.*?(-----END[^-]*-----|$))"
)
"""Signed assertions, access and refresh tokens, client secrets and keys, in the forms that Google issues."""


@cache
def _mask_log_records() -> None:
    """Mask all log records of this process, other libraries' too, before any handler gets them."""
    logging.setLogRecordFactory(_masking(logging.getLogRecordFactory()))


def _masking(make: Callable[..., logging.LogRecord]) -> Callable[..., logging.LogRecord]:
    def make_masked(*args: Any, **kwargs: Any) -> logging.LogRecord:
        record = make(*args, **kwargs)
        try:
            message = record.getMessage()
        # A mistake in a library's log call. The handlers report it.
        except Exception:  # noqa: BLE001
            return record
        if (text := masked(message)) != message:
            record.msg, record.args = text, None
        if record.exc_info and record.exc_info[0]:
            # Formatters print this instead of the exception.
            record.exc_text = masked("".join(traceback.format_exception(*record.exc_info)).rstrip("\n"))
        return record

    return make_masked
