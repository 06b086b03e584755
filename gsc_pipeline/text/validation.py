"""Errors of a configuration in words: one line for each, with the value and what is expected."""

from __future__ import annotations

import re
from collections.abc import Sequence

from pydantic_core import ErrorDetails


def describe(details: ErrorDetails, *, keys: Sequence[str] = (), confidential: bool = False) -> str:
    """A validation error in one line: path, value, what is expected.

    `keys` are the valid keys at that place. A `confidential` value is omitted.
    """
    steps = (f"[{step}]" if isinstance(step, int) else f".{step}" for step in details["loc"])
    path = "".join(steps).removeprefix(".")
    if details["type"] == "missing":
        return f"{path}: missing"
    if details["type"] in ("extra_forbidden", "invalid_key"):
        return f"{path}: unknown key, expected one of {', '.join(keys)}"
    # What is wrong in a mapping is named by its error.
    is_named = details["type"] == "value_error" and isinstance(details["input"], dict) and details["input"]
    value = "" if confidential or is_named else shown(details["input"])
    return ": ".join(part for part in (path, value, _expectation(details, keys)) if part)


def shown(value: object) -> str:
    """A value as an error line quotes it: short, without passwords and the content of mappings and lists."""
    match value:
        case None:
            return "empty"
        case bool():
            return str(value).lower()
        case dict():
            return "a mapping" if value else "an empty mapping"
        case list():
            return "a list" if value else "an empty list"
    text = re.sub(r"(?<=://)\S*@", "", repr(value) if isinstance(value, str) else str(value))
    return text if len(text) <= 60 else text[:57] + "..."


_EXPECTATIONS = {
    "bool_parsing": "true or false",
    "bool_type": "true or false",
    "finite_number": "a number",
    "float_parsing": "a number",
    "greater_than": "more than {gt:g}",
    "greater_than_equal": "{ge:g} or more",
    "int_parsing": "a whole number",
    "less_than_equal": "{le:g} or less",
    "list_type": "a list",
    "literal_error": "{expected}",
    "too_long": "at most {max_length}",
    "too_short": "at least one",
}


def _expectation(details: ErrorDetails, keys: Sequence[str]) -> str:
    context = details.get("ctx", {})
    match details["type"]:
        case "value_error":
            return str(context["error"])
        case "model_type":
            return f"expected a mapping with the {'key' if len(keys) == 1 else 'keys'} {', '.join(keys)}"
        case "string_type":
            return "expected text" if details["input"] is None else "expected text, in quotes"
    return "expected " + _EXPECTATIONS.get(details["type"], details["msg"]).format(**context)
