"""Content groups of pages: the SQL that names the group of a URL, and the largest groups as series.

Of the rules that name a path, and without rules, only the path of a URL counts: not its scheme, host, port,
query string and fragment. Upper and lower case differ, as for Google, except in percent-encoding.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence

import pandas as pd

from gsc_pipeline.insights.annotated import PAIRS_INPUT
from gsc_pipeline.insights.measures import COMPARED_INPUT, GROUPED, SERIES, average_position, require
from gsc_pipeline.lake.lake import sql_text
from gsc_pipeline.workspaces.content_groups import ALL, OTHER, ContentGroup

VERSION = 1
"""Raise it with every change of the group of a URL or of what a day stores: all days are then read again."""

GROUP_DAYS_INPUT = (*GROUPED, "data_date", "clicks", "impressions", "sum_position")
"""Sums by day and group, counted by page. A group without impressions on a day has no row."""

_AUTHORITY = "^[^/?#]*//[^/?#]*"
_FIRST_SEGMENT = f"{_AUTHORITY}/+([^/?#]+/|[^/?#.]+(?:[?#]|$))"
"""The first segment of the path, if a slash follows or if it has no dot: a file at the root is no group."""


def rules_hash(rules: Sequence[ContentGroup]) -> str:
    """A short text that changes with the rules and with what they mean."""
    return hashlib.sha256(repr((VERSION, tuple(rules))).encode()).hexdigest()[:16]


def group_sql(rules: Sequence[ContentGroup]) -> str:
    """The SQL expression of the content group of the column `url`.

    The first rule that matches names it. Without rules it is the first segment of the path, such as `/blog/`;
    the home page and files at the root are `/`. What has no host is in `other`.
    """
    if not rules:
        segment = f"rtrim(regexp_extract(url, {sql_text(_FIRST_SEGMENT)}, 1), '/?#')"
        folder = f"CASE {segment} WHEN '' THEN '/' ELSE '/' || {_same_hexadecimal(segment)} || '/' END"
        return f"CASE WHEN regexp_matches(url, {sql_text(_AUTHORITY)}) THEN {folder} ELSE '{OTHER}' END"
    cases = (
        f"WHEN regexp_matches(url, {sql_text(rule.regex or _below(rule.path or '/'))}) "
        f"THEN {sql_text(rule.name)}"
        for rule in rules
    )
    return f"CASE {' '.join(cases)} ELSE '{OTHER}' END"


def _same_hexadecimal(text: str) -> str:
    """The SQL of the text with percent-encoding in upper case."""
    parts = f"string_split({text}, '%')"
    upper = f"[translate(p[1:2], 'abcdef', 'ABCDEF') || p[3:] FOR p IN {parts}[2:]]"
    return f"array_to_string([{parts}[1]] || {upper}, '%')"


def _below(path: str) -> str:
    """The regular expression of URLs whose path is `path` or below it; a final slash does not matter."""
    decoded = re.sub("(%[89A-Fa-f][0-9A-Fa-f])+", _decoded, path.rstrip("/"))
    text = "".join(map(_spellings, re.findall("%[0-9A-Fa-f]{2}|.", decoded)))
    return f"{_AUTHORITY}/*{text}(?:[/?#]|$)"


def _decoded(encoded: re.Match[str]) -> str:
    """The characters of percent-encoded bytes; the bytes as they are if they are no UTF-8."""
    try:
        return bytes.fromhex(encoded[0].replace("%", "")).decode()
    except UnicodeDecodeError:
        return encoded[0]


def _spellings(character: str) -> str:
    """The character as it is, and percent-encoded if it is not ASCII, with digits in either case."""
    if len(character) == 3:
        return "%" + "".join(f"[{digit.upper()}{digit.lower()}]" for digit in character[1:])
    if character.isascii():
        return re.escape(character)
    encoded = "".join(_spellings(f"%{byte:02X}") for byte in character.encode())
    return f"(?:{character}|{encoded})"


def grouped_days(whole: pd.DataFrame, largest: pd.DataFrame) -> pd.DataFrame:
    """The days of whole properties and of their largest groups: the input of series by content group.

    `whole` has the totals of final days, each day once: site_url, search_type, data_date, as_of, clicks,
    impressions, position. `largest` is a GROUP_DAYS_INPUT. A group without a row on a day with pages has no
    clicks there. Days with impressions of which no page is known are left out of the groups.
    """
    days = require(whole, (*SERIES, "data_date", "as_of", "clicks", "impressions", "position"))
    found = require(largest, GROUP_DAYS_INPUT)
    of_day = [*SERIES, "data_date"]
    known = days.merge(found[of_day].drop_duplicates(), on=of_day, how="left", indicator=True)
    known = known[(known["_merge"] == "both") | (known["impressions"] == 0)]
    every = known[[*of_day, "as_of"]].merge(found[GROUPED].drop_duplicates(), on=SERIES)
    groups = every.merge(found, on=[*GROUPED, "data_date"], how="left")
    groups["position"] = average_position(groups["sum_position"], groups["impressions"]).astype("float64")
    groups[["clicks", "impressions"]] = groups[["clicks", "impressions"]].fillna(0)
    both = [days.assign(content_group=ALL), groups.drop(columns="sum_position")]
    return pd.concat(both, ignore_index=True).astype({"clicks": "int64", "impressions": "int64"})


def compared_groups(largest: pd.DataFrame, pairs: pd.DataFrame) -> pd.DataFrame:
    """Sums over two windows by group, as `item`. `pairs` has the days of the windows of each series.

    Columns: those of SERIES, as_of, days, item, and COMPARED_INPUT.
    """
    days = require(pairs, (*PAIRS_INPUT, "as_of", "days"))
    found = require(largest, GROUP_DAYS_INPUT)
    # A merge of all days takes longer than to choose a few of them first.
    found = found[found["data_date"].isin(days["data_date"].unique())]
    shown = days.merge(found, on=[*SERIES, "data_date"])
    keys = [*SERIES, "as_of", "days", "content_group"]
    sums = ["clicks", "impressions", "sum_position"]
    both = shown.rename(columns={name: f"{name}_now" for name in sums})
    for name in sums:
        is_now = both["period"] == "now"
        both[name] = both[f"{name}_now"].where(is_now).astype("Int64")
        both[f"{name}_before"] = both[f"{name}_now"].mask(is_now).astype("Int64")
    compared = both.groupby(keys, as_index=False)[list(COMPARED_INPUT)].sum(min_count=1)
    counts = [name for name in COMPARED_INPUT if not name.startswith("sum_position")]
    compared[counts] = compared[counts].fillna(0)
    return compared.rename(columns={"content_group": "item"})
