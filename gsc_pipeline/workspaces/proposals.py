"""Proposes a workspace's id and brand terms, from the name of a property and its queries."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from urllib.parse import urlsplit

_SECOND_LEVEL = frozenset({"ac", "co", "com", "edu", "gov", "net", "org"})
"""Labels before a country's own, as in acme.co.uk."""

_SHORTEST_TERM = 3
"""A query contains a shorter term too often by chance."""

_SHORTEST_PART = 4
_QUERIES_OF_PART = 3
"""A brand that is only the beginning of the name: its length, and how many queries contain it."""

_LONGEST_ID = 63


def workspace_id(site_url: str, taken: Iterable[str] = ()) -> str:
    """An id for a workspace with this property: `acme` for sc-domain:acme.com, unlike those in `taken`."""
    host, path = _host_and_path(site_url)
    labels = _labels(host)
    words = [*labels[:-1], labels[-1], *path.split("/")]
    slug = re.sub(r"[^a-z0-9]+", "-", _plain(" ".join(words))).strip("-")[:_LONGEST_ID].strip("-") or "site"
    known, number, found = set(taken), 1, slug
    while found in known:
        number += 1
        ending = f"-{number}"
        found = slug[: _LONGEST_ID - len(ending)] + ending
    return found


def brand_terms(site_urls: Sequence[str], queries: Sequence[str]) -> tuple[str, ...]:
    """What a query of the brand contains: the properties' names, and how people write them in `queries`."""
    names = dict.fromkeys(_plain(_labels(_host_and_path(one)[0])[-1]) for one in site_urls)
    found: list[str] = []
    for name in names:
        squeezed = re.sub(r"\W", "", name)
        if len(squeezed) < _SHORTEST_TERM:
            continue
        found += [squeezed, *([name.replace("-", " ")] if "-" in name else [])]
        found += _written_forms(squeezed, queries)
    terms = list(dict.fromkeys(found))
    # What contains another term is found by that one.
    return tuple(one for one in terms if not any(other != one and other in one for other in terms))


def _written_forms(name: str, queries: Sequence[str]) -> Iterator[str]:
    parts: Counter[str] = Counter()
    for query in dict.fromkeys(map(_plain, queries)):
        beginnings = set()
        for run in _runs(re.findall(r"\w+", query)):
            squeezed = "".join(run)
            if squeezed == name:
                yield " ".join(run)
            elif name.startswith(squeezed) and len(squeezed) >= max(_SHORTEST_PART, len(name) / 2):
                beginnings.add(" ".join(run))
        parts.update(beginnings)
    yield from (part for part, count in parts.items() if count >= _QUERIES_OF_PART)


def _runs(words: Sequence[str]) -> Iterator[Sequence[str]]:
    return (words[i:j] for i in range(len(words)) for j in range(i + 1, min(i + 6, len(words)) + 1))


def _host_and_path(site_url: str) -> tuple[str, str]:
    if site_url.startswith("sc-domain:"):
        return site_url.removeprefix("sc-domain:"), ""
    parts = urlsplit(site_url)
    return parts.hostname or "", parts.path


def _labels(host: str) -> list[str]:
    """The labels of a host without its public ending and www: [shop, acme] for shop.acme.co.uk."""
    labels = [label for label in host.split(".") if label] or ["site"]
    kept = labels[:-1] if len(labels) > 1 and not labels[-1].isdigit() else labels
    if len(kept) > 1 and kept[-1] in _SECOND_LEVEL:
        kept = kept[:-1]
    return kept[1:] if len(kept) > 1 and kept[0] == "www" else kept


def _plain(text: str) -> str:
    """In lower case, without accents: as queries are compared with brand terms."""
    decomposed = unicodedata.normalize("NFKD", text.lower())
    return "".join(char for char in decomposed if not unicodedata.combining(char))
