"""Wrong answers made from true ones, as a broken server, a proxy or an attacker may send them.

`mutated` makes one, `effect` tells what may come of it. The judgement reads the answer in its own way, with
none of the project's code, so that a mistake there cannot hide behind the same one here.
"""

from __future__ import annotations

import gzip
import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from enum import Enum
from random import Random
from typing import Any, TypeGuard

import msgspec

from gsc_pipeline.simulator import Call, Reply

MOST_COUNT = 2**53
MOST_POSITION = 10_000


@dataclass(frozen=True)
class Mutation:
    """A wrong answer, and how it was made, for the message of a failing test."""

    how: str
    reply: Reply


class Effect(Enum):
    """What may come of an answer."""

    TOLD = "told"
    """It is refused, or equivalent to the true answer."""
    DOUBTED = "doubted"
    """It may be true by itself and contradicts another one: the day may be held in doubt."""
    QUIET = "quiet"
    """It may be true, and nothing contradicts it."""


def mutated(rng: Random, true: bytes) -> Mutation:
    """A wrong answer made from the body of a true one."""
    make = rng.choices([_tree, _bytes, _instead, _wire], [12, 5, 3, 2])[0]
    return make(rng, true)


class _Pairs(list[tuple[str, Any]]):
    """A JSON object as it is written: its fields in order, the same name more than once if need be."""


@dataclass(frozen=True)
class _Raw:
    """JSON, or text that resembles it."""

    text: str


_VALUES = [
    *("null", "true", "false", '""', '"text"', '"12"', "[]", "{}", "[[]]", "[null]", '["text"]', '{"a":1}'),
    *("0", "-0", "-1", "-0.5", "0.5", "1.5", "12.0000001", "10001", "1e-320", "9.2e18", "9007199254740993"),
    *("9223372036854775807", "9223372036854775808", "18446744073709551616", "1e300", "1e400", "-1e300"),
    *("NaN", "Infinity", "-Infinity", "nan", "0x10", "01", "1e", "'12'", "undefined", "9" * 400),
    *('"\\ud800"', '"\\u0000"', '"2026-02-30"', '"0001-01-01"', '"9999-12-31"', '"2026-11-19T00:00:00Z"'),
    *("[" * 3_000 + "]" * 3_000, '{"a":' * 3_000 + "1" + "}" * 3_000),
]
_ERROR = '{"error":{"code":403,"message":"Forbidden","errors":[{"reason":"forbidden"}]}}'
_INSTEAD = [
    *("", " ", "null", "[]", "{}", "true", "12", '"text"', "[{}]", "[null]", '{"rows":null}', '{"rows":{}}'),
    *(
        '{"rows":[null]}',
        '{"rows":[{}]}',
        '{"rows":[[]]}',
        '{"rows":"none"}',
        '{"error":null}',
        '{"error":{}}',
    ),
    *("<!DOCTYPE html><html><body>Sign in</body></html>", "<html>", "Service unavailable", _ERROR),
    *('{"error":"invalid_grant"}', '{"error":{"code":503,"status":"UNAVAILABLE"}}', '{"siteEntry":{}}'),
    *(
        '{"siteEntry":null}',
        '{"siteEntry":[null]}',
        '{"kind":"something#else"}',
        "\ufeff{}",
        "\x00",
        "{" * 10_000,
    ),
    *("[" * 100_000 + "]" * 100_000, '{"access_token":"","expires_in":3599}', '{"access_token":null}'),
    *('{"access_token":"x\\r\\ny: z","expires_in":-1}', '{"access_token":["a"]}', '{"expires_in":3599}'),
]


def _tree(rng: Random, true: bytes) -> Mutation:
    """One thing changed in the answer's tree."""
    root = json.loads(true, object_pairs_hook=_Pairs)
    parent = _somewhere(rng, root)
    at = rng.randrange(len(parent))
    is_object = isinstance(parent, _Pairs)
    name = parent[at][0] if is_object else f"element {at}"
    how = rng.choice(["other value", "other value", "dropped", "doubled", "error beside", "renamed", "added"])
    if how == "other value":
        value = _Raw(rng.choice(_VALUES))
        parent[at] = (name, value) if is_object else value
        how = f"{value.text[:30]} in the place of"
    elif how == "dropped":
        del parent[at]
    elif how == "doubled":
        again = parent[at] if not is_object or rng.random() < 0.5 else (name, _Raw(rng.choice(_VALUES)))
        parent.insert(rng.choice([at, at + 1, len(parent)]), again)
    elif how == "error beside":
        error = ("error", _Raw(rng.choice(['{"code":500}', "null", '"text"', "[]"])))
        parent.insert(at, error if is_object else _Raw(_ERROR))
    elif how == "renamed" and is_object:
        new = rng.choice([name.upper(), name + "s", name[:-1], ""])
        parent[at] = (new, parent[at][1])
        how = f"called {new!r} instead of"
    else:
        new_value = _Raw(rng.choice(_VALUES))
        parent.insert(at, ("somethingNew", new_value) if is_object else new_value)
        how = f"{new_value.text[:30]} added beside"
    return Mutation(f"{how} {name}", Reply(200, _dumped(root).encode("utf-8", "surrogatepass")))


def _somewhere(rng: Random, root: Any) -> Any:
    """An object or list of the tree that holds something; the deeper, the more often."""
    here = root
    while True:
        values = [value for _, value in here] if isinstance(here, _Pairs) else here
        inner = [value for value in values if isinstance(value, list) and value]
        if not inner or rng.random() < 0.25:
            return here
        here = rng.choice(inner)


def _dumped(node: Any) -> str:
    match node:
        case _Raw():
            return node.text
        case _Pairs():
            return "{" + ",".join(f"{json.dumps(name)}:{_dumped(value)}" for name, value in node) + "}"
        case list():
            return "[" + ",".join(_dumped(value) for value in node) + "]"
        case _:
            return json.dumps(node, ensure_ascii=False)


def _bytes(rng: Random, true: bytes) -> Mutation:
    """Bytes cut, flipped, left out, put in, twice, or in another encoding."""
    at = rng.randrange(len(true))
    end = min(len(true), at + rng.choice([1, 1, 2, 5, 20, 100]))
    flipped = bytearray(true)
    for _ in range(rng.choice([1, 1, 1, 3, 10])):
        flipped[rng.randrange(len(true))] ^= 1 << rng.randrange(8)
    ways: dict[str, Callable[[], bytes]] = {
        "cut after": lambda: true[:at],
        "flipped, seen from": lambda: bytes(flipped),
        "left out from": lambda: true[:at] + true[end:],
        "twice from": lambda: true[:end] + true[at:],
        "put in at": lambda: true[:at] + rng.randbytes(end - at) + true[at:],
        "UTF-16, not from": lambda: true.decode().encode("utf-16"),
        "a mark before, not from": lambda: b"\xef\xbb\xbf" + true,
        "the whole twice, not from": lambda: true + true,
        "more after the end, not from": lambda: true + b',"rows":[]',
    }
    way = rng.choice([*list(ways)[:5] * 3, *ways])
    return Mutation(f"bytes {way} {at} to {end}", Reply(200, ways[way]()))


def _instead(rng: Random, true: bytes) -> Mutation:
    """Something else altogether."""
    body = rng.choice(_INSTEAD)
    return Mutation(f"{body[:60]!r} instead", Reply(200, body.encode()))


def _wire(rng: Random, true: bytes) -> Mutation:
    """The true body, sent wrongly."""
    zipped = gzip.compress(true)
    encoding = rng.choice(["gzip", "br", "deflate", "zstd", "gzip, gzip", "gzip;q=1", "unknown", "x" * 500])
    ways = [
        Mutation(f"plain, said to be {encoding[:20]}", Reply(200, true, {"content-encoding": encoding})),
        Mutation("gzip cut short", Reply(200, zipped[: len(zipped) // 2], {"content-encoding": "gzip"})),
        Mutation("gzip and more", Reply(200, zipped + b"more", {"content-encoding": "gzip"})),
        Mutation("gzip, said to be plain", Reply(200, zipped, {"content-encoding": "identity"})),
        Mutation("connection lost", Reply(200, true, cut_after=rng.randrange(len(true)))),
    ]
    return rng.choice(ways)


@dataclass(frozen=True)
class _Meaning:
    """What an answer to a query says: rows by their keys, the first incomplete day, its aggregation."""

    rows: dict[tuple[str, ...], tuple[float, float, float | None]]
    first_incomplete: object
    names_aggregation: bool

    @property
    def sums(self) -> tuple[float, float]:
        values = self.rows.values()
        return sum(clicks for clicks, _, _ in values), sum(impressions for _, impressions, _ in values)


def effect(call: Call, true: bytes, mutation: Mutation, *, is_first_read: bool) -> Effect:
    """What may come of a mutation of the true answer to `call`.

    Of a day's first read there is nothing to compare it with, so more is quiet then.
    """
    headers_tell = "content-encoding" in mutation.reply.headers or mutation.reply.cut_after is not None
    body = mutation.reply.body
    if headers_tell or call.kind == "token" or not isinstance(body, bytes):
        return Effect.TOLD
    if call.kind == "sites":
        return _effect_on_sites(_listed(true), _listed(body), is_first_read)
    dimensions = call.body["dimensions"]
    told, said = _meaning(true, len(dimensions)), _meaning(body, len(dimensions))
    if said is None or told is None or said == told:
        return Effect.TOLD
    if dimensions == ["date"]:
        is_probe = not call.body["startRow"]
        return Effect.QUIET if is_first_read or not is_probe else Effect.TOLD
    if "query" in dimensions:
        if said.rows:
            return Effect.QUIET
        if not said.names_aggregation:
            return Effect.TOLD
        return Effect.QUIET if is_first_read else Effect.DOUBTED
    if not said.rows:
        return Effect.TOLD
    is_by_property = "page" not in dimensions
    return Effect.DOUBTED if is_by_property and said.sums != told.sums else Effect.QUIET


def _effect_on_sites(told: Any, said: Any, is_first_read: bool) -> Effect:
    if said is None or said == told:
        return Effect.TOLD
    is_part = told.items() >= said.items()
    return Effect.TOLD if is_part and not is_first_read else Effect.QUIET


def _meaning(body: bytes, keys: int) -> _Meaning | None:
    """What the body says; None where it says nothing that can be true."""
    document = _object(body, strictly=True)
    if document is None or "error" in document:
        return None
    rows = document.get("rows", [])
    if not isinstance(rows, list):
        return None
    by_keys = {}
    for row in rows:
        if not _may_be_true(row, keys) or tuple(row["keys"]) in by_keys:
            return None
        by_keys[tuple(row["keys"])] = (row["clicks"], row["impressions"], row.get("position"))
    metadata = document.get("metadata") or {}
    if not isinstance(metadata, dict):
        return None
    first = metadata.get("firstIncompleteDate") or metadata.get("first_incomplete_date")
    aggregation = document.get("responseAggregationType")
    if aggregation is not None and not isinstance(aggregation, str):
        return None
    if first is not None and not _is_day(first):
        return None
    return _Meaning(by_keys, first, bool(aggregation))


def _may_be_true(row: Any, keys: int) -> bool:
    if not isinstance(row, dict) or not isinstance(row.get("keys"), list):
        return False
    if len(row["keys"]) != keys or not all(isinstance(key, str) for key in row["keys"]):
        return False
    clicks, impressions, position = (row.get(name) for name in ("clicks", "impressions", "position"))
    if not (_is_count(clicks) and _is_count(impressions) and clicks <= impressions):
        return False
    if impressions == 0 and position in (None, 0):
        return True
    return _is_number(position) and 1 <= position <= MOST_POSITION


def _is_count(value: Any) -> TypeGuard[float]:
    return _is_number(value) and 0 <= value < MOST_COUNT and value == math.floor(value)


def _is_number(value: Any) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e308


def _is_day(value: Any) -> bool:
    try:
        return bool(date.fromisoformat(value))
    except (TypeError, ValueError):
        return False


def _listed(body: bytes) -> dict[str, str] | None:
    """Permission levels by property; None where this is no list of properties."""
    document = _object(body, strictly=False)
    if document is None or "error" in document or not isinstance(document.get("siteEntry", []), list):
        return None
    levels: dict[str, str] = {}
    for entry in document.get("siteEntry", []):
        texts = [entry.get(n) for n in ("siteUrl", "permissionLevel")] if isinstance(entry, dict) else [None]
        if not all(isinstance(text, str) and text for text in texts) or texts[0] in levels:
            return None
        levels[str(texts[0])] = str(texts[1])
    return levels


def _object(body: bytes, *, strictly: bool) -> dict[str, Any] | None:
    """The object that the body is; None where it is none, or `strictly` and a field comes twice."""

    def from_pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        if strictly and len({name for name, _ in pairs}) < len(pairs):
            raise ValueError("a field comes twice")
        return dict(pairs)

    try:
        document = json.loads(body.decode(), object_pairs_hook=from_pairs)
    except (ValueError, RecursionError):
        return None
    return document if isinstance(document, dict) else None


def true_body(reply: Reply) -> bytes:
    """The body of a true answer as it is sent."""
    return reply.body if isinstance(reply.body, bytes) else msgspec.json.encode(reply.body)


def about(call: Call) -> str:
    """A call in words."""
    if call.kind != "query":
        return call.kind
    body = call.body
    return f"{call.site_url} {body['startDate']} by {','.join(body['dimensions'])} from {body['startRow']}"
